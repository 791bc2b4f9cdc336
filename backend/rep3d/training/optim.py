"""Learning-rate schedule, loss and the moving average of the weights; the optimiser is in `optimizer`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from rep3d.training.config import TrainConfig
from rep3d.training.ranks import sum_over_ranks


class Schedule:
    """The learning rate of a step: base rate x linear warm-up x (cosine to 0 | poly to 0 | plateau factor | 1).

    With f = (step - warmup) / (steps - warmup) in [0, 1], cosine is (1 + cos(pi f)) / 2 and poly (1 - f)^power.

    Plateau is ReduceLROnPlateau on the validation Dice: ``plateau_patience`` validations without a new best multiply
    the rate by ``plateau_factor``. State is three numbers.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self.scale, self.best, self.bad = 1.0, -math.inf, 0

    def rate(self, step: int) -> float:
        """Learning rate of step ``step`` (0-based)."""
        c = self.config
        warm = min(1.0, (step + 1) / c.warmup) if c.warmup else 1.0
        done = min(1.0, max(0.0, (step - c.warmup) / max(1, c.steps - c.warmup)))
        if c.schedule == "poly":
            return c.lr * warm * (1 - done) ** c.poly_power
        if c.schedule == "cosine":
            return c.lr * warm * 0.5 * (1 + math.cos(math.pi * done))
        return c.lr * warm * self.scale

    def validated(self, dice: float) -> None:
        """Tell the schedule the validation Dice (nan counts as no improvement)."""
        if self.config.schedule != "plateau":
            return
        if dice > self.best + 1e-4:
            self.best, self.bad = dice, 0
        else:
            self.bad += 1
            if self.bad > self.config.plateau_patience:
                self.scale, self.bad = self.scale * self.config.plateau_factor, 0

    def state_dict(self) -> dict:
        return {"scale": self.scale, "best": self.best, "bad": self.bad}

    def load_state_dict(self, state: dict) -> None:
        self.scale, self.best, self.bad = state["scale"], state["best"], state["bad"]


def make_loss(name: str, world: int = 1) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Dice + cross-entropy on logits_BCDHW and label_B1DHW, in float32 whatever the autocast.

    ``dice-ce``: Dice per crop and class, as in the paper. ``batch-dice-ce``: Dice over the whole batch, which a class
    that is absent from one crop does not drown; over the crops of all ``world`` ranks where there are several.
    """
    from monai.losses import DiceCELoss

    batch = name == "batch-dice-ce"
    loss = shared_batch_dice_ce if batch and world > 1 else DiceCELoss(to_onehot_y=True, softmax=True, batch=batch)

    def compute(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device_type=logits.device.type, enabled=False):
            return loss(logits.float(), label)

    return compute


def shared_batch_dice_ce(logits_BCDHW: torch.Tensor, label_B1DHW: torch.Tensor) -> torch.Tensor:
    """MONAI's DiceCELoss(to_onehot_y, softmax, batch) with the sums of its Dice taken over all ranks.

    The mean of its gradients over ranks, which is what DDP makes, is the gradient for all crops together.
    """
    p = logits_BCDHW.softmax(1)
    target = label_B1DHW[:, 0].long()
    hot = torch.zeros_like(p).scatter_(1, target[:, None], 1.0)
    axes = (0, 2, 3, 4)
    overlap, total = sum_over_ranks(torch.stack([(p * hot).sum(axes), p.sum(axes) + hot.sum(axes)]))
    dice = 1 - (2 * overlap + 1e-5) / (total + 1e-5)
    return dice.mean() + torch.nn.functional.cross_entropy(logits_BCDHW, target)


class MovingAverage:
    """Exponential moving average of everything in the state dict (weights and norm statistics).

    The decay warms up, min(decay, (1 + t) / (10 + t)), so that the random start is forgotten soon.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = [], []
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                mine.append(self.state[key])
                theirs.append(value.detach())
            else:
                self.state[key].copy_(value)
        torch._foreach_lerp_(mine, theirs, 1 - decay)
