"""A deployed weights file as the start of a training with ``reparam="plain"``.

Fusing multiplied masks and batch norms into the kernels and dropped taps that never met data. What is left is a plain
network, and a plain network is what it can become again: masks and branches cannot be taken out of their product.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from rep3d.errors import BadInput
from rep3d.networks import accepted_arguments, create_network
from rep3d.networks.encoder import stage_kernels
from rep3d.training.build import network_arguments
from rep3d.training.config import TrainConfig
from rep3d.training.finetune import Source, check_network


def source_of_weights(path: Path, config: TrainConfig) -> Source:
    """The tensors of a weights file under the names of the run's network.

    Kernels smaller than the run's are framed with zeros. Batch norms are set so that in evaluation mode they do what
    was folded into the kernels (mean 0, variance 1); `norms.calibrate` then moves that into statistics of real data.

    Raises BadInput: the run's network has masks or branches, or kernels smaller than the file's. WeightsInvalid.
    """
    from rep3d.weights import load_weights

    weights = load_weights(path)
    name, theirs = weights.meta.network["name"], weights.meta.network["args"]
    arguments = network_arguments(config, weights.meta.task.num_classes)
    known = accepted_arguments(name)
    if "reparam" in known and name == config.network and arguments.get("reparam", known["reparam"]) != "plain":
        raise BadInput(
            f"--init {path} is a deployed file: its masks are multiplied into the kernels",
            "Use --reparam plain, or start from the run's checkpoint (best.ckpt).",
        )
    # What fusing changed is taken from the run; the rest has to agree.
    kept = {k: v for k, v in theirs.items() if k not in ("deployed", "kernel_size")}
    kept |= {k: arguments[k] for k in ("kernel_size", "reparam") if k in arguments}
    state = {n: t.float() for n, t in weights.tensors.items() if not n.startswith("aux.")}
    source = Source(path, name, kept, state, weights.meta.task, fused="reparam" in known)
    check_network(source, config)
    if not source.fused:  # a network without large kernels is deployed as it is
        return source
    with torch.device("meta"):
        wanted = create_network(name, **arguments)
    return replace(source, state=_training_form(state, wanted, path))


def _training_form(state: dict[str, torch.Tensor], wanted: nn.Module, path: Path) -> dict[str, torch.Tensor]:
    state = dict(state)
    kernels = stage_kernels([list(stage[0].conv.kernel_size) for stage in wanted.encoder.stages])
    for i, stage in enumerate(wanted.encoder.stages):
        for j, block in enumerate(stage):
            prefix = f"encoder.stages.{i}.{j}."
            weight = state[prefix + "conv.weight"]
            if any(k < w for k, w in zip(kernels[i], weight.shape[2:])):
                raise BadInput(
                    f"--init {path} has kernels of {tuple(weight.shape[2:])} in stage {i + 1}, "
                    f"this network of {kernels[i]}",
                    "Use a --network-args kernel_size that is at least as large.",
                )
            frame = [((k - w) // 2,) * 2 for k, w in zip(kernels[i], weight.shape[2:])]
            state[prefix + "conv.weight"] = F.pad(weight, [n for pair in reversed(frame) for n in pair])
            norm = getattr(block, "norm", None)
            if not isinstance(norm, nn.BatchNorm3d):
                continue
            channels = weight.shape[0]
            if block.norm_kind == "batch-first":
                scale, shift = (state.pop(prefix + f"norm.{part}") for part in ("scale", "shift"))
            else:
                scale, shift = torch.ones(channels), state.pop(prefix + "conv.bias")
            state[prefix + "norm.weight"] = scale * (1 + norm.eps) ** 0.5
            state[prefix + "norm.bias"] = shift
            state[prefix + "norm.running_mean"] = torch.zeros(channels)
            state[prefix + "norm.running_var"] = torch.ones(channels)
            state[prefix + "norm.num_batches_tracked"] = torch.tensor(0)
    return state
