"""Smooth random fields in patient space: the same seed gives the same field whatever grid it is sampled on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rep3d.phantom.grid import Grid

#: Patient space that fields cover, mm (RAS); scans outside it see the field's edge value.
LOW = np.array([-260.0, -230.0, -340.0])
HIGH = np.array([260.0, 230.0, 300.0])


def _cubic_weights(position: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform cubic B-spline: first of the four knots that matter [N] and their weights [N, 4].

    position: in knot units, clamped to where four knots exist.
    """
    t = np.clip(position, 1.0, count - 2.000001)
    cell = np.floor(t).astype(int)
    f = t - cell
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], axis=1) / 6.0
    return cell - 1, weights.astype(np.float32)


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

    def _knots(self, positions_mm: np.ndarray, axis: int) -> np.ndarray:
        return (positions_mm - LOW[axis]) / self.scale_mm + 1.0

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """The field at patient points [N, 3], [N]."""
        pairs = [_cubic_weights(self._knots(points_mm[:, a], a), self.coefficients.shape[a]) for a in range(3)]
        index = [first[:, None] + np.arange(4) for first, _ in pairs]
        block = self.coefficients[index[0][:, :, None, None], index[1][:, None, :, None], index[2][:, None, None, :]]
        return np.einsum("nabc,na,nb,nc->n", block, *(weights for _, weights in pairs), optimize=False)

    def _separable(self, axes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        out = self.coefficients
        for axis, positions in enumerate(axes):
            first, weights = _cubic_weights(self._knots(positions, axis), self.coefficients.shape[axis])
            shape = [1, 1, 1]
            shape[axis] = len(first)
            # Four plain sums, not BLAS: its result may depend on the number of threads, and a seed must give the same
            # bits everywhere.
            total = np.take(out, first, axis=axis) * weights[:, 0].reshape(shape)
            for k in range(1, 4):
                total += np.take(out, first + k, axis=axis) * weights[:, k].reshape(shape)
            out = total
        return out

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
