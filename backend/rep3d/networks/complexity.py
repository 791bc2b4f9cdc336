"""Parameters and multiply-adds of a network, counted from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rep3d.layers import LargeKernelConv3d


@dataclass(frozen=True)
class Complexity:
    """Size and cost of a network.

    Attributes:
        parameters: trainable and frozen ones.
        multiply_adds: of convolutions, linear layers and products of matrices (attention) in one forward; a transposed
            convolution with kernel 2 and stride 2 meets one tap a voxel and channel pair, and counts so.
        multiply_adds_paper: as common counters of layers do: all taps of a transposed convolution at every output
            voxel, and no products of attention. This is the convention that reproduces the paper's "G FLOPs" (757.6 for
            Rep3D, 328.1 for SwinUNETR, 82.5 for UNETR).
    """

    parameters: int
    multiply_adds: int
    multiply_adds_paper: int


def complexity(network: nn.Module, in_channels: int, patch: tuple[int, int, int]) -> Complexity:
    """Count one forward on [1, in_channels, *patch] in evaluation mode.

    Every tap of a convolution counts once for each output voxel, zero padding included. Norms, activations,
    interpolation and the mask generator (whose cost does not grow with the image) are left out. Runs on the meta
    device: shapes only.
    """
    convolutions = convolutions_paper = linear = 0

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal convolutions, convolutions_paper, linear
        if isinstance(module, nn.Linear):
            linear += output.numel() * module.in_features
        elif isinstance(module, LargeKernelConv3d | nn.Conv3d | nn.ConvTranspose3d):
            taps = module.weight.numel()
            transposed = isinstance(module, nn.ConvTranspose3d)
            convolutions += taps * math.prod((inputs[0] if transposed else output).shape[2:])
            convolutions_paper += taps * math.prod(output.shape[2:])

    twin = _meta_copy(network)
    handles = [module.register_forward_hook(count) for module in twin.modules()]
    with torch.no_grad(), _Products() as products:
        twin.eval()(torch.empty(1, in_channels, *patch, device="meta"))
    for handle in handles:
        handle.remove()
    parameters = sum(p.numel() for p in network.parameters())
    return Complexity(parameters, convolutions + products.total, convolutions_paper + linear)


class _Products(TorchDispatchMode):
    """Counts the multiply-adds of products of matrices, linear layers among them, in ``total``."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        count = _PRODUCTS.get(func.overloadpacket)
        if count is not None:
            self.total += count(*args)
        return func(*args, **(kwargs or {}))


def _product(a: torch.Tensor, b: torch.Tensor) -> int:
    """[..., N, K] times [..., K, M]."""
    return a.numel() * b.shape[-1]


def _added_product(_bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> int:
    return _product(a, b)


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_) -> int:
    """q k^T and its product with v: [..., N, E], [..., M, E], [..., M, F]."""
    return q.numel() * k.shape[-2] + q.numel() // q.shape[-1] * v.shape[-2] * v.shape[-1]


_ATEN = torch.ops.aten
_PRODUCTS: dict[object, Callable[..., int]] = {
    _ATEN.mm: _product,
    _ATEN.bmm: _product,
    _ATEN.addmm: _added_product,
    _ATEN.baddbmm: _added_product,
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention,
    _ATEN._scaled_dot_product_flash_attention: _attention,
    _ATEN._scaled_dot_product_efficient_attention: _attention,
    _ATEN._scaled_dot_product_cudnn_attention: _attention,
}


def _meta_copy(network: nn.Module) -> nn.Module:
    from rep3d.networks.registry import create_network

    with torch.device("meta"):
        return create_network(network.spec["name"], **network.spec["args"]).to("meta")
