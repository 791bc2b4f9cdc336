"""Parts of a network that stay as they are while the rest is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from types import MethodType

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from rep3d.errors import BadInput


def freeze(network: nn.Module, patterns: Sequence[str]) -> frozenset[str]:
    """Take the gradient from every parameter whose name matches a pattern (``*``, ``?``, ``[...]``); returns the names.

    Raises BadInput when a pattern matches no parameter, or when nothing would be left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            parts = sorted({".".join(name.split(".")[:2]) for name in names})
            raise BadInput(
                f"--freeze {pattern!r} matches no parameter of the network",
                f"Patterns are compared with whole names, which begin with {', '.join(parts[:8])}, so 'encoder.*' "
                "is a part and 'encoder' is nothing.",
            )
    frozen = frozenset(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))
    for name in frozen:
        network.get_parameter(name).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise BadInput(f"--freeze {' '.join(patterns)} leaves nothing to train", "Freeze less.")
    return frozen


def hold_norms(network: nn.Module, frozen: Iterable[str]) -> list[str]:
    """Keep batch norms whose own parameters are all frozen in evaluation mode for good; returns their names.

    Otherwise their statistics would follow the new data, and a part that is said to stay would compute something else.
    """
    frozen, held = frozenset(frozen), []
    for name, module in network.named_modules():
        if not isinstance(module, _NormBase) or not module.track_running_stats:
            continue
        own = {f"{name}.{key}" for key, _ in module.named_parameters(recurse=False)}
        if own and own <= frozen:
            module.train(False)
            module.train = MethodType(_stay, module)  # what network.train() calls
            held.append(name)
    return held


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    return module
