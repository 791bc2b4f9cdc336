"""The effective receptive field: which input voxels a logit depends on, measured by its gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rep3d.errors import BadInput
from rep3d.interpret.masks import radius_holding

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """``gradient`` [D, H, W] is |d logit / d input| summed over input channels, unscaled, on the network grid.

    Attributes:
        voxel: where the logit was taken. class_index: which logit. value: its value there (mean over the region).
        spacing_mm: voxel size. radius50_mm, radius90_mm: radius around ``voxel`` that holds 50 and 90 % of the sum.
    """

    gradient: np.ndarray
    voxel: Triple
    class_index: int
    value: float
    spacing_mm: tuple[float, float, float]
    radius50_mm: float
    radius90_mm: float


def receptive_field(
    network: nn.Module,
    x_CDHW: torch.Tensor,
    voxel: Triple,
    class_index: int,
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    region: int = 0,
) -> ReceptiveField:
    """The effective receptive field of one logit in one patch.

    Args:
        network: maps [1, C, D, H, W] to logits of the same spatial size; used in evaluation mode, left as it was.
        x_CDHW: the normalised patch.
        voxel: (x, y, z) in the patch.
        class_index: channel of the logits, 0 is background.
        spacing_mm: voxel size of the patch, for the radii.
        region: sum the logit over a cube of this many voxels to each side instead of one voxel.

    Raises:
        BadInput: voxel or class outside the patch or the logits.
    """
    size = tuple(x_CDHW.shape[1:])
    if any(not 0 <= v < n for v, n in zip(voxel, size)):
        raise BadInput(f"voxel {tuple(voxel)} lies outside the patch of {size} voxels")
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad():
            x = x_CDHW.detach().clone()[None].requires_grad_(True)
            logits_KDHW = network(x)[0]
            if not 0 <= class_index < logits_KDHW.shape[0]:
                raise BadInput(f"class {class_index} does not exist: the network has {logits_KDHW.shape[0]} classes")
            where = tuple(slice(max(0, v - region), v + region + 1) for v in voxel)
            target = logits_KDHW[(class_index, *where)]
            (gradient,) = torch.autograd.grad(target.sum(), x)
    finally:
        network.train(was_training)
    amount = gradient[0].detach().abs().sum(0).float().cpu().numpy()
    axes = [(np.arange(n) - v) * s for n, v, s in zip(size, voxel, spacing_mm)]
    distance = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)))
    return ReceptiveField(
        amount,
        tuple(int(v) for v in voxel),
        class_index,
        float(target.detach().mean()),
        tuple(float(s) for s in spacing_mm),
        radius_holding(distance, amount, 0.5),
        radius_holding(distance, amount, 0.9),
    )


def patch_around(array_DHW: np.ndarray, voxel: Triple, patch: Triple) -> tuple[np.ndarray, Triple, Triple]:
    """A patch that holds ``voxel`` as centrally as the volume allows; small volumes are padded with 0 around.

    Returns the patch [patch], the voxel's place in it, and the first corner in the volume (negative where padded).
    """
    size = array_DHW.shape
    corner = []
    for v, n, p in zip(voxel, size, patch):
        corner.append(-((p - n) // 2) if n <= p else int(np.clip(v - p // 2, 0, n - p)))
    out = np.zeros(patch, np.float32)
    source = tuple(slice(max(0, c), min(n, c + p)) for c, n, p in zip(corner, size, patch))
    target = tuple(slice(s.start - c, s.stop - c) for s, c in zip(source, corner))
    out[target] = array_DHW[source]
    return out, tuple(v - c for v, c in zip(voxel, corner)), tuple(corner)
