"""Parameters and multiply-adds of a network, counted from shapes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from rep3d.layers import LargeKernelConv3d


@dataclass(frozen=True)
class Complexity:
    """parameters: trainable ones plus frozen ones; multiply_adds: of the convolutions in one forward."""

    parameters: int
    multiply_adds: int


def complexity(network: nn.Module, in_channels: int, patch: tuple[int, int, int]) -> Complexity:
    """Count one forward on [1, in_channels, *patch].

    Every tap of a convolution counts once for each output voxel, zero padding included, as the usual counters do.
    Norms, activations and the mask generator (whose cost does not grow with the image) are left out. The figures that
    the paper calls "G FLOPs" are multiply-adds counted in this way. Runs on the meta device: shapes only.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.ConvTranspose3d):
            voxels = math.prod(inputs[0].shape[2:])
            taps = module.weight[0].numel() * module.in_channels
        elif isinstance(module, LargeKernelConv3d | nn.Conv3d):
            voxels = math.prod(output.shape[2:])
            taps = module.weight.numel()
        else:
            return
        total += voxels * taps

    with torch.device("meta"):
        twin = _meta_copy(network)
    handles = [module.register_forward_hook(count) for module in twin.modules()]
    with torch.no_grad():
        twin.eval()(torch.empty(1, in_channels, *patch, device="meta"))
    for handle in handles:
        handle.remove()
    return Complexity(sum(p.numel() for p in network.parameters()), total)


def _meta_copy(network: nn.Module) -> nn.Module:
    from rep3d.networks.registry import create_network

    return create_network(network.spec["name"], **network.spec["args"]).to("meta")
