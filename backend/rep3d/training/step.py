"""The gradients of one step, in parts and over ranks; and which case is to blame where they are not finite."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import nn

from rep3d.errors import Rep3DError
from rep3d.training.batches import Batch
from rep3d.training.config import TrainConfig
from rep3d.training.ranks import Ranks
from rep3d.training.sync_norm import norms_alone

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Diverged(Rep3DError):
    """The loss or a gradient is no longer finite; the checkpoint from before that step is kept."""

    code = "internal"


def step_gradients(
    fabric: Fabric, model: nn.Module, optimizer: torch.optim.Optimizer, loss_of: Loss, batch: Batch, config: TrainConfig
) -> tuple[float, float]:
    """Leave the gradients of the step, clipped, in the parameters; returns this rank's mean loss and their norm before.

    Every loss is a mean over crops, so the mean of the parts' gradients is the gradient of all; DDP takes the mean over
    ranks. Exceptions: a batch Dice and batch-norm statistics are those of a part.
    """
    parts = batch.split(config.accumulate)
    optimizer.zero_grad()
    total = 0.0
    for number, part in enumerate(parts, 1):
        image, label = part.image_BCDHW.to(fabric.device), part.label_B1DHW.to(fabric.device)
        with fabric.no_backward_sync(model, enabled=number < len(parts)):
            loss = loss_of(model(image), label)
            fabric.backward(loss if len(parts) == 1 else loss / len(parts))
        total += loss.item()
    norm = fabric.clip_gradients(model, optimizer, max_norm=config.clip_grad or math.inf, error_if_nonfinite=False)
    return total / len(parts), float(norm)


def offenders(
    network: nn.Module,
    loss_of: Loss,
    batch: Batch,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager] = contextlib.nullcontext,
) -> list[str]:
    """Of this rank's cases those whose crops, taken alone, have a loss or a gradient that is not finite.

    Norms see one case at a time here, and ``loss_of`` must not wait for other ranks either. All ranks call it together.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    found = []
    with norms_alone(network), kept_buffers(network):
        for case in dict.fromkeys(batch.ids):
            crops = [i for i, other in enumerate(batch.ids) if other == case]
            image, label = batch.image_BCDHW[crops].to(device), batch.label_B1DHW[crops].to(device)
            with autocast():
                loss = loss_of(network(image), label)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            if not math.isfinite(loss.item()) or not all(g is None or g.isfinite().all() for g in gradients):
                found.append(case)
    return found


@contextlib.contextmanager
def kept_buffers(network: nn.Module) -> Iterator[None]:
    """What the block changes in buffers (norm statistics) is undone at its end."""
    before = [b.clone() for b in network.buffers()]
    try:
        yield
    finally:
        set_buffers(network, before)


@torch.no_grad()
def set_buffers(network: nn.Module, values: list[torch.Tensor]) -> None:
    """Give the network's buffers these values, in their order."""
    for buffer, value in zip(network.buffers(), values, strict=True):
        buffer.copy_(value)


def diverged(
    step: int, loss: float, network: nn.Module, loss_of: Loss, batch: Batch, ranks: Ranks, kept: str
) -> Diverged:
    """The error for a step whose loss or gradient is not finite; all ranks call it. ``kept``: file of the state before.

    It names the cases that fail alone, or all of the step where none does.
    """
    what = f"the loss is {loss}" if not math.isfinite(loss) else "a gradient is not finite"
    mine = offenders(network, loss_of, batch, ranks.device, ranks.fabric.autocast)
    blamed = list(dict.fromkeys(case for cases in ranks.gather(mine) for case in cases))
    everyone = list(dict.fromkeys(case for cases in ranks.gather(batch.ids) for case in cases))
    if blamed and len(blamed) < len(everyone):
        cases = f"the cause is {', '.join(blamed)} (of {', '.join(everyone)} in the step)"
    elif blamed:
        cases = f"each case of the step does so alone: {', '.join(everyone)}"
    else:
        cases = f"no case does so alone; cases in the step: {', '.join(everyone)}"
    return Diverged(
        f"at step {step} {what}; {cases}; {kept} holds the state before that step",
        "look at these cases, or use a lower --lr, a lower --clip-grad or --precision 32",
    )
