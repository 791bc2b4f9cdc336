"""The optimiser of a run: what moves, and how fast each part of it does."""

from __future__ import annotations

import torch
from torch import nn

from rep3d.training.config import TrainConfig
from rep3d.training.fields import ElementwiseRates, rate_fields
from rep3d.training.rates import decays, parameter_groups

__all__ = ["decays", "make_optimizer"]


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW or SGD (Nesterov) over the groups of `rates`, following the field of `fields` if there is one.

    Raises BadInput when a setting of the rates has no effect on this network.
    """
    groups, pairs = parameter_groups(network, config), rate_fields(network, config)
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)
    if pairs:
        ElementwiseRates(optimizer, pairs)
    return optimizer
