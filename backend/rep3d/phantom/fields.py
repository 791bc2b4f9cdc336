"""Smooth random fields in patient space: the same seed gives the same field whatever grid it is sampled on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rep3d.phantom.grid import Grid

#: Patient space that fields cover, mm (RAS); scans outside it see the field's edge value.
LOW = np.array([-260.0, -230.0, -340.0])
HIGH = np.array([260.0, 230.0, 300.0])


def _cubic_basis(position: np.ndarray, count: int) -> np.ndarray:
    """Uniform cubic B-spline basis, [len(position), count]; position in knot units, clamped to the covered range."""
    t = np.clip(position, 1.0, count - 2.000001)
    d = np.abs(t[:, None] - np.arange(count)[None, :])
    near = 2.0 / 3.0 - d**2 + d**3 / 2.0
    far = (2.0 - d) ** 3 / 6.0
    return np.where(d < 1, near, np.where(d < 2, far, 0.0)).astype(np.float32)


@dataclass(frozen=True)
class SmoothField:
    """A random scalar field of zero mean and unit variance with a correlation length of about ``scale_mm``."""

    coefficients: np.ndarray  # [gx, gy, gz]
    scale_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, scale_mm: float) -> SmoothField:
        """A new field; always the same number of draws for a given scale."""
        counts = np.ceil((HIGH - LOW) / scale_mm).astype(int) + 4
        # A cubic B-spline of white noise has variance (151/315)^3 in 3D: undo that.
        gain = (315.0 / 151.0) ** 1.5
        return cls((rng.standard_normal(counts) * gain).astype(np.float32), scale_mm)

    def _separable(self, axes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        out = self.coefficients
        for axis, positions in enumerate(axes):
            knots = (positions - LOW[axis]) / self.scale_mm + 1.0
            basis = _cubic_basis(knots, self.coefficients.shape[axis])
            # Not BLAS: its sums may depend on the number of threads, and a seed must give the same bits everywhere.
            out = np.einsum("abc,ia->bci", out, basis, optimize=False)
        return np.ascontiguousarray(out)

    def sample(self, grid: Grid) -> np.ndarray:
        """The field at every voxel, float32 [X, Y, Z]."""
        if grid.axis_aligned:
            return self._separable(grid.axes_mm())
        step = max(4.0, self.scale_mm / 8.0)
        low, high = grid.bounds_mm()
        axes = tuple(np.arange(a, b + 2 * step, step) for a, b in zip(low, high))
        coarse = self._separable(axes)
        to_index = grid.affine.copy()
        to_index[:3, 3] -= low
        matrix = to_index[:3, :3] / step
        offset = to_index[:3, 3] / step
        return ndimage.affine_transform(coarse, matrix, offset, grid.shape, order=1, mode="nearest")
