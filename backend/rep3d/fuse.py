"""Training form to deployed form: masks baked in, batch norms folded, dead taps dropped, no generator left."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rep3d import __version__
from rep3d.data.dataset import data_list, find_dataset
from rep3d.errors import BadInput, WeightsInvalid
from rep3d.expected import Expected, measure_expected
from rep3d.files import sha256_file
from rep3d.layers import ChannelAffine
from rep3d.networks import accepted_arguments, create_network
from rep3d.networks.encoder import KernelSizes, StagedEncoder, stage_kernels
from rep3d.tasks import Task
from rep3d.training.checkpoint import load_checkpoint, trained_network
from rep3d.weights import EXPONENT_PREFIX, MASK_PREFIX, WeightsMeta

# Fused and training-form logits may differ by float32 rounding alone.
TOLERANCE = 1e-4
# Arguments of a network that shape its training and leave nothing in the deployed form.
TRAINING_ONLY = ("reparam", "lrbm", "csla", "deep_supervision")


def alive_kernels(kernel_size: KernelSizes, patch: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """The largest useful kernel of each stage at this patch.

    A stage whose map is D voxels wide has taps that meet data only up to D - 1 from the centre: 2D - 1 of them. Taps
    further out had no gradient in training, so they are dropped; a larger window must not wake random weights.
    """
    kernels = []
    for stage, kernel in enumerate(stage_kernels(kernel_size)):
        widths = [n >> (stage + 1) for n in patch]
        kernels.append(tuple(min(k, 2 * d - 1) for k, d in zip(kernel, widths)))
    return kernels


def fuse_network(network: nn.Module, patch: tuple[int, int, int]) -> nn.Module:
    """A new network in deployed form that computes the same function as ``network.eval()``.

    Args:
        network: any network in training form, with ``spec``; one without large kernels only loses what serves training
            alone (heads of deep supervision).
        patch: (x, y, z) voxels of the crops it was trained on.

    Raises:
        BadInput: the network is fused already.
    """
    spec = network.spec
    if not has_large_kernels(network):
        return _without_training_parts(network)
    if spec["args"].get("deployed"):
        raise BadInput("the network is fused already")
    trained_kernels = [list(stage[0].conv.kernel_size) for stage in network.encoder.stages]
    kernels = alive_kernels(trained_kernels, patch)
    args = {k: v for k, v in spec["args"].items() if k not in TRAINING_ONLY}
    fused = create_network(spec["name"], **{**args, "kernel_size": [list(k) for k in kernels], "deployed": True})
    source, target = copy.deepcopy(network).float().eval(), fused.eval()
    with torch.no_grad():
        blocks = dict(_blocks(source.encoder))
        for name, block in _blocks(target.encoder):
            _fuse_block(blocks[name], block)
        state = {n: t for n, t in source.state_dict().items() if n in target.state_dict() and ".stages." not in n}
        target.load_state_dict(state, strict=False)
    return target


def has_large_kernels(network: nn.Module) -> bool:
    """Whether the network has a deployed form of its own, with masks and batch norms folded into its kernels."""
    return "deployed" in accepted_arguments(network.spec["name"])


def _without_training_parts(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode without the heads of deep supervision."""
    spec = network.spec
    twin = create_network(spec["name"], **{k: v for k, v in spec["args"].items() if k not in TRAINING_ONLY})
    wanted, have = twin.state_dict(), network.state_dict()
    twin.load_state_dict({name: have[name].float() for name in wanted})
    return twin.eval()


def block_masks(network: nn.Module) -> dict[str, torch.Tensor]:
    """The modulation mask of each block in training form, [1 or C, K, K, K], by block name ("stage1.block2")."""
    with torch.no_grad():
        return {n: b.conv.mask().detach() for n, b in _blocks(network.encoder) if b.conv.mask is not None}


def side_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """What a weights file keeps to explain itself: ``block_masks`` (float16) and the priors' exponents by block.

    Empty for networks without large kernels.
    """
    if not has_large_kernels(network):
        return {}
    masks = {MASK_PREFIX + name: mask.half() for name, mask in block_masks(network).items()}
    exponents = {
        EXPONENT_PREFIX + name: block.conv.mask.prior.exponent.detach().clone()
        for name, block in _blocks(network.encoder)
        if block.conv.mask is not None
    }
    return {**masks, **exponents}


