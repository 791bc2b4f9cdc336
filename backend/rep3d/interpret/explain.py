"""One voxel of a real scan: what the network's answer there depends on, on the scan's own grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rep3d.data.preprocess import closest_axes, normalise, reorient, to_network_grid
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.inference.mapping import AxisMap
from rep3d.interpret.erf import ReceptiveField, patch_around, receptive_field
from rep3d.interpret.memory import check_gradient_memory, with_smaller_patch
from rep3d.tasks import Intensity

Triple = tuple[int, int, int]
COARSEST, FINEST = 8.0, 1 / 20  # voxels of the scan in voxels of the network's grid


@dataclass(frozen=True)
class Explanation:
    """The receptive field of one logit in a scan.

    Attributes:
        field: over ``patch``, on the network's grid.
        patch_XYZ: the intensities that the network saw there.
        corner: first voxel of the patch on the network grid (negative where the scan is smaller than the patch).
        affine: of the patch, voxel to RAS mm.
        at_ijk: the scan's voxel that was asked about.
        grid: the scan on the network's grid.
        warnings: sentences for the user.
    """

    field: ReceptiveField
    patch_XYZ: np.ndarray
    corner: Triple
    affine: np.ndarray
    at_ijk: Triple
    grid: Volume
    warnings: tuple[str, ...]


def check_spacing(volume: Volume, spacing_mm: tuple[float, float, float]) -> None:
    """Raise BadInput unless the scan's voxels are of a size from which the network's grid can be made."""
    native = np.sort(volume.spacing_mm)
    wanted = np.sort(spacing_mm)
    ratio = native / wanted
    if ratio.max() > COARSEST or ratio.min() < FINEST:
        sizes = [" x ".join(f"{s:.3g}" for s in v) for v in (volume.spacing_mm, spacing_mm)]
        raise BadInput(
            f"{volume.path or 'the scan'}: its voxels of {sizes[0]} mm do not fit the network's {sizes[1]} mm",
            "Check the unit of the voxel size (millimetres), or choose weights for such scans.",
        )


def voxel_at(volume: Volume, point_ras: tuple[float, float, float]) -> Triple:
    """The voxel whose centre lies closest to a point in RAS millimetres. Raises BadInput outside the volume."""
    exact = (np.linalg.inv(volume.affine) @ [*point_ras, 1.0])[:3]
    voxel = tuple(int(np.floor(v + 0.5)) for v in exact)
    if any(not 0 <= v < n for v, n in zip(voxel, volume.shape)):
        raise BadInput(f"{volume.path or 'the scan'}: the point {tuple(point_ras)} mm lies outside it")
    return voxel


def explain_voxel(
    network: nn.Module,
    volume: Volume,
    at_ijk: Triple,
    class_index: int | None,
    *,
    spacing_mm: tuple[float, float, float],
    intensity: Intensity,
    patch: Triple,
    device: torch.device,
    progress: Callable[[float, str], None] | None = None,
) -> Explanation:
    """The receptive field of one class at one voxel of a scan.

    Args:
        network: deployed or trained, on any device; moved to ``device``.
        at_ijk: voxel of the scan. class_index: None is the class that the network gives to the voxel.
        spacing_mm, intensity, patch: of the network's training; where memory does not suffice, a smaller patch is
            taken and a warning says so.

    Raises:
        BadInput: voxel outside, no such class, voxels of a size that cannot be right. OutOfMemory.
    """
    report = progress or (lambda _fraction, _stage: None)
    if any(not 0 <= v < n for v, n in zip(at_ijk, volume.shape)):
        size = " x ".join(map(str, volume.shape))
        raise BadInput(f"{volume.path or 'the scan'}: the voxel {tuple(at_ijk)} lies outside its {size} voxels.")
    check_spacing(volume, spacing_mm)
    report(0.1, "preparing")
    grid = to_network_grid(volume, spacing_mm)
    voxel = nearest(grid, volume.affine @ [*at_ijk, 1])
    seen = normalise(grid.array, intensity)
    network = network.to(device)

    def attempt(size: Triple) -> tuple[ReceptiveField, np.ndarray, Triple]:
        check_gradient_memory(network, size, device)
        crop, inside, corner = patch_around(seen, voxel, size)
        x_CDHW = torch.from_numpy(crop)[None].to(device)
        index = class_index
        if index is None:
            report(0.2, "asking the network")
            with torch.inference_mode():
                index = int(network.eval()(x_CDHW[None])[(0, slice(None), *inside)].argmax())
        report(0.4, "following the gradient back")
        return receptive_field(network, x_CDHW, inside, index, spacing_mm=spacing_mm), crop, corner

    (field, crop, corner), _, warnings = with_smaller_patch(
        attempt, tuple(patch), getattr(network, "stride", 16), device
    )
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ corner
    return Explanation(field, crop, corner, affine, tuple(at_ijk), grid, tuple(warnings))


def nearest(grid: Volume, point_ras: np.ndarray) -> Triple:
    """The voxel of ``grid`` whose centre lies closest to a point in RAS mm; at the rim, the last one inside."""
    index = (np.linalg.inv(grid.affine) @ point_ras)[:3]
    return tuple(int(np.clip(round(v), 0, n - 1)) for v, n in zip(index, grid.shape))


def on_native_grid(values_XYZ: np.ndarray, explanation: Explanation, volume: Volume) -> np.ndarray:
    """A map over the patch, interpolated at the scan's own voxels, float32; 0 outside the patch.

    Values stay those of the network's grid (per network voxel): they are averaged where the scan's voxels are larger,
    never summed.
    """
    grid, size = explanation.grid, values_XYZ.shape
    crop = [(max(0, c), min(n, c + p)) for c, n, p in zip(explanation.corner, grid.shape, size)]
    inside = values_XYZ[tuple(slice(a - c, b - c) for (a, b), c in zip(crop, explanation.corner))]
    out = np.zeros(volume.shape, np.float32)
    ras = reorient(out, *closest_axes(volume.affine))
    native_mm = reorient_spacing(volume)
    maps = [AxisMap.build(ras.shape[a], grid.shape[a], native_mm[a] / grid.spacing_mm[a], crop[a]) for a in range(3)]
    r, a, b = (m.matrix for m in maps)
    values = np.einsum("xi,ijk->xjk", r, inside, optimize=True)
    values = np.einsum("yj,xjk->xyk", a, values, optimize=True)
    ras[tuple(slice(m.first, m.first + len(m)) for m in maps)] = np.einsum("zk,xyk->xyz", b, values, optimize=True)
    return out


def reorient_spacing(volume: Volume) -> tuple[float, float, float]:
    """The scan's voxel size in the order of the network's axes (R, A, S)."""
    axes, _ = closest_axes(volume.affine)
    return tuple(volume.spacing_mm[axis] for axis in axes)
