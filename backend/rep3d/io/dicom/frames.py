"""What each frame of a file is: its place in the patient and the line from stored to real-world values."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset

from rep3d.io.dicom.headers import Header, Unusable, item, number, numbers, short, text, value, whole

UNIT_TOLERANCE = 0.01  # of the length of a direction; decimal strings of true directions stay below 1e-4
_OTHER_VECTORS = (
    "EnergyWindowVector",
    "DetectorVector",
    "PhaseVector",
    "RotationVector",
    "RRIntervalVector",
    "TimeSlotVector",
    "AngularViewVector",
    "TimeSliceVector",
)
_FRAME_TIME, _FRAME_TIME_VECTOR = 0x00181063, 0x00181065


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: the place of its pixels (LPS millimetres) and real value = slope x stored + intercept."""

    header: Header = field(repr=False)
    index: int  # in the file, from 0
    position: np.ndarray  # [3] of the first pixel
    orientation: np.ndarray  # [2, 3] unit vectors along a row and along a column
    spacing: tuple[float, float]  # between columns and between rows
    slope: float = 1.0
    intercept: float = 0.0
    rescaled: bool = True  # whether the file states slope and intercept
    group: Dataset | None = field(default=None, repr=False)  # functional groups of this frame

    @property
    def name(self) -> str:
        """The file's name, with the frame's number in a file of several."""
        return f"{self.header.path.name} frame {self.index + 1}" if self.header.frames > 1 else self.header.path.name

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return whole(self.header.dataset, "Columns"), whole(self.header.dataset, "Rows")


def frames_of(header: Header) -> list[Frame]:
    """Every frame of a file, in the order in which it holds them.

    Raises:
        Unusable: the file does not say where its frames lie, or they are no slices.
    """
    if header.problem:
        raise Unusable(header.problem)
    dataset = header.dataset
    if "MOSAIC" in text(dataset, "ImageType"):
        raise Unusable("a mosaic: one picture that holds many slices side by side")
    if value(dataset, "PerFrameFunctionalGroupsSequence") is not None:
        return _enhanced(header)
    first = Frame(header, 0, *_place(dataset, _detector(dataset)), *_line(dataset))
    return _stacked(first) if header.frames > 1 else [first]


def _detector(dataset: Dataset) -> Dataset | None:
    return item(dataset, "DetectorInformationSequence")  # nuclear medicine keeps the place there


def _place(dataset: Dataset, detector: Dataset | None) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    position, orientation = (
        numbers(dataset, keyword, count) or (None if detector is None else numbers(detector, keyword, count))
        for keyword, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6))
    )
    return _checked_place(dataset, position, orientation, numbers(dataset, "PixelSpacing", 2))


def _checked_place(dataset, position, orientation, spacing):
    for found, keyword in ((position, "ImagePositionPatient"), (orientation, "ImageOrientationPatient")):
        if found is None:
            raise Unusable(f"no {keyword}: the file does not say where it lies in the patient")
    if spacing is None:
        raise Unusable("no PixelSpacing" + _other_spacing(dataset))
    if min(spacing) <= 0:
        raise Unusable(f"PixelSpacing {short(list(spacing))} must be positive")
    axes = np.asarray(orientation).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE:
        raise Unusable(f"ImageOrientationPatient {short(list(orientation))} holds no two directions of length 1")
    return np.asarray(position), axes / lengths[:, None], (spacing[1], spacing[0])


def _other_spacing(dataset: Dataset) -> str:
    for keyword, where in (("ImagerPixelSpacing", "at the detector"), ("NominalScannedPixelSpacing", "by the scanner")):
        found = numbers(dataset, keyword, 2)
        if found is not None:
            return f"; {keyword} {found[0]:g} x {found[1]:g} mm is measured {where}, not in the patient"
    return ": the size of a pixel in the patient is unknown"


def _line(dataset: Dataset) -> tuple[float, float, bool]:
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope == 0:
        raise Unusable("damaged: RescaleSlope is 0")
    stated = slope is not None and intercept is not None
    return (1.0 if slope is None else slope), (intercept or 0.0), stated


def _stacked(first: Frame) -> list[Frame]:
    """The frames of a file without functional groups: they follow each other at SpacingBetweenSlices."""
    dataset, count = first.header.dataset, first.header.frames
    pointer = value(dataset, "FrameIncrementPointer")
    pointers = [] if pointer is None else [int(p) for p in (pointer if isinstance(pointer, list) else [pointer])]
    if _FRAME_TIME in pointers or _FRAME_TIME_VECTOR in pointers:
        raise Unusable(f"a film: its {count} frames follow each other in time, not in space")
    for keyword in _OTHER_VECTORS:
        if len(set(numbers(dataset, keyword) or ())) > 1:
            raise Unusable(f"its {count} frames differ in {keyword}: they are no single stack of slices")
    step = number(dataset, "SpacingBetweenSlices")
    if not step:
        thick = number(dataset, "SliceThickness")
        more = "" if thick is None else f" (SliceThickness {thick:g} mm is not their distance)"
        raise Unusable(f"{count} frames, but no SpacingBetweenSlices{more}: their distance is unknown")
    if step < 0 and text(dataset, "Modality") != "NM":
        raise Unusable(f"{count} frames with the negative SpacingBetweenSlices {step:g}: their order is unknown")
    places = numbers(dataset, "SliceVector", count) or range(1, count + 1)
    normal = np.cross(*first.orientation)
    line = (first.orientation, first.spacing, first.slope, first.intercept, first.rescaled)
    return [Frame(first.header, i, first.position + normal * step * (p - 1), *line) for i, p in enumerate(places)]


def _enhanced(header: Header) -> list[Frame]:
    """The frames of a file with functional groups: each states its own place and line."""
    dataset = header.dataset
    shared = item(dataset, "SharedFunctionalGroupsSequence")
    groups = value(dataset, "PerFrameFunctionalGroupsSequence")
    if len(groups) != header.frames:
        raise Unusable(f"damaged: NumberOfFrames is {header.frames}, but {len(groups)} frames are described")
    frames = []
    for index, group in enumerate(groups):
        position, orientation, measures, line = (
            item(group, keyword) or item(shared, keyword)
            for keyword in (
                "PlanePositionSequence",
                "PlaneOrientationSequence",
                "PixelMeasuresSequence",
                "PixelValueTransformationSequence",
            )
        )
        try:
            place = _checked_place(
                measures or dataset,
                position and numbers(position, "ImagePositionPatient", 3),
                orientation and numbers(orientation, "ImageOrientationPatient", 6),
                measures and numbers(measures, "PixelSpacing", 2),
            )
            frames.append(Frame(header, index, *place, *_line(line or dataset), group))
        except Unusable as error:
            raise Unusable(f"frame {index + 1}: {error}") from error
    return frames
