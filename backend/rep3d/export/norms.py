"""Instance and group norms whose means are taken one axis at a time, for runtimes that add up in one go.

onnxruntime adds a whole map in float32, number after number. On windows with flat regions (background) a map of
48 x 64 x 48 voxels then loses four digits and a logit of the hippocampus network moves by 5e-4. Means of means keep the
sums short: 1e-5. The function is the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mean(x: Tensor, first: int) -> Tensor:
    """Mean over the axes from ``first`` on, each kept with length 1, one after the other from the last."""
    for axis in range(x.ndim - 1, first - 1, -1):
        x = x.mean(axis, keepdim=True)
    return x


class StepwiseNorm(nn.Module):
    """``nn.InstanceNorm3d`` without running statistics (groups = channels) or ``nn.GroupNorm``; [B, C, X, Y, Z]."""

    def __init__(self, groups: int, eps: float, weight: Tensor | None, bias: Tensor | None):
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight, self.bias = weight, bias

    def forward(self, x_BCXYZ: Tensor) -> Tensor:
        x = x_BCXYZ.unflatten(1, (self.groups, x_BCXYZ.shape[1] // self.groups))
        centred = x - mean(x, 2)
        out = (centred * torch.rsqrt(mean(centred.square(), 2) + self.eps)).flatten(1, 2)
        if self.weight is not None:
            shape = (1, -1, *[1] * (x_BCXYZ.ndim - 2))
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out


def stepwise_norms(network: nn.Module) -> nn.Module:
    """Replace the instance and group norms of ``network``, in place; returns it."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.InstanceNorm3d) and not module.track_running_stats:
            norm = StepwiseNorm(module.num_features, module.eps, module.weight, module.bias)
        elif isinstance(module, nn.GroupNorm):
            norm = StepwiseNorm(module.num_groups, module.eps, module.weight, module.bias)
        else:
            continue
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, norm)
    return network
