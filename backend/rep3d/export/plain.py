"""The large-kernel operator as PyTorch's own convolution: what an exported network is made of.

``rep3d::depthwise_conv3d`` is an operator of this package and computes ``conv3d(x, w, b, groups=C)`` with "same" zero
padding. Programs that do not have it get that convolution, with the same numbers in the same places, so that a
``state_dict`` fits both forms of a deployed network.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rep3d.errors import BadInput

NAMESPACE = "rep3d"


def plain_copy(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode without gradients, whose large depthwise convolutions are ``nn.Conv3d``.

    Every module with ``effective_weight()`` (LargeKernelConv3d, CSLAConv3d) is replaced; in training form its mask or
    second branch is multiplied or added into the kernel. The network itself is not touched. Memory: one copy.

    Args:
        network: [B, C, X, Y, Z] -> logits, float32, on the CPU.
    """
    plain = copy.deepcopy(network).eval()
    found = [(name, module) for name, module in plain.named_modules() if hasattr(module, "effective_weight")]
    for name, module in found:
        parent, _, attribute = name.rpartition(".")
        if not name:
            plain = as_conv3d(module)
        else:
            setattr(plain.get_submodule(parent), attribute, as_conv3d(module))
    return plain.eval().requires_grad_(False)


def as_conv3d(module: nn.Module) -> nn.Conv3d:
    """The depthwise ``nn.Conv3d`` with the effective weight [C, 1, KX, KY, KZ] and bias [C] of ``module``."""
    with torch.no_grad():
        weight = module.effective_weight().detach().clone()
    channels, kernel = weight.shape[0], tuple(weight.shape[2:])
    with torch.device("meta"):  # the values come from the module
        conv = nn.Conv3d(channels, channels, kernel, padding=tuple(k // 2 for k in kernel), groups=channels, bias=False)
    conv.weight = nn.Parameter(weight, requires_grad=False)
    if module.bias is not None:
        conv.bias = nn.Parameter(module.bias.detach().clone(), requires_grad=False)
    return conv


class _Names(TorchDispatchMode):
    """Collects the names of this package's operators that run inside the context."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == NAMESPACE:
            self.found.add(func.name())
        return func(*args, **(kwargs or {}))


def check_plain(network: nn.Module, x_BCXYZ: Tensor) -> Tensor:
    """Logits of ``network`` for ``x_BCXYZ``; raises BadInput if an operator of this package took part.

    A network whose layers call the operator by other ways than a module with ``effective_weight()`` ends here rather
    than in a file that no other program can run.
    """
    with torch.no_grad(), _Names() as names:
        logits = network(x_BCXYZ)
    if names.found:
        raise BadInput(
            f"the network still calls {', '.join(sorted(names.found))}, which other programs do not have",
            "It cannot be exported: its large kernels are not in modules with an effective weight.",
        )
    if not isinstance(logits, Tensor):
        raise BadInput(
            f"the network returns {type(logits).__name__}, not one tensor of logits",
            "Only networks with one output can be exported.",
        )
    return logits
