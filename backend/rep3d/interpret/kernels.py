"""What each block's large kernel is made of: prior P, generator output f(P), mask M, weight W, effective W . M."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from rep3d.errors import BadInput
from rep3d.interpret.masks import BlockMask, masks_from_network, masks_from_weights

if TYPE_CHECKING:
    from rep3d.weights import Weights

Triple = tuple[int, int, int]
NO_MASKS = "Masks are kept for networks trained with --reparam lrbm or fixed; imported weights have theirs baked in."


@dataclass(frozen=True)
class KernelBlock:
    """One block's kernel, all arrays float32 over the same [K, K, K] taps.

    Attributes:
        mask: M, P and the exponent.
        generator_CKKK: f(P) as it is added to P (before the sigmoid of a bounded generator); None in a fused file and
            for a fixed prior, which have none.
        weight_CKKK: raw W; None in a fused file.
        effective_CKKK: W . M; in a fused file with a batch norm's scale a channel folded in. 0 at dead taps.
        alive: taps an axis that could meet data at the patch of the training.
        pitch_mm: distance of neighbouring taps in the patient, millimetres an axis.
    """

    mask: BlockMask
    generator_CKKK: np.ndarray | None
    weight_CKKK: np.ndarray | None
    effective_CKKK: np.ndarray
    alive: Triple
    pitch_mm: tuple[float, float, float]

    @property
    def name(self) -> str:
        """As in BlockMask: "stage1.block2"."""
        return self.mask.name

    @property
    def kernel(self) -> Triple:
        """Taps an axis, dead ones included."""
        return self.effective_CKKK.shape[1:]

    @property
    def alive_box(self) -> tuple[slice, slice, slice]:
        """Where the living taps are in the kernel."""
        return tuple(slice((k - a) // 2, (k + a) // 2) for k, a in zip(self.kernel, self.alive))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that there are, by short name."""
        made = {
            "prior": self.mask.prior_KKK,
            "generator": self.generator_CKKK,
            "mask": self.mask.mask_CKKK,
            "weight": self.weight_CKKK,
            "effective": self.effective_CKKK,
        }
        return {name: array for name, array in made.items() if array is not None}


@dataclass(frozen=True)
class KernelSet:
    """The kernels of one file. ``origin``: JSON-able provenance; ``step``: of training, None where unknown."""

    blocks: tuple[KernelBlock, ...]
    origin: dict[str, Any]
    step: int | None
    optimizer: str
    fused: bool


