"""What a run is made of while it trains, and how all of it goes into a checkpoint and comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import nn

import rep3d
from rep3d.ops import adopt_algorithm_choices, algorithm_choices
from rep3d.tasks import Task
from rep3d.training.checkpoint import random_states, set_random_states
from rep3d.training.config import TrainConfig
from rep3d.training.optim import MovingAverage, Schedule


@dataclass
class Progress:
    """Where a run stands; all of it is in every checkpoint. ``block``: sum of losses, steps since the last log.

    ``best_cases``: Dice per class (None: in neither) of each validation case at the best validation.
    """

    step: int = 0
    seconds: float = 0.0
    best_dice: float = -math.inf
    best_step: int = -1
    history: list[dict] = field(default_factory=list)
    block: list[float] = field(default_factory=lambda: [0.0, 0])
    best_cases: dict[str, list[float | None]] = field(default_factory=dict)

    @property
    def validations_since_best(self) -> int:
        """Validations after the best one; all, if none has had a Dice."""
        return sum(record["step"] > self.best_step for record in self.history)

    def stops_early(self, config: TrainConfig) -> bool:
        """Whether ``config.early_stop`` validations have gone by without a new best."""
        return 0 < config.early_stop <= self.validations_since_best


@dataclass
class RunState:
    """Network, optimiser, schedule, averaged weights (or None) and progress of a run."""

    config: TrainConfig
    task: Task
    data_sha256: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    average: MovingAverage | None
    progress: Progress

    def content(self, resumable: bool = True) -> dict:
        """A checkpoint; without the optimiser's state (two thirds of its size) where it only serves for inference."""
        p = self.progress
        return {
            "model": self.network.state_dict(),
            "ema": self.average.state if self.average else None,
            "optimizer": self.optimizer.state_dict() if resumable else None,
            "scheduler": self.schedule.state_dict(),
            "rng": random_states(),
            "operator": algorithm_choices(),
            **{name: getattr(p, name) for name in ("step", "seconds", "history", "block")},
            "best": {"dice": p.best_dice, "step": p.best_step},
            "best_cases": p.best_cases,
            "config": self.config.to_dict(),
            "network": self.network.spec,
            "task": self.task.to_dict(),
            "data_sha256": self.data_sha256,
            "rep3d_version": rep3d.__version__,
        }

    def restore(self, saved: dict, device: torch.device) -> None:
        """Inverse of `content`. Checkpoints of earlier versions lack ``operator`` and ``best_cases``."""
        self.network.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["scheduler"])
        if self.average:
            self.average.state = {k: v.to(device) for k, v in saved["ema"].items()}
        set_random_states(saved["rng"])
        # Algorithms differ in rounding. Checkpoints of earlier versions left this to the operator's own file.
        adopt_algorithm_choices(saved.get("operator", {}))
        self.progress = Progress(**{n: saved[n] for n in ("step", "seconds", "history", "block")})
        self.progress.best_dice, self.progress.best_step = saved["best"]["dice"], saved["best"]["step"]
        self.progress.best_cases = saved.get("best_cases", {})


class Averaged:
    """Inside the block the network holds the averaged weights (if any); afterwards its own again, bit for bit."""

    def __init__(self, network: nn.Module, average: MovingAverage | None):
        self.network, self.average = network, average

    def __enter__(self) -> None:
        if self.average:
            self.own = {k: v.clone() for k, v in self.network.state_dict().items()}
            self.network.load_state_dict(self.average.state)

    def __exit__(self, *_) -> None:
        if self.average:
            self.network.load_state_dict(self.own)
