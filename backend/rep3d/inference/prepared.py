"""A volume made ready for the network: resampled, normalised, cropped to the body or a region, with the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rep3d.data.preprocess import closest_axes, normalise, to_network_grid
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.inference import checks
from rep3d.inference.mapping import AxisMap
from rep3d.inference.region import Region
from rep3d.inference.run import Run
from rep3d.inference.windows import Patch

if TYPE_CHECKING:
    from rep3d.tasks import Intensity, Task

Maps = tuple[AxisMap, AxisMap, AxisMap]
Index = tuple[int, int, int]


@dataclass(frozen=True)
class Prepared:
    """What the windows run over, and where it lies.

    Attributes:
        volume: the native volume. region: what was asked for, if not the whole volume.
        x_CDHW: normalised voxels [1, X, Y, Z] of ``box`` of the network grid (RAS order).
        grid, spacing_mm: size and voxel size of the whole network grid; asked_mm: the voxel size that was asked for.
        box: (start, stop) along each axis of the network grid.
        warnings: sentences for the user.
    """

    volume: Volume
    x_CDHW: Tensor
    grid: Index
    spacing_mm: tuple[float, float, float]
    asked_mm: tuple[float, float, float]
    box: checks.Box
    region: Region | None
    warnings: tuple[str, ...]

    def maps(self) -> Maps:
        """From ``box`` of the network grid to each axis of the native grid in RAS order."""
        sizes, spacings = ras_size(self.volume)
        return tuple(
            AxisMap.build(sizes[a], self.grid[a], spacings[a] / self.spacing_mm[a], self.box[a]) for a in range(3)
        )

    def around(self, voxel: Index, patch: Patch) -> Prepared:
        """One patch, as central around a native ``voxel`` (i, j, k) as the box allows: for an answer after one window.

        Raises:
            BadInput: the voxel lies outside the volume.
        """
        if not all(0 <= v < n for v, n in zip(voxel, self.volume.shape)):
            raise BadInput(f"Voxel {tuple(voxel)} lies outside the volume of {self.volume.shape} voxels.")
        axes, flips = closest_axes(self.volume.affine)
        sizes, spacings = ras_size(self.volume)
        box = []
        for a in range(3):
            index = voxel[axes[a]]
            index = sizes[a] - 1 - index if flips[a] else index
            centre = (index - (sizes[a] - 1) / 2) * spacings[a] / self.spacing_mm[a] + (self.grid[a] - 1) / 2
            low, high = self.box[a]
            start = max(low, min(round(centre - patch[a] / 2 + 0.5), high - patch[a]))
            box.append((start, min(start + patch[a], high)))
        inside = tuple(slice(a - b[0], z - b[0]) for (a, z), b in zip(box, self.box))
        return replace(self, x_CDHW=self.x_CDHW[(slice(None), *inside)], box=tuple(box))


def prepare(
    volume: Volume,
    task: Task,
    *,
    patch: Patch,
    spacing_mm: tuple[float, float, float],
    intensity: Intensity,
    roi: Region | None = None,
    run: Run | None = None,
) -> Prepared:
    """Bring ``volume`` onto the network grid and crop it to the body, or to ``roi``.

    Raises:
        BadInput, OutOfMemory, Cancelled.
    """
    run = run or Run()
    warnings = [*volume.warnings, *checks.modality_warnings(volume, task), *checks.size_warnings(volume)]
    sizes, spacings = ras_size(volume)
    network_size = tuple(max(1.0, n * s / m) for n, s, m in zip(sizes, spacings, spacing_mm))
    need = checks.prepare_bytes(tuple(sizes), network_size) + labels_bytes(volume, task)
    checks.check_memory(need, describe(volume))
    run.report(0.0, "preparing")
    with run.clock("prepare"):
        grid = to_network_grid(volume, spacing_mm)
        x_XYZ = _normalised(grid, intensity)
        box = checks.body_box(x_XYZ, patch) if roi is None else roi.index_box(grid.affine, grid.shape, patch)
        shape, spacing = grid.shape, grid.spacing_mm
        x_CDHW = torch.from_numpy(np.ascontiguousarray(x_XYZ[tuple(slice(*b) for b in box)])).unsqueeze(0)
    return Prepared(volume, x_CDHW, shape, spacing, spacing_mm, box, roi, tuple(dict.fromkeys(warnings)))


def ras_size(volume: Volume) -> tuple[list[int], list[float]]:
    """Voxels and voxel size (mm) of the native grid along its axes closest to R, A and S."""
    axes, _ = closest_axes(volume.affine)
    return [volume.shape[a] for a in axes], [volume.spacing_mm[a] for a in axes]


def labels_bytes(volume: Volume, task: Task) -> int:
    """Memory of the native label map."""
    return int(np.prod(volume.shape)) * (1 if task.num_classes <= 256 else 2)


def describe(volume: Volume) -> str:
    """How errors about memory begin."""
    return f"{volume.path or 'The volume'}: segmenting {' x '.join(map(str, volume.shape))} voxels"


def _normalised(grid: Volume, intensity: Intensity) -> np.ndarray:
    try:
        return normalise(grid.array, intensity)
    except BadInput as error:
        raise BadInput(f"{grid.path or 'The volume'}: {error}", error.hint) from error