def load_kernels(path: str | Path) -> KernelSet:
    """The kernels of a weights file (.safetensors) or a training checkpoint.

    Raises:
        BadInput: no checkpoint, or its network has no masks. WeightsMissing, WeightsInvalid.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        from rep3d.weights import load_weights

        return kernels_from_weights(load_weights(path))
    return kernels_from_checkpoint(path)


def kernels_from_weights(weights: Weights) -> KernelSet:
    """The kernels of a deployed file: the stored masks and the effective weights. Raises BadInput without masks."""
    masks, meta = masks_from_weights(weights), weights.meta
    if not masks:
        raise BadInput(f"{weights.path} holds no masks", NO_MASKS)
    blocks = []
    for mask in masks:
        stage, block = place(mask.name)
        weight = weights.tensors[f"encoder.stages.{stage}.{block}.conv.weight"].float().numpy()[:, 0]
        blocks.append(
            KernelBlock(
                mask,
                None,
                None,
                _padded(weight, mask.prior_KKK.shape),
                weight.shape[1:],
                _pitch(stage, meta.spacing_mm),
            )
        )
    origin = {"file": weights.path.name, "sha256": weights.sha256, "weights": meta.id, "task": meta.task.key}
    config = meta.training.get("config", {})
    return KernelSet(tuple(blocks), origin, meta.training.get("steps"), config.get("optimizer", "adamw"), True)


def kernels_from_checkpoint(path: Path) -> KernelSet:
    """The kernels of a training checkpoint, with its averaged weights where it has them. Raises BadInput."""
    from rep3d.files import sha256_file
    from rep3d.training.checkpoint import load_checkpoint, trained_network

    checkpoint = load_checkpoint(path)
    network = trained_network(checkpoint, path)
    blocks = kernels_from_network(network, tuple(checkpoint["config"]["patch"]), checkpoint["task"]["spacing_mm"])
    if not blocks:
        raise BadInput(f"{path}: network {checkpoint['network']['name']!r} has no masks", NO_MASKS)
    origin = {
        "file": path.name,
        "sha256": sha256_file(path),
        "network": checkpoint["network"],
        "task": checkpoint["task"]["key"],
        "averaged_weights": bool(checkpoint["ema"]),
    }
    return KernelSet(blocks, origin, checkpoint["step"], checkpoint["config"].get("optimizer", "adamw"), False)


def initial_kernels(path: Path) -> KernelSet | None:
    """The kernels at step 0 of a checkpoint's run, rebuilt from its seed; None when it began from other weights.

    A network's first weights depend on nothing but the seed, its arguments and PyTorch's generator.
    """
    from rep3d.networks import create_network
    from rep3d.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    config = checkpoint["config"]
    if config.get("init") or "seed" not in config:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        network = create_network(checkpoint["network"]["name"], **checkpoint["network"]["args"]).eval()
    blocks = kernels_from_network(network, tuple(config["patch"]), checkpoint["task"]["spacing_mm"])
    origin = {"rebuilt_from_seed": config["seed"], "network": checkpoint["network"]}
    return KernelSet(blocks, origin, 0, config.get("optimizer", "adamw"), False)


def kernels_from_network(
    network: nn.Module, patch: Triple, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> tuple[KernelBlock, ...]:
    """The kernels of a network in training form; () when it has no masks.

    Args:
        patch: (x, y, z) voxels of the training crops, which decides which taps are dead.
        spacing_mm: of the network grid.
    """
    if not hasattr(network, "encoder"):
        return ()
    from rep3d.fuse import alive_kernels

    alive = alive_kernels([list(stage[0].conv.kernel_size) for stage in network.encoder.stages], patch)
    blocks = []
    for mask in masks_from_network(network):
        stage, block = place(mask.name)
        conv = network.encoder.stages[stage][block].conv
        weight = conv.weight.detach().float().numpy()[:, 0]
        effective = conv.effective_weight().detach().float().numpy()[:, 0].copy()
        dead = np.ones(effective.shape[1:], bool)
        dead[tuple(slice((k - a) // 2, (k + a) // 2) for k, a in zip(dead.shape, alive[stage]))] = False
        effective[:, dead] = 0
        generator = _generator_output(conv.mask, mask)
        blocks.append(KernelBlock(mask, generator, weight, effective, alive[stage], _pitch(stage, spacing_mm)))
    return tuple(blocks)


def place(name: str) -> tuple[int, int]:
    """ "stage2.block1" -> (1, 0)."""
    stage, block = name.split(".")
    return int(stage.removeprefix("stage")) - 1, int(block.removeprefix("block")) - 1


def _generator_output(module: nn.Module, mask: BlockMask) -> np.ndarray | None:
    from rep3d.layers.lrbm import LRBM

    if not isinstance(module, LRBM):
        return None
    total = mask.mask_CKKK.astype(np.float64)
    if module.config.bounded:
        total = np.log(total) - np.log1p(-total)
    return (total - mask.prior_KKK).astype(np.float32)


def _pitch(stage: int, spacing_mm: tuple[float, ...]) -> tuple[float, float, float]:
    return tuple(float(s) * 2 ** (stage + 1) for s in spacing_mm)


def _padded(weight_CKKK: np.ndarray, kernel: Triple) -> np.ndarray:
    if any(k < w for k, w in zip(kernel, weight_CKKK.shape[1:])):
        raise BadInput(f"a mask of {kernel} taps does not belong to a kernel of {weight_CKKK.shape[1:]}")
    return np.pad(weight_CKKK, [(0, 0), *(((k - w) // 2,) * 2 for k, w in zip(kernel, weight_CKKK.shape[1:]))])


def volume_of(array: np.ndarray) -> np.ndarray:
    """One number a tap, [K, K, K]: the array itself, or its root mean square over channels."""
    if array.ndim == 3:
        return array
    if array.shape[0] == 1:
        return array[0]
    return np.sqrt((array.astype(np.float64) ** 2).mean(0)).astype(np.float32)


def dead_share(block: KernelBlock) -> float:
    """Share of the taps that never met data."""
    return 1 - math.prod(block.alive) / math.prod(block.kernel)
