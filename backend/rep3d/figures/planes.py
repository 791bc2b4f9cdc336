"""Slices of a volume as a radiologist expects them: patient's right on the image's left, axial seen from the feet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rep3d.data.preprocess import interpolation_matrix


@dataclass(frozen=True)
class Plane:
    """One of the three orthogonal planes of an RAS+ array.

    ``axis`` is cut; ``across`` and ``down`` are the array axes of image columns and rows, both shown from their high
    end to their low end, so that the letters stand at (left, right, top, bottom).
    """

    name: str
    axis: int
    across: int
    down: int
    letters: tuple[str, str, str, str]

    def cut(self, array_XYZ: np.ndarray, index: int) -> np.ndarray:
        """The slice as an image [rows, columns]: row 0 on top."""
        plane = np.take(array_XYZ, index, axis=self.axis)  # the two axes left are in ascending order
        if self.across < self.down:
            plane = plane.T
        return plane[::-1, ::-1]

    def place(self, voxel: tuple[float, float, float], size: tuple[int, int, int]) -> tuple[float, float]:
        """(column, row) of a voxel in the image of this plane."""
        return size[self.across] - 1 - voxel[self.across], size[self.down] - 1 - voxel[self.down]

    def extent_mm(self, size: tuple[int, int, int], spacing: tuple[float, float, float]) -> tuple[float, float]:
        """(width, height) of the slice in millimetres."""
        return size[self.across] * spacing[self.across], size[self.down] * spacing[self.down]


AXIAL = Plane("Axial", 2, 0, 1, ("R", "L", "A", "P"))
CORONAL = Plane("Coronal", 1, 0, 2, ("R", "L", "S", "I"))
SAGITTAL = Plane("Sagittal", 0, 1, 2, ("A", "P", "S", "I"))
PLANES = (AXIAL, CORONAL, SAGITTAL)


def best_slices(labels_XYZ: np.ndarray) -> tuple[int, int, int]:
    """Slice indices that show the structures best: the sum over labels of (area here / largest area of that label).

    Without any label, the middle of the volume.
    """
    values = [v for v in np.unique(labels_XYZ) if v]
    if not values:
        return tuple(n // 2 for n in labels_XYZ.shape)  # type: ignore[return-value]
    scores = [np.zeros(n) for n in labels_XYZ.shape]
    for value in values:
        mask = labels_XYZ == value
        for axis in range(3):
            area = mask.sum(axis=tuple(a for a in range(3) if a != axis))
            scores[axis] += area / area.max()
    return tuple(int(np.argmax(s)) for s in scores)  # type: ignore[return-value]


def content_box(image_XYZ: np.ndarray, labels_XYZ: np.ndarray, floor: float, margin: int = 3) -> tuple[slice, ...]:
    """The part worth showing: where the image is above ``floor`` or labelled, with ``margin`` voxels around."""
    seen = (image_XYZ > floor) | (labels_XYZ > 0)
    box = []
    for axis, n in enumerate(seen.shape):
        # a few hot voxels of noise or table must not keep an empty border
        counts = seen.sum(axis=tuple(a for a in range(3) if a != axis))
        rows = np.flatnonzero(counts > 0.002 * seen.size / n)
        low, high = (rows[0], rows[-1] + 1) if rows.size else (0, n)
        labelled = np.flatnonzero(labels_XYZ.any(axis=tuple(a for a in range(3) if a != axis)))
        if labelled.size:
            low, high = min(low, labelled[0]), max(high, labelled[-1] + 1)
        box.append(slice(max(0, int(low) - margin), min(n, int(high) + margin)))
    return tuple(box)


def resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear resampling of [rows, columns] between grids with a common extent; averages where it shrinks."""
    matrices = []
    for n_in, n_out in zip(image.shape, shape):
        step = n_in / n_out
        centres = (np.arange(n_out) + 0.5) * step - 0.5
        matrices.append(interpolation_matrix(centres, n_in, step))
    rows, columns = matrices
    return np.asarray(rows @ np.asarray(image, np.float32) @ columns.T, np.float32)


def resize_labels(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels [rows, columns] resampled with smooth outlines: the label with the largest share wins."""
    out = np.zeros(shape, image.dtype)
    best = np.zeros(shape, np.float32)
    for value in np.unique(image):
        share = resize((image == value).astype(np.float32), shape)
        better = share > best
        out[better], best[better] = value, share[better]
    return out


def display_range(array: np.ndarray, clip: tuple[float, float] | None) -> tuple[float, float]:
    """Grey values shown as black and white: the task's window, else the 1 % and 99.7 % of the volume."""
    if clip is not None:
        return float(clip[0]), float(clip[1])
    sample = array.ravel(order="K")[:: max(1, array.size // 1_000_000)]
    low, high = (float(v) for v in np.percentile(sample, (1, 99.7)))
    return (low, high) if high > low else (low, low + 1)


def grey(image: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """[rows, columns] to [0, 1]."""
    low, high = window
    return np.clip((np.asarray(image, np.float32) - low) / (high - low), 0, 1)
