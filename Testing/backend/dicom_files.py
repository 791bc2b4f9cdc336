"""DICOM scans with known values and places, and an independent reader of them: pydicom, a loop, one pixel at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat
from rep3d.data.volume import Volume


@dataclass
class Scan:
    """Stored values [slices, rows, columns] and how they are written; ``change`` may alter any file's data set."""

    stored: np.ndarray
    orientation: np.ndarray = field(default_factory=lambda: np.eye(3)[:2])
    spacing: tuple[float, float] = (0.8, 0.6)  # rows, columns
    step: float = 2.5
    origin: tuple[float, float, float] = (-20.0, -30.0, 100.0)
    lines: list[tuple[float, float]] | None = None  # slope and intercept of each slice
    order: list[int] | None = None  # in which the slices are written
    signed: bool = True
    bits: int = 16
    syntax: str = ExplicitVRLittleEndian
    tags: dict = field(default_factory=dict)
    change: object = None  # called with every data set and the number of its slice
    positions: list | None = None

    def position(self, k: int) -> np.ndarray:
        """Where the first pixel of slice ``k`` lies."""
        if self.positions is not None:
            return np.asarray(self.positions[k], float)
        return np.asarray(self.origin) + k * self.step * np.cross(*self.orientation)

    def line(self, k: int) -> tuple[float, float]:
        """Slope and intercept of slice ``k``."""
        return (1, 0) if self.lines is None else self.lines[k]

    def write(self, folder: Path) -> Path:
        """One file a slice."""
        folder.mkdir(parents=True)
        for number, k in enumerate(self.order or range(len(self.stored))):
            dataset = self._dataset(CTImageStorage)
            dataset.InstanceNumber = number + 1
            dataset.ImagePositionPatient, dataset.ImageOrientationPatient = self._numbers(k)
            dataset.PixelSpacing, dataset.SliceThickness = list(self.spacing), self.step
            dataset.RescaleSlope, dataset.RescaleIntercept = (_decimal(v) for v in self.line(k))
            self._save(dataset, self.stored[k], folder / f"{number:03d}.dcm", k)
        return folder

    def write_enhanced(self, folder: Path) -> Path:
        """One file of many frames, each with its place and its line."""
        folder.mkdir(parents=True)
        order = self.order or list(range(len(self.stored)))
        dataset = self._dataset(EnhancedCTImageStorage)
        dataset.NumberOfFrames = len(order)
        shared, groups = Dataset(), []
        shared.PixelMeasuresSequence = [Dataset()]
        shared.PixelMeasuresSequence[0].PixelSpacing = list(self.spacing)
        shared.PixelMeasuresSequence[0].SliceThickness = self.step
        shared.PlaneOrientationSequence = [Dataset()]
        for k in order:
            group = Dataset()
            group.PlanePositionSequence, group.PixelValueTransformationSequence = [Dataset()], [Dataset()]
            place, turn = self._numbers(k)
            group.PlanePositionSequence[0].ImagePositionPatient = place
            shared.PlaneOrientationSequence[0].ImageOrientationPatient = turn
            line = group.PixelValueTransformationSequence[0]
            line.RescaleSlope, line.RescaleIntercept = (_decimal(v) for v in self.line(k))
            groups.append(group)
        dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], groups
        self._save(dataset, self.stored[order], folder / "enhanced.dcm", 0)
        return folder

    def _numbers(self, k: int):
        return [_decimal(v) for v in self.position(k)], [_decimal(v) for v in np.ravel(self.orientation)]

    def _dataset(self, sop_class: str) -> Dataset:
        if not hasattr(self, "_uids"):
            self._uids = [generate_uid() for _ in range(3)]
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = self._uids
        dataset.Modality, dataset.SeriesDescription, dataset.PatientID = "CT", "made", "1"
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = self.stored.shape[1:]
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (
            8 if self.bits <= 8 else 16,
            self.bits,
            self.bits - 1,
        )
        dataset.PixelRepresentation = int(self.signed)
        return dataset

    def _save(self, dataset: Dataset, stored: np.ndarray, path: Path, k: int) -> None:
        order = ">" if self.syntax == pydicom.uid.ExplicitVRBigEndian else "<"
        kind = f"{order}{'i' if self.signed else 'u'}{dataset.BitsAllocated // 8}"
        dataset.PixelData = stored.astype(kind).tobytes()
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = self.syntax
        for keyword, value in self.tags.items():
            setattr(dataset, keyword, value)
        if self.change is not None:
            self.change(dataset, k)
        dataset.save_as(path, enforce_file_format=True)


