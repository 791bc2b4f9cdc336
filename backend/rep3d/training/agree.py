"""What the ranks of a run must have alike before the first step, besides weights and data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import nn

from rep3d.ops import adopt_algorithm_choices, algorithm_choices
from rep3d.training.config import TrainConfig
from rep3d.training.ranks import Ranks
from rep3d.training.step import kept_buffers


def agree(network: nn.Module, loss_of: Callable, config: TrainConfig, ranks: Ranks) -> None:
    """Let all ranks follow the first one's choices of algorithms, and leave parameters without a gradient aside.

    Algorithms are chosen by measuring and differ in rounding: if each rank had its own, a continued run could differ
    from an uninterrupted one. So the first rank computes a step and a window on zeros while the others wait. DDP waits
    for the gradient of every parameter that asks for one; those that get none in this trial never will.
    """
    if ranks.world == 1:
        return
    unused: list[str] = []
    with ranks.in_turn():
        if ranks.first:
            unused = _trial(network, loss_of, config, ranks)
    choices, unused = ranks.gather((algorithm_choices(), unused))[0]
    adopt_algorithm_choices(choices)
    for name in unused:
        network.get_parameter(name).requires_grad_(False)


def _trial(network: nn.Module, loss_of: Callable, config: TrainConfig, ranks: Ranks) -> list[str]:
    crops = config.batch_size * config.crops_per_volume // (ranks.world * config.accumulate)
    image = torch.zeros(crops, network.in_channels, *config.patch, device=ranks.device)
    label = torch.zeros(crops, 1, *config.patch, dtype=torch.uint8, device=ranks.device)
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    devices = [ranks.device] if ranks.device.type == "cuda" else []
    training = network.training
    with torch.random.fork_rng(devices=devices), kept_buffers(network), contextlib.ExitStack() as after:
        after.callback(network.train, training)
        network.train()
        with ranks.fabric.autocast():
            loss = loss_of(network(image), label)
        gradients = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
        network.eval()
        with torch.inference_mode(), ranks.fabric.autocast():
            network(image[:1])
    return [name for (name, _), gradient in zip(named, gradients, strict=True) if gradient is None]
