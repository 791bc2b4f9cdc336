"""From a native volume to the network's grid and intensities, and the matrices that lead back.

Training and inference both go through these functions, so what a network sees is the same in both.

The network grid keeps the obliqueness of the scan: axes are only permuted and flipped (the closest ones to Right,
Anterior, Superior), then resampled. Both steps act on each axis alone, so resampling is one small sparse matrix an
axis, the way back is another, and neither needs more memory than its input and output.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from rep3d.data.volume import Volume
from rep3d.errors import BadInput

if TYPE_CHECKING:
    from rep3d.tasks import Intensity

Triple = tuple[float, float, float]
PERCENTILE_SAMPLES = 4_000_000  # percentiles of larger volumes are taken on a regular subset of about this many voxels
CHUNK_VOXELS = 8_000_000  # voxels that are converted to float at a time


def closest_axes(affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which array axis lies closest to Right, Anterior and Superior, and whether it must be flipped to point there.

    The assignment with the largest summed cosine is taken, so that it is a permutation however oblique the volume is.
    """
    matrix = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)  # [RAS direction, array axis]
    best = max(permutations(range(3)), key=lambda p: sum(abs(matrix[i, p[i]]) for i in range(3)))
    return best, tuple(bool(matrix[i, best[i]] < 0) for i in range(3))