def made(n=6, **options) -> Scan:
    """A small scan whose voxels all differ."""
    stored = np.random.default_rng(3).permutation(n * 5 * 4).reshape(n, 5, 4) - 40
    return Scan(stored.astype(np.int16), **options)


def stacked(scan: Scan, folder: Path, **tags) -> Path:
    """The scan as one file of many frames without functional groups."""
    n, rows, columns = scan.stored.shape
    flat = replace(scan, stored=scan.stored.reshape(1, n * rows, columns))

    def change(dataset, k):
        dataset.Rows, dataset.NumberOfFrames = rows, n
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)

    return replace(flat, change=change).write(folder)


def _decimal(value: float) -> DSfloat:
    return DSfloat(float(value), auto_format=True)


def frames_of_files(files: list[Path]):
    """Every frame of some files as pydicom shows it: real-world values [rows, columns] and the place of every pixel."""
    for file in files:
        dataset = pydicom.dcmread(file, force=True)
        if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        groups = dataset.get("PerFrameFunctionalGroupsSequence") or [None] * len(pixels)
        for number, (stored, group) in enumerate(zip(pixels, groups, strict=True)):
            place = turn = measure = line = dataset
            if group is not None:
                shared = dataset.SharedFunctionalGroupsSequence[0]
                both = Dataset()
                both.update(shared)
                both.update(group)
                place, turn = both.PlanePositionSequence[0], both.PlaneOrientationSequence[0]
                measure, line = both.PixelMeasuresSequence[0], both.PixelValueTransformationSequence[0]
            row, column = np.asarray(turn.ImageOrientationPatient, float).reshape(2, 3)
            first = np.asarray(place.ImagePositionPatient, float)
            if group is None:
                first = first + number * float(dataset.get("SpacingBetweenSlices") or 0) * np.cross(row, column)
            down, across = (float(v) for v in measure.PixelSpacing)
            i, j = np.indices(stored.shape)
            places = first + (j * across)[..., None] * row + (i * down)[..., None] * column
            values = stored.astype(float) * float(line.get("RescaleSlope", 1)) + float(line.get("RescaleIntercept", 0))
            yield values, places


def check_volume(volume: Volume, files: list[Path], tolerance: float = 0.1) -> None:
    """Every pixel of the files lies at a voxel of its own, within ``tolerance`` voxels, and has its value."""
    inverse = np.linalg.inv(volume.grid.affine_ras)
    assert np.allclose(volume.affine, volume.grid.affine_ras)
    seen = np.zeros(volume.shape, int)
    for values, places_lps in frames_of_files(files):
        places = places_lps * [-1, -1, 1]
        index = places @ inverse[:3, :3].T + inverse[:3, 3]
        voxel = np.rint(index).astype(int)
        assert np.abs(index - voxel).max() <= tolerance
        x, y, z = np.moveaxis(voxel, -1, 0)
        assert min(x.min(), y.min(), z.min()) >= 0
        expected = values.astype(np.float32) if volume.array.dtype.kind == "f" else values
        np.testing.assert_array_equal(volume.array[x, y, z], expected)
        np.add.at(seen, (x, y, z), 1)
    assert (seen == 1).all()
