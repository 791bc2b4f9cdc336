"""A copy of a deployed network for one window size, made only of operations that OpenVINO runs well."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from rep3d.export.plain import as_conv3d
from rep3d.inference.engines.spectral_module import SpectralConv3d, multiplications
from rep3d.ops.plan import make_plan

#: A direct convolution is taken up to this many times the multiply-adds of the transforms: it has no steps between.
DIRECT_ADVANTAGE = 2.0


class ExplicitInstanceNorm(nn.Module):
    """``nn.InstanceNorm3d`` without running statistics, step by step: OpenVINO joins the steps into its own norm.

    Traced as it is, PyTorch splits it into a batch norm of reshaped maps, and every reshape costs OpenVINO a pass over
    the map to change the order of its memory. Shapes: [B, C, D, H, W] -> the same.
    """

    def __init__(self, norm: nn.InstanceNorm3d):
        super().__init__()
        self.eps, self.weight, self.bias = norm.eps, norm.weight, norm.bias

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        axes = (2, 3, 4)
        centred = x_BCDHW - x_BCDHW.mean(axes, keepdim=True)
        out = centred / torch.sqrt(centred.pow(2).mean(axes, keepdim=True) + self.eps)
        if self.weight is None:
            return out
        return out * self.weight.view(1, -1, 1, 1, 1) + self.bias.view(1, -1, 1, 1, 1)


def lowered_copy(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """``network`` in evaluation mode for inputs of ``shape`` [1, C, D, H, W], with the operator as products or conv3d.

    The network itself is not touched. Memory: one copy and the spectra.
    """
    sizes = operator_sizes(network, shape)
    lowered = copy.deepcopy(network).cpu().eval()
    for name, module in list(lowered.named_modules()):
        if name in sizes:
            new: nn.Module = lowered_operator(module, sizes[name])
        elif isinstance(module, nn.InstanceNorm3d) and not module.track_running_stats:
            new = ExplicitInstanceNorm(module)
        else:
            continue
        parent, _, attribute = name.rpartition(".")
        if not name:
            lowered = new
        else:
            setattr(lowered.get_submodule(parent), attribute, new)
    return lowered.eval().requires_grad_(False)


def lowered_operator(module: nn.Module, size: tuple[int, int, int]) -> nn.Module:
    """The depthwise convolution of ``module`` for maps of ``size``: by transforms, or direct where that is cheaper."""
    conv = as_conv3d(module)
    direct, spectral = multiplications(size, conv.kernel_size)
    if direct > DIRECT_ADVANTAGE * spectral:
        return SpectralConv3d(conv.weight, conv.bias, size)
    axes = make_plan(tuple(size), tuple(conv.kernel_size), "direct").axes  # without the taps that never meet data
    taps = (slice(None), slice(None), *(slice(a.crop, a.crop + a.k) for a in axes))
    conv.weight = nn.Parameter(conv.weight[taps].clone(), requires_grad=False)
    conv.kernel_size, conv.padding = tuple(a.k for a in axes), tuple(a.p for a in axes)
    return conv


def operator_sizes(network: nn.Module, shape: tuple[int, ...]) -> dict[str, tuple[int, int, int]]:
    """Name of each module with a large kernel -> (D, H, W) of its maps, for inputs of ``shape``."""
    names = [name for name, module in network.named_modules() if hasattr(module, "effective_weight")]
    if not names:
        return {}
    shadow = copy.deepcopy(network).to("meta").eval()  # shapes without values
    sizes: dict[str, tuple[int, int, int]] = {}

    def note(name: str):
        return lambda module, inputs, output: sizes.__setitem__(name, tuple(inputs[0].shape[2:]))

    for name in names:
        shadow.get_submodule(name).register_forward_hook(note(name))
    with torch.no_grad():
        shadow(torch.empty(shape, device="meta"))
    return sizes
