"""The effective receptive field: which input voxels a logit depends on, measured by its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from rep3d.errors import BadInput
from rep3d.interpret.masks import radius_holding

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """``gradient`` [D, H, W] is |d logit / d input| summed over input channels, unscaled, on the network grid.

    Attributes:
        voxel: where the logit was taken. class_index: which logit; -1 at another depth than the logits.
        value: its value there (mean over the region).
        spacing_mm: voxel size. radius50_mm, radius90_mm: radius around ``voxel`` that holds 50 and 90 % of the sum.
        negative: the part of ``gradient`` that comes from inputs which lower the logit; None where it was not kept.
    """

    gradient: np.ndarray
    voxel: Triple
    class_index: int
    value: float
    spacing_mm: tuple[float, float, float]
    radius50_mm: float
    radius90_mm: float
    negative: np.ndarray | None = None


@dataclass(frozen=True)
class Target:
    """What is explained: the logit of ``class_index`` at ``voxel``, or with ``module`` (a dotted path of attributes)
    the sum over channels of that part's output at the place that belongs to the voxel."""

    voxel: Triple
    class_index: int = 0
    module: str = ""


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
    return receptive_fields(network, x_CDHW, [Target(voxel, class_index)], spacing_mm=spacing_mm, region=region)[0]


def receptive_fields(
    network: nn.Module,
    x_CDHW: torch.Tensor,
    targets: Sequence[Target],
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    region: int = 0,
) -> list[ReceptiveField]:
    """:func:`receptive_field` of several targets from one forward pass. Raises BadInput as that does."""
    size = tuple(x_CDHW.shape[1:])
    for target in targets:
        if any(not 0 <= v < n for v, n in zip(target.voxel, size)):
            raise BadInput(f"voxel {tuple(target.voxel)} lies outside the patch of {size} voxels")
    was_training = network.training
    network.eval()
    outputs: dict[str, torch.Tensor] = {}
    handles = [_keep(network, name, outputs) for name in sorted({t.module for t in targets if t.module})]
    try:
        with torch.enable_grad():
            x = x_CDHW.detach().clone()[None].requires_grad_(True)
            outputs[""] = network(x)
            fields = []
            for i, target in enumerate(targets):
                amount, count = _amount(outputs[target.module], target, size, region)
                (gradient,) = torch.autograd.grad(amount, x, retain_graph=i + 1 < len(targets))
                value = float(amount.detach()) / count
                fields.append(_field(gradient[0].detach(), target, value, spacing_mm))
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    return fields


def _keep(network: nn.Module, name: str, outputs: dict[str, torch.Tensor]) -> RemovableHandle:
    try:
        module = network.get_submodule(name)
    except AttributeError as error:
        raise BadInput(f"the network has no part {name!r}") from error
    return module.register_forward_hook(lambda _module, _inputs, output: outputs.__setitem__(name, output))


def _amount(output: torch.Tensor, target: Target, size: Triple, region: int) -> tuple[torch.Tensor, int]:
    """The number whose gradient is taken, and of how many voxels it is the sum."""
    if target.module:
        place = tuple(v * m // n for v, m, n in zip(target.voxel, output.shape[2:], size))
        return output[(0, slice(None), *place)].sum(), 1
    if not 0 <= target.class_index < output.shape[1]:
        raise BadInput(f"class {target.class_index} does not exist: the network has {output.shape[1]} classes")
    where = tuple(slice(max(0, v - region), v + region + 1) for v in target.voxel)
    taken = output[(0, target.class_index, *where)]
    return taken.sum(), taken.numel()


def _field(
    gradient_CDHW: torch.Tensor, target: Target, value: float, spacing_mm: tuple[float, float, float]
) -> ReceptiveField:
    amount = gradient_CDHW.abs().sum(0).float().cpu().numpy()
    negative = (-gradient_CDHW).clamp_min(0).sum(0).float().cpu().numpy()
    distance = distances_mm(amount.shape, target.voxel, spacing_mm)
    return ReceptiveField(
        amount,
        tuple(int(v) for v in target.voxel),
        -1 if target.module else target.class_index,
        value,
        tuple(float(s) for s in spacing_mm),
        radius_holding(distance, amount, 0.5),
        radius_holding(distance, amount, 0.9),
        negative,
    )


def distances_mm(size: Triple, voxel: Triple, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Distance of every voxel of a patch to one of them, in millimetres."""
    axes = [(np.arange(n) - v) * s for n, v, s in zip(size, voxel, spacing_mm)]
    return np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)))


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