def fusion_error(network: nn.Module, fused: nn.Module, patch: tuple[int, int, int], seed: int = 0) -> float:
    """Largest logit difference of the two forms on random input at the patch, relative to the largest logit."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(1, network.in_channels, *patch, generator=generator)
    was_training = network.training
    with torch.no_grad():
        reference = network.eval()(x)
        error = (fused.eval()(x) - reference).abs().max() / reference.abs().max()
    network.train(was_training)
    return float(error)


def fuse_checked(network: nn.Module, patch: tuple[int, int, int], source: Path) -> tuple[nn.Module, float]:
    """``fuse_network`` and its ``fusion_error``; raises WeightsInvalid, naming ``source``, above TOLERANCE."""
    fused = fuse_network(network, patch)
    error = fusion_error(network, fused, patch)
    if not error <= TOLERANCE:
        raise WeightsInvalid(f"fusing {source} changed the logits by {error:.1e} relative, more than {TOLERANCE:.0e}")
    return fused, error


def fuse_checkpoint(path: str | Path, *, weights_id: str = "", licence: str = "") -> tuple[dict, WeightsMeta, float]:
    """Tensors and metadata of the deployed form of a training checkpoint, and the measured ``fusion_error``.

    Args:
        path: checkpoint written by training; its averaged weights (EMA) are used where it has them.
        weights_id: name of the weights; default task, network and step.
        licence: of the weights; default the licence of the task's data set.

    Raises:
        BadInput: not a checkpoint.
        WeightsInvalid: the fused network does not agree with the checkpoint's to TOLERANCE.
    """
    path = Path(path)
    checkpoint = load_checkpoint(path)
    task = Task.from_dict(checkpoint["task"], str(path))
    network = trained_network(checkpoint, path)
    patch = tuple(checkpoint["config"]["patch"])
    fused, error = fuse_checked(network, patch, path)
    meta = WeightsMeta(
        id=weights_id or f"{task.key}-{network.spec['name']}-step{checkpoint['step']}",
        task=task,
        network=fused.spec,
        patch=patch,
        spacing_mm=task.spacing_mm,
        intensity=task.intensity,
        training=training_summary(checkpoint, error),
        data_sha256=checkpoint["data_sha256"],
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        rep3d_version=__version__,
        licence=licence or task.dataset["licence"],
    )
    return {**fused.state_dict(), **side_tensors(network)}, meta, error


def as_half(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors in 16 bits. Raises WeightsInvalid where a number is too large for them."""
    halved = {name: tensor.half() for name, tensor in tensors.items()}
    large = [name for name, tensor in halved.items() if not tensor.isfinite().all()]
    if large:
        raise WeightsInvalid(f"{large[0]} holds numbers that 16 bits cannot hold", "Leave out --half.")
    return halved


def expected_of(checkpoint: Path, data: Path | None = None) -> Expected | None:
    """What the scans that a checkpoint was trained on look like.

    Args:
        checkpoint: RUN/best.ckpt or another of the run's.
        data: the folder of the training data; default: the one the run was started with, None if it is not there any
            more or holds other data.

    Raises:
        BadInput: not a checkpoint; ``data`` are not those of the training.
    """
    folder = data or _data_folder(checkpoint.parent)
    if folder is None or not (data or folder.is_dir()):
        return None
    content = load_checkpoint(checkpoint)
    task = Task.from_dict(content["task"], str(checkpoint))
    try:
        dataset = find_dataset(folder, task, content["config"].get("fold", 0))
        files = (path for case in dataset.cases for path in (case.image, case.label))
        digest = data_list(dataset, task.key, {path: sha256_file(path) for path in files})[1]
        if digest != content["data_sha256"]:
            raise BadInput(
                f"{folder} does not hold the data that {checkpoint} was trained on", "Give the right --data."
            )
    except BadInput:
        if data:
            raise
        return None
    return measure_expected(dataset.of("train"), task)


def _data_folder(run: Path) -> Path | None:
    try:
        return Path(json.loads((run / "data.json").read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError, TypeError):  # no run's folder, or one of an earlier version
        return None


def training_summary(checkpoint: dict[str, Any], fusion_error: float) -> dict[str, Any]:
    """What a reader of the weights wants to know of their training, JSON-able."""
    return {
        "network": checkpoint["network"],
        "steps": checkpoint["step"],
        "averaged_weights": bool(checkpoint["ema"]),
        "best": checkpoint["best"],
        "config": checkpoint["config"],
        "mirror_axes": checkpoint["config"].get("augment", {}).get("mirror_axes", []),
        "fusion_error": fusion_error,
    }


def _blocks(encoder: StagedEncoder) -> Iterator[tuple[str, nn.Module]]:
    for i, stage in enumerate(encoder.stages):
        for j, block in enumerate(stage):
            yield f"stage{i + 1}.block{j + 1}", block


def _crop(weight_C1KKK: torch.Tensor, kernel: tuple[int, int, int]) -> torch.Tensor:
    offsets = [(have - want) // 2 for have, want in zip(weight_C1KKK.shape[2:], kernel)]
    return weight_C1KKK[(..., *(slice(o, o + k) for o, k in zip(offsets, kernel)))]


def _fuse_block(source: nn.Module, target: nn.Module) -> None:
    weight = _crop(source.conv.effective_weight(), target.conv.kernel_size)
    channels = weight.shape[0]
    bias = torch.zeros(channels) if source.conv.bias is None else source.conv.bias
    if isinstance(getattr(source, "norm", None), nn.BatchNorm3d):
        scale, shift = batch_norm_affine(source.norm)
        if isinstance(target.norm, ChannelAffine):
            target.norm.scale.copy_(scale)
            target.norm.shift.copy_(shift)
        else:
            weight = weight * scale.view(-1, 1, 1, 1, 1)
            bias = bias * scale + shift
    target.conv.weight.copy_(weight)
    target.conv.bias.copy_(bias)
    # What else the block has (layer norm, pointwise convolutions, layer scale) is the same in both forms.
    known = target.state_dict()
    same = {n: t for n, t in source.state_dict().items() if n in known and not n.startswith("conv.")}
    target.load_state_dict(same, strict=False)


def batch_norm_affine(norm: nn.BatchNorm3d) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift per channel that the batch norm applies in evaluation mode, folded in float64."""
    variance = norm.running_var.double() + norm.eps
    scale = norm.weight.double() / variance.sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    return scale.float(), shift.float()
