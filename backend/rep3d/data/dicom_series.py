"""A DICOM series in a folder: which files belong together, in which order, and whether they form one regular grid."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rep3d.errors import BadInput

POSITION, ORIENTATION, MODALITY, DESCRIPTION = "0020|0032", "0020|0037", "0008|0060", "0008|103e"
NOT_IMAGES = {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "KO", "PR", "REG", "DOC"}


@dataclass(frozen=True)
class DicomSeries:
    """The slices of one series, in the order in which they stack."""

    uid: str
    files: tuple[Path, ...]
    modality: str
    description: str

    def __str__(self) -> str:
        return f"{self.uid} ({self.modality or '?'}, {len(self.files)} files, {self.description or 'no description'})"


def _header(path: str):
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(path)
    reader.ReadImageInformation()
    return reader


def _tag(reader, key: str) -> str:
    return reader.GetMetaData(key).strip("\0 ") if reader.HasMetaDataKey(key) else ""


def list_series(folder: Path) -> list[DicomSeries]:
    """Every image series directly in ``folder`` (not in its subfolders)."""
    import SimpleITK as sitk

    found = []
    for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
        reader = _header(names[0])
        series_uid = _tag(reader, "0020|000e") or uid
        modality, description = _tag(reader, MODALITY), _tag(reader, DESCRIPTION)
        found.append(DicomSeries(series_uid, tuple(map(Path, names)), modality, description))
    images = [s for s in found if s.modality not in NOT_IMAGES]
    return images or found


def has_dicom(folder: Path) -> bool:
    """Whether at least one file directly in ``folder`` starts like a DICOM file.

    An index of other folders (DICOMDIR) and DICOM results of earlier runs (``*_seg.dcm``) do not count.
    """
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        name = entry.name.lower()
        if entry.is_file() and name != "dicomdir" and not name.endswith("_seg.dcm"):
            with open(entry.path, "rb") as file:
                if file.read(132)[128:] == b"DICM":
                    return True
    return False


def choose_series(folder: Path, uid: str | None) -> DicomSeries:
    """The only image series in ``folder``, or the one with series instance UID ``uid``."""
    series = list_series(folder)
    if not series:
        raise BadInput(
            f"{folder}: no DICOM image series in this folder.", "Give an image file or a folder of DICOM files."
        )
    if uid is not None:
        chosen = [s for s in series if s.uid == uid]
    elif len(series) > 1:
        raise BadInput(
            f"{folder}: {len(series)} series in one folder: " + "; ".join(map(str, series)) + ".",
            "Choose one with --series UID, or put each in a folder of its own.",
        )
    else:
        chosen = series
    if not chosen:
        raise BadInput(f"{folder}: no series {uid}; there are: " + "; ".join(map(str, series)) + ".")
    if len(chosen) > 1:
        raise BadInput(
            f"{folder}: series {chosen[0].uid} holds images of different sizes or orientations "
            f"({len(chosen)} groups), which do not form one volume.",
            "Export the volume alone.",
        )
    return chosen[0]


def check_stack(folder: Path, series: DicomSeries) -> list[str]:
    """Refuse slices that do not stack to a regular grid; return warnings about small irregularities.

    Raises:
        BadInput: slices with different orientations or one position twice, missing slices, gantry tilt.
    """
    if len(series.files) < 2:
        return []
    positions, orientations = [], []
    for path in series.files:
        reader = _header(str(path))
        try:
            positions.append([float(v) for v in _tag(reader, POSITION).split("\\")])
            orientations.append([float(v) for v in _tag(reader, ORIENTATION).split("\\")])
        except ValueError as error:
            raise BadInput(f"{path}: the slice does not say where it lies (ImagePositionPatient).") from error
    if {len(p) for p in positions} != {3} or {len(o) for o in orientations} != {6}:
        raise BadInput(f"{folder}: some slices do not say where they lie (ImagePositionPatient or -Orientation).")
    rows = np.asarray(orientations)
    if np.abs(rows - rows[0]).max() > 1e-3:
        raise BadInput(f"{folder}: the slices of the series have different orientations.", "Export the volume alone.")
    normal = np.cross(rows[0, :3], rows[0, 3:])
    steps = np.diff(np.asarray(positions), axis=0)
    along = np.abs(steps @ normal)
    if along.min() < 1e-3:
        raise BadInput(
            f"{folder}: two slices of the series lie at the same position (several phases or time points?).",
            "Export one phase alone.",
        )
    across = np.linalg.norm(steps - (steps @ normal)[:, None] * normal, axis=1)
    if np.max(across / along) > 1e-2:
        raise BadInput(
            f"{folder}: the slices are shifted against each other (gantry tilt): the axes are not at right angles.",
            "Correct the tilt and resample to a regular grid first (3D Slicer's DICOM module can).",
        )
    usual = float(np.median(along))
    if along.max() > 1.5 * usual:
        raise BadInput(
            f"{folder}: slices are missing: most lie {usual:.3g} mm apart, but one gap is {along.max():.3g} mm.",
            "Export the whole series.",
        )
    if along.max() - along.min() > 0.05 * usual:
        return [
            f"The slices are unevenly spaced ({along.min():.3g} to {along.max():.3g} mm); "
            f"their mean, {along.mean():.3g} mm, is assumed."
        ]
    return []
