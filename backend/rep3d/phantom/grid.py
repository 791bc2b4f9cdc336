"""The voxel grid that a phantom is rendered on, in patient millimetres (RAS)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Grid:
    """shape (X, Y, Z) and a 4x4 affine from voxel index to RAS millimetres."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    @cached_property
    def _inverse(self) -> np.ndarray:
        return np.linalg.inv(self.affine)

    @property
    def spacing(self) -> np.ndarray:
        """Voxel edge lengths in mm, (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def axis_aligned(self) -> bool:
        """True when the axes run along R, A and S in this order."""
        matrix = self.affine[:3, :3]
        return bool(np.all(matrix == np.diag(np.diag(matrix))))

    def axes_mm(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patient coordinates of the voxel centres along each axis; only for an axis-aligned grid."""
        return tuple(self.affine[a, 3] + self.affine[a, a] * np.arange(self.shape[a]) for a in range(3))

    def coordinate(self, axis: int, box: tuple[slice, slice, slice] | None = None) -> np.ndarray:
        """Patient coordinate ``axis`` (0 right, 1 anterior, 2 superior) of the voxels in ``box``, broadcastable."""
        box = box or tuple(slice(0, n) for n in self.shape)
        total = np.float32(self.affine[axis, 3])
        for a in range(3):
            step = self.affine[axis, a]
            if step:
                index = np.arange(box[a].start, box[a].stop, dtype=np.float32)
                shape = [1, 1, 1]
                shape[a] = len(index)
                total = total + (index * np.float32(step)).reshape(shape)
        return np.asarray(total, dtype=np.float32)

    def corners_mm(self) -> np.ndarray:
        """The eight outermost voxel centres, [8, 3]."""
        index = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        return (self.affine[:3, :3] @ index).T + self.affine[:3, 3]

    def bounds_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest patient coordinates of the grid."""
        corners = self.corners_mm()
        return corners.min(axis=0), corners.max(axis=0)

    def box_of(self, low: np.ndarray, high: np.ndarray, pad_mm: float) -> tuple[slice, slice, slice] | None:
        """The slices that hold the patient-space box low..high widened by pad_mm; None if it lies outside the grid."""
        inverse = self._inverse
        middle = inverse[:3, :3] @ ((low + high) / 2) + inverse[:3, 3]
        reach = np.abs(inverse[:3, :3]) @ ((high - low) / 2 + pad_mm)
        first = np.maximum(np.floor(middle - reach).astype(int), 0)
        last = np.minimum(np.ceil(middle + reach).astype(int) + 1, self.shape)
        if np.any(first >= last):
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(first, last))

    def refined(self, factors: tuple[int, int, int]) -> Grid:
        """The grid with each voxel cut in ``factors`` parts along its axes."""
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] / np.array(factors)
        # The centre of the first small voxel: the old centre, back half an old voxel, on half a new one.
        shift = 0.5 / np.array(factors) - 0.5
        affine[:3, 3] = self.affine[:3, 3] + self.affine[:3, :3] @ shift
        return Grid(tuple(n * f for n, f in zip(self.shape, factors)), affine)
