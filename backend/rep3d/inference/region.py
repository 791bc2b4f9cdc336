"""The part of a volume to look at: a box in RAS millimetres, along the axes of the patient or turned any way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rep3d.errors import BadInput
from rep3d.inference.checks import Box, widen

Bounds = tuple[float, float, float, float, float, float]
TOLERANCE_MM = 1e-6  # a voxel centre on the face is inside, whatever the rounding


@dataclass(frozen=True)
class Region:
    """A box: ``matrix`` (4x4) leads from its own frame, centred in it, to RAS; ``size_mm`` are its edges there.

    ``bounds`` keeps the six numbers that an axis-aligned one was given by.
    """

    matrix: np.ndarray
    size_mm: tuple[float, float, float]
    bounds: Bounds | None = None

    @classmethod
    def from_bounds(cls, bounds: Bounds) -> Region:
        """R0, R1, A0, A1, S0, S1 in RAS mm. Raises BadInput if it is empty."""
        low, high = np.asarray(bounds[::2], float), np.asarray(bounds[1::2], float)
        if not np.all(low < high):
            raise BadInput(
                f"The region {', '.join(f'{v:g}' for v in bounds)} is empty.",
                "Give R0,R1,A0,A1,S0,S1 in mm, low first.",
            )
        matrix = np.eye(4)
        matrix[:3, 3] = (low + high) / 2
        return cls(matrix, tuple(float(v) for v in high - low), tuple(float(v) for v in bounds))

    @classmethod
    def from_box(cls, matrix: Any, size_mm: Any) -> Region:
        """A turned box. Raises BadInput if an edge is not above 0 or the matrix cannot be inverted."""
        matrix, size = np.array(matrix, float), tuple(float(v) for v in size_mm)
        if matrix.shape != (4, 4) or len(size) != 3 or not np.all(np.isfinite(matrix)):
            raise BadInput("A region needs a 4x4 matrix and three edges.")
        if np.any(matrix[3] != [0, 0, 0, 1]) or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
            raise BadInput("The matrix of the region is no affine transform that can be inverted.", _DRAW)
        if not all(0 < edge < 1e9 for edge in size):  # NaN is neither
            raise BadInput(f"The region of {' x '.join(f'{v:g}' for v in size)} mm is empty.", _DRAW)
        return cls(matrix, size)

    def to_setting(self) -> list[float] | dict[str, Any]:
        """JSON-able, as it was given."""
        return list(self.bounds) if self.bounds else {"matrix": self.matrix.tolist(), "size_mm": list(self.size_mm)}

    def index_box(self, affine: np.ndarray, shape: tuple[int, int, int], patch: tuple[int, int, int]) -> Box:
        """Box of voxels of the grid (``affine``: voxel to RAS) that holds the region, grown to a patch.

        Raises:
            BadInput: the region lies outside the volume.
        """
        half = np.asarray(self.size_mm) / 2
        corners = np.array([[x, y, z, 1.0] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * [*half, 1]
        index = (np.linalg.inv(affine) @ self.matrix @ corners.T)[:3]
        low, high = np.floor(index.min(axis=1)).astype(int), np.ceil(index.max(axis=1)).astype(int) + 1
        if np.any(high <= 0) or np.any(low >= shape):
            ends = affine @ np.array([[0, 0, 0, 1], [*(np.asarray(shape) - 1), 1]], float).T
            raise BadInput(
                "The region lies outside the volume, which runs from "
                + " to ".join("(" + ", ".join(f"{v:.0f}" for v in end[:3]) + ")" for end in ends.T)
                + " mm (RAS)."
            )
        clipped = [(max(0, int(a)), min(n, int(b))) for a, b, n in zip(low, high, shape)]
        return tuple(widen(a, b, n, p) for (a, b), n, p in zip(clipped, shape, patch))

    def clear_outside(self, labelmap: np.ndarray, affine: np.ndarray) -> None:
        """Set labels of voxels whose centre lies outside the region to background, in place, slice by slice."""
        to_box = np.linalg.inv(self.matrix) @ affine  # voxel to the box's own frame
        slack = TOLERANCE_MM / np.linalg.norm(self.matrix[:3, :3], axis=0)
        x, y = np.meshgrid(*(np.arange(n) for n in labelmap.shape[:2]), indexing="ij", sparse=True)
        for z in range(labelmap.shape[2]):
            if not labelmap[..., z].any():
                continue
            inside = np.ones(labelmap.shape[:2], bool)
            for row, edge, more in zip(to_box[:3], self.size_mm, slack):
                inside &= np.abs(row[0] * x + row[1] * y + row[2] * z + row[3]) <= edge / 2 + more
            labelmap[~inside, z] = 0


_DRAW = "Draw the region again."


def as_region(roi: Region | Bounds | None) -> Region | None:
    """A region from what callers give: nothing, one, or six numbers. Raises BadInput."""
    return roi if roi is None or isinstance(roi, Region) else Region.from_bounds(tuple(roi))
