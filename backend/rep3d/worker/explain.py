"""``masks`` and ``erf``: why the network saw what it saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rep3d.data.preprocess import normalise, to_network_grid
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.inference.devices import memory_errors, resolve_device
from rep3d.interpret import energy, masks_from_weights, patch_around, radial_profile, receptive_field
from rep3d.interpret.kernel_table import kernel_row
from rep3d.interpret.kernels import KernelBlock, kernels_from_weights, volume_of
from rep3d.worker import volumes
from rep3d.worker.job import Job
from rep3d.worker.warm import WarmModels


def masks(job: Job, models: WarmModels) -> dict[str, Any]:
    """The learned masks over the large kernels, block by block, with their energy and radial profile.

    With ``kernels`` also the prior P that each mask began from and the effective kernel W . M.
    """
    weights = models.weights(job.params["task"], job.params["weights"])
    blocks, arrays = [], {"arrays": {}, "priors": {}, "kernels": {}}
    found = masks_from_weights(weights)
    kernels = {block.name: block for block in kernels_from_weights(weights).blocks} if found else {}
    for i, block in enumerate(found):
        job.check()
        job.progress(i / len(found), f"mask of {block.name}")
        kernel, about = kernels[block.name], energy(block.mask_CKKK)
        blocks.append(
            {
                "name": block.name,
                "channels": block.mask_CKKK.shape[0],
                "kernel": list(block.mask_CKKK.shape[1:]),
                "exponent": block.exponent if block.exponent_known else None,
                "energy": {**vars(about), "within": list(about.within)},
                "profile": _profile(block.mean_KKK),
                "prior_profile": _profile(block.prior_KKK),
                "kernel_channels": kernel.effective_CKKK.shape[0],
                "kernel_profile": _profile(volume_of(kernel.effective_CKKK)),
                "numbers": _numbers(kernel),
            }
        )
        if job.params["arrays"]:
            arrays["arrays"][block.name] = job.write_array("mask", block.mask_CKKK)
        if job.params["kernels"]:
            arrays["priors"][block.name] = job.write_array("prior", block.prior_KKK)
            arrays["kernels"][block.name] = job.write_array("kernel", kernel.effective_CKKK)
    return {"blocks": blocks, **arrays, "weights": {"id": weights.meta.id, "task": weights.meta.task.key}}


def _numbers(block: KernelBlock) -> dict[str, Any] | None:
    """The row of ``rep3d masks``; None for a kernel that is zero everywhere."""
    return kernel_row(block) if np.any(block.effective_CKKK) else None


def _profile(values_KKK: np.ndarray) -> dict[str, list[float]]:
    return {key: value.tolist() for key, value in vars(radial_profile(values_KKK)).items()}


def erf(job: Job, models: WarmModels) -> dict[str, Any]:
    """The effective receptive field of one logit: |d logit / d input| over one window around the voxel.

    The array lies on the network's grid, one trained patch in size, with its own affine.

    Raises:
        BadInput: the voxel lies outside the volume, or there is no such class. OutOfMemory.
    """
    p = job.params
    volume = volumes.map_volume(job, p["volume"])
    at = p["at_ijk"]
    if any(not 0 <= v < n for v, n in zip(at, volume.shape)):
        raise BadInput(f"{volume.path}: the voxel {at} lies outside its {' x '.join(map(str, volume.shape))} voxels.")
    device = resolve_device(p["device"])
    model = models.model(p["task"], p["weights"], job)
    meta = model.weights.meta
    volumes.check_memory(volume, meta)
    job.progress(0.1, "preparing")
    with memory_errors(device):
        grid = to_network_grid(volumes.finite(volume), meta.spacing_mm)
        voxel = nearest(grid, volume.affine @ [*at, 1])
        patch, inside, corner = patch_around(normalise(grid.array, meta.intensity), voxel, meta.patch)
        x_CDHW = torch.from_numpy(patch)[None].to(device)
        network = model.network.to(device)
        job.check()
        index = p["class"]
        if index is None:
            job.progress(0.2, "asking the network")
            with torch.inference_mode():
                index = int(network(x_CDHW[None])[(0, slice(None), *inside)].argmax())
        job.check()
        job.progress(0.4, "following the gradient back")
        field = receptive_field(network, x_CDHW, inside, index, spacing_mm=meta.spacing_mm)
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ corner
    names = {label.value: label.name for label in meta.task.labels}
    return {
        "array": job.write_array("erf", np.asfortranarray(field.gradient)),
        "affine": affine.tolist(),
        "class": index,
        "class_name": names.get(index, "Background"),
        "voxel": list(field.voxel),
        "value": field.value,
        "radius50_mm": field.radius50_mm,
        "radius90_mm": field.radius90_mm,
        "device": str(device),
    }


def nearest(grid: Volume, point_ras: np.ndarray) -> tuple[int, int, int]:
    """The voxel of ``grid`` whose centre lies closest to a point in RAS mm; at the rim, the last one inside."""
    index = (np.linalg.inv(grid.affine) @ point_ras)[:3]
    return tuple(int(np.clip(round(v), 0, n - 1)) for v, n in zip(index, grid.shape))
