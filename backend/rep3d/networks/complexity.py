"""Parameters and multiply-adds of a network, counted from shapes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from rep3d.layers import LargeKernelConv3d


@dataclass(frozen=True)
class Complexity:
    """Size and cost of a network.

    Attributes:
        parameters: trainable and frozen ones.
        multiply_adds: of the convolutions in one forward; a transposed convolution with kernel 2 and stride 2 meets one
            tap a voxel and channel pair, and counts so.
        multiply_adds_paper: the same with all eight taps of a transposed convolution counted at every output voxel, as
            common counters do. This is the convention that reproduces the paper's "G FLOPs" (757.6 and 639.4).
    """

    parameters: int
    multiply_adds: int
    multiply_adds_paper: int


def complexity(network: nn.Module, in_channels: int, patch: tuple[int, int, int]) -> Complexity:
    """Count one forward on [1, in_channels, *patch].

    Every tap of a convolution counts once for each output voxel, zero padding included. Norms, activations and the mask
    generator (whose cost does not grow with the image) are left out. Runs on the meta device: shapes only.
    """
    true_total = paper_total = 0

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal true_total, paper_total
        if not isinstance(module, LargeKernelConv3d | nn.Conv3d | nn.ConvTranspose3d):
            return
        taps = module.weight.numel()
        transposed = isinstance(module, nn.ConvTranspose3d)
        true_total += taps * math.prod((inputs[0] if transposed else output).shape[2:])
        paper_total += taps * math.prod(output.shape[2:])

    with torch.device("meta"):
        twin = _meta_copy(network)
    handles = [module.register_forward_hook(count) for module in twin.modules()]
    with torch.no_grad():
        twin.eval()(torch.empty(1, in_channels, *patch, device="meta"))
    for handle in handles:
        handle.remove()
    return Complexity(sum(p.numel() for p in network.parameters()), true_total, paper_total)


def _meta_copy(network: nn.Module) -> nn.Module:
    from rep3d.networks.registry import create_network

    return create_network(network.spec["name"], **network.spec["args"]).to("meta")
