"""Which optimiser steps which parameters, with which weight decay."""

from __future__ import annotations

import torch
from torch import nn

from rep3d.training.config import TrainConfig


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: not to vectors (norm gains, biases), nor to anything that makes a mask.

    Pulling a generator's norms or the prior's exponent to zero would flatten the masks whatever the data say.
    """
    return parameter.ndim > 1 and "mask" not in name.split(".")


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW or SGD (Nesterov) over two groups, with and without weight decay."""
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in named if decays(n, p)], "weight_decay": config.weight_decay},
        {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)
