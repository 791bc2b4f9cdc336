"""``masks`` and ``erf``: why the network saw what it saw."""

from __future__ import annotations

from typing import Any

import numpy as np

from rep3d.inference.devices import memory_errors, resolve_device
from rep3d.interpret import energy, masks_from_weights, radial_profile
from rep3d.interpret.explain import explain_voxel
from rep3d.interpret.kernel_table import kernel_row
from rep3d.interpret.kernels import KernelBlock, kernels_from_weights, volume_of
from rep3d.interpret.reach import measure
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

    The array lies on the network's grid, one trained patch in size (a smaller one where memory does not suffice, with
    a warning), with its own affine.

    Raises:
        BadInput: the voxel lies outside the volume, there is no such class, voxels of a size that cannot be right.
        OutOfMemory.
    """
    p = job.params
    volume = volumes.map_volume(job, p["volume"])
    device = resolve_device(p["device"])
    model = models.model(p["task"], p["weights"], job)
    meta = model.weights.meta
    volumes.check_memory(volume, meta)
    volume = volumes.finite(volume)

    def progress(fraction: float, stage: str) -> None:
        job.check()
        job.progress(fraction, stage)

    with memory_errors(device):
        made = explain_voxel(
            model.network,
            volume,
            tuple(p["at_ijk"]),
            p["class"],
            spacing_mm=meta.spacing_mm,
            intensity=meta.intensity,
            patch=meta.patch,
            device=device,
            progress=progress,
        )
        job.check()
        job.progress(0.9, "measuring")
        field = made.field
        reach = measure(field)
    names = {label.value: label.name for label in meta.task.labels}
    return {
        "array": job.write_array("erf", np.asfortranarray(field.gradient)),
        "affine": made.affine.tolist(),
        "class": field.class_index,
        "class_name": names.get(field.class_index, "Background"),
        "voxel": list(field.voxel),
        "value": field.value,
        "radius50_mm": field.radius50_mm,
        "radius90_mm": field.radius90_mm,
        "numbers": {key: value if np.isfinite(value) else None for key, value in reach.numbers.items()},
        "warnings": [*volume.warnings, *made.warnings],
        "device": str(device),
    }
