"""Learning rates by parameter group: the small branch of CSLA blocks has a rate of its own (PAPER section 1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rep3d.errors import BadInput
from rep3d.layers import CSLAConv3d
from rep3d.training.config import TrainConfig

#: Key of a parameter group: its rate in units of the schedule's. Groups without it have 1.
RATIO = "rate_ratio"


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: not to vectors (norm gains, biases), nor to anything that makes a mask.

    Pulling a generator's norms or the prior's exponent to zero would flatten the masks whatever the data say.
    """
    return parameter.ndim > 1 and "mask" not in name.split(".")


def small_branches(network: nn.Module) -> set[str]:
    """Names of the parameters W_S (eq. 1) of the network's CSLA blocks."""
    blocks = [(name, module) for name, module in network.named_modules() if isinstance(module, CSLAConv3d)]
    return {f"{name}.weight_small" if name else "weight_small" for name, _ in blocks}


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """The optimiser's groups: with and without weight decay, and with ``lr_small`` the small branches of CSLA blocks.

    Parameters that need no gradient are in none. Raises BadInput when ``lr_small`` would have no effect.
    """
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    small: set[str] = set()
    if config.lr_small and config.lr_field != "csla":  # there it is a rate of the field
        small = small_branches(network)
        if not small & {n for n, _ in named}:
            raise BadInput(
                f"--lr-small {config.lr_small:g} has no effect: {config.network} has no small branch that is trained",
                "It is for --reparam csla, or for --lr-field csla.",
            )
        if not config.lr:
            raise BadInput("--lr-small needs an --lr above 0: the schedule moves both in proportion")
    rest = [(n, p) for n, p in named if n not in small]
    groups = [
        {"params": [p for n, p in rest if decays(n, p)], "weight_decay": config.weight_decay},
        {"params": [p for n, p in rest if not decays(n, p)], "weight_decay": 0.0},
    ]
    if small:
        ratio = config.lr_small / config.lr
        parameters = [p for n, p in named if n in small]
        groups.append({"params": parameters, "weight_decay": config.weight_decay, "lr": config.lr_small, RATIO: ratio})
    return groups


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the schedule's ``rate`` times the group's ratio, so that all move in proportion."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(RATIO, 1.0)