def reorient(array: np.ndarray, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> np.ndarray:
    """View of ``array`` with its axes permuted and flipped to RAS+ (see :func:`closest_axes`)."""
    return array.transpose(axes)[tuple(slice(None, None, -1 if f else 1) for f in flips)]


def undo_reorient(array: np.ndarray, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> np.ndarray:
    """Inverse of :func:`reorient`, again a view."""
    return array[tuple(slice(None, None, -1 if f else 1) for f in flips)].transpose(np.argsort(axes))


def ras_grid(shape: tuple[int, ...], affine: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray]:
    """Size and affine of a grid after its axes were permuted and flipped to the closest RAS+ order."""
    axes, flips = closest_axes(affine)
    size = tuple(int(shape[a]) for a in axes)
    out = affine.copy()
    out[:3, :3] = affine[:3, list(axes)]
    for axis, flip in enumerate(flips):
        if flip:
            out[:3, 3] += out[:3, axis] * (size[axis] - 1)
            out[:3, axis] *= -1
    return size, out


def to_ras(vol: Volume) -> Volume:
    """The volume with axes permuted and flipped to the closest RAS+ order; values and world positions unchanged."""
    array = reorient(vol.array, *closest_axes(vol.affine))
    return replace(vol, array=array, affine=ras_grid(vol.shape, vol.affine)[1], geometry=None)


def resampled_size(size: int, spacing: float, new_spacing: float) -> int:
    """Voxels along an axis after resampling: the physical extent is kept to half a new voxel."""
    return max(1, round(size * spacing / new_spacing))


def interpolation_matrix(centres: np.ndarray, size_in: int, step: float) -> sparse.csr_matrix:
    """Linear interpolation at ``centres`` (positions in input voxels) as a [len(centres), size_in] float32 matrix.

    ``step`` is the output voxel size in input voxels. With ``step`` <= 1 this is plain linear interpolation. With
    ``step`` > 1 the linear interpolant is averaged over ``step`` - 1 voxels, so that with the width of the linear
    kernel an output voxel sees what it covers, thin structures do not alias, and linear ramps are still reproduced
    exactly. Weights are not negative and every row sums to 1; beyond the first and last voxel the edge value holds.
    """
    centres = np.asarray(centres, dtype=np.float64)
    width = max(0.0, step - 1)
    columns = np.floor(centres - width / 2).astype(int)[:, None] + np.arange(int(np.ceil(width)) + 2)
    offset = columns - centres[:, None]
    if width > 1e-6:
        weights = (_hat_integral(offset + width / 2) - _hat_integral(offset - width / 2)) / width
    else:
        weights = np.clip(1 - np.abs(offset), 0, None)
    rows = np.broadcast_to(np.arange(len(centres))[:, None], columns.shape)
    keep = weights > 1e-7
    inside = np.clip(columns, 0, size_in - 1)
    return sparse.csr_matrix(
        (weights[keep].astype(np.float32), (rows[keep], inside[keep])), shape=(len(centres), size_in), dtype=np.float32
    )


def _hat_integral(x: np.ndarray) -> np.ndarray:
    """Integral of the linear kernel max(0, 1 - |t|) from minus infinity to ``x``."""
    x = np.clip(x, -1, 1)
    return 0.5 + x - np.sign(x) * x**2 / 2


def axis_centres(size_in: int, size_out: int, step: float) -> np.ndarray:
    """Where the output voxels lie in input voxels when both grids share their centre [size_out]."""
    return (np.arange(size_out) - (size_out - 1) / 2) * step + (size_in - 1) / 2


def axis_matrix(size_in: int, size_out: int, step: float) -> sparse.csr_matrix:
    """Resampling along one axis between two grids with a common centre: [size_out, size_in]."""
    return interpolation_matrix(axis_centres(size_in, size_out, step), size_in, step)


def _along_axis(array: np.ndarray, matrix: sparse.csr_matrix, axis: int) -> np.ndarray:
    """Apply ``matrix`` along ``axis``; converts to float32 in pieces so that integer input is never copied whole."""
    shape = list(array.shape)
    shape[axis] = matrix.shape[0]
    out = np.empty(shape, np.float32)
    other = (axis + 1) % 3
    pieces = max(1, min(array.shape[other], array.size // CHUNK_VOXELS))
    for part in np.array_split(np.arange(array.shape[other]), pieces):
        index = [slice(None)] * 3
        index[other] = slice(part[0], part[-1] + 1)
        block = np.moveaxis(array[tuple(index)], axis, 0)
        flat = np.ascontiguousarray(block, dtype=np.float32).reshape(block.shape[0], -1)
        result = (matrix @ flat).reshape(matrix.shape[0], *block.shape[1:])
        out[tuple(index)] = np.moveaxis(result, 0, axis)
    return out


def resample_array(array: np.ndarray, spacing: Triple, new_spacing: Triple) -> np.ndarray:
    """Linear resampling [X, Y, Z] -> float32 [X', Y', Z'], the axis that shrinks most first."""
    steps = [n / s for s, n in zip(spacing, new_spacing)]
    for axis in sorted(range(3), key=lambda a: -steps[a]):
        size = array.shape[axis]
        new = resampled_size(size, spacing[axis], new_spacing[axis])
        if new == size and abs(steps[axis] - 1) < 1e-4:
            continue
        array = _along_axis(array, axis_matrix(size, new, steps[axis]), axis)
    return np.ascontiguousarray(array, dtype=np.float32)


def resample_labels(array: np.ndarray, spacing: Triple, new_spacing: Triple) -> np.ndarray:
    """Resample integer labels: the label with the largest interpolated share wins (ties: the lower value).

    Every label is interpolated alone in float32, so memory does not grow with their number; labels are never mixed.
    """
    best: np.ndarray | None = None
    out: np.ndarray | None = None
    for value in np.unique(array):
        share = resample_array(array == value, spacing, new_spacing)
        if best is None or out is None:
            best, out = share, np.full(share.shape, value, array.dtype)
            continue
        better = share > best + 1e-6
        best[better] = share[better]
        out[better] = value
    if out is None:
        raise BadInput("The label map has no voxels.")
    return out


def network_grid(
    shape: tuple[int, ...], affine: np.ndarray, spacing_mm: Triple
) -> tuple[tuple[int, int, int], np.ndarray]:
    """Size and affine of the network's grid over a native one, as :func:`to_network_grid` makes it."""
    size, ras = ras_grid(shape, affine)
    spacing = np.linalg.norm(ras[:3, :3], axis=0)
    new = tuple(resampled_size(n, float(s), m) for n, s, m in zip(size, spacing, spacing_mm))
    matrix = ras[:3, :3] / spacing * np.asarray(spacing_mm)
    out = np.eye(4)
    out[:3, :3] = matrix
    centre = ras[:3, :3] @ ((np.asarray(size) - 1) / 2) + ras[:3, 3]
    out[:3, 3] = centre - matrix @ ((np.asarray(new) - 1) / 2)
    return new, out


def to_network_grid(vol: Volume, spacing_mm: Triple, *, label: bool = False) -> Volume:
    """The volume on the network's grid: closest-axis orientation to RAS+ first, then resampled to ``spacing_mm``.

    Images: float32, linear, anti-aliased where the grid gets coarser. Labels: the input's dtype, largest share wins.
    The new grid has ``max(1, round(size * spacing / new))`` voxels an axis, centred on the old extent.
    """
    ras = to_ras(vol)
    array = (resample_labels if label else resample_array)(ras.array, ras.spacing_mm, spacing_mm)
    return replace(ras, array=array, affine=network_grid(vol.shape, vol.affine, spacing_mm)[1], geometry=None)


def normalise(array: np.ndarray, intensity: Intensity) -> np.ndarray:
    """Intensities to float32 in [0, 1]: clip, min-max by percentiles (or by the clip bounds), clamp.

    Call it on the whole volume on the network grid, before any crop: percentiles depend on what is in view.

    Raises:
        BadInput: no finite value, one value only, or nothing left between the clip bounds.
    """
    values = np.asarray(array, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        if not finite.any():
            raise BadInput("The volume holds no finite value.", "Check how it was exported.")
        values = np.where(finite, values, values[finite].min())
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise BadInput(f"Every voxel of the volume has the same value ({low:g}).", "Choose a volume that shows a scan.")
    if intensity.clip is not None:
        clip_low, clip_high = map(float, intensity.clip)
        if high <= clip_low or low >= clip_high:
            raise BadInput(
                f"The intensities ({low:g} to {high:g}) lie outside the task's window ({clip_low:g} to {clip_high:g}).",
                "Check the modality: does the task fit this scan?",
            )
        values = np.clip(values, clip_low, clip_high)  # a copy: the caller's array stays as it is
        low, high = max(low, clip_low), min(high, clip_high)
        if intensity.percentiles is None:
            low, high = clip_low, clip_high
    if intensity.percentiles is not None:
        flat = values.reshape(-1)
        stride = max(1, flat.size // PERCENTILE_SAMPLES)
        p_low, p_high = (float(p) for p in np.percentile(flat[::stride], intensity.percentiles))
        if p_high > p_low:  # else almost all voxels share one value: keep the whole range
            low, high = p_low, p_high
    out = np.subtract(values, np.float32(low), out=values if intensity.clip is not None else None)
    out /= np.float32(high - low)
    return np.clip(out, 0, 1, out=out)
