"""Constant-scale linear addition: a large and a small depthwise kernel in parallel (PAPER eq. 1-3)."""

from __future__ import annotations

import torch
from torch import nn

from rep3d.layers.large_kernel import triple
from rep3d.ops import depthwise_conv3d


class CSLAConv3d(nn.Module):
    """``Y = a_L (X * W_L) + a_S (X * W_S) + b`` (eq. 1), both depthwise; the scales are constants.

    Computed as the single operator ``W' = a_L W_L + a_S pad(W_S)`` (eq. 2-3): the same function and, by linearity, the
    same gradients to both branches, at the cost of one convolution. ``forward_branches`` is eq. 1 as written.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, int, int] = 21,
        small_kernel_size: int | tuple[int, int, int] = 3,
        *,
        large_scale: float = 1.0,
        small_scale: float = 1.0,
    ):
        super().__init__()
        self.kernel_size = triple(kernel_size)
        self.small_kernel_size = triple(small_kernel_size)
        if any(s > k for s, k in zip(self.small_kernel_size, self.kernel_size)):
            raise ValueError(f"small kernel {self.small_kernel_size} does not fit into {self.kernel_size}")
        large = nn.Conv3d(channels, channels, self.kernel_size, groups=channels)
        self.weight_large = large.weight
        self.weight_small = nn.Conv3d(channels, channels, self.small_kernel_size, groups=channels, bias=False).weight
        self.bias = large.bias
        self.large_scale = float(large_scale)
        self.small_scale = float(small_scale)

    def effective_weight(self) -> torch.Tensor:
        """``W' = a_L W_L + a_S pad(W_S)`` (eq. 3), [C, 1, K, K, K]."""
        padding: list[int] = []
        for k, s in zip(reversed(self.kernel_size), reversed(self.small_kernel_size)):
            padding += [(k - s) // 2] * 2
        padded_small = nn.functional.pad(self.weight_small, padding)
        return self.large_scale * self.weight_large + self.small_scale * padded_small

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        return depthwise_conv3d(x_BCDHW, self.effective_weight(), self.bias)

    def forward_branches(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        """Eq. 1 literally, with two convolutions; the oracle of the merge."""
        large = depthwise_conv3d(x_BCDHW, self.weight_large)
        small = depthwise_conv3d(x_BCDHW, self.weight_small)
        return self.large_scale * large + self.small_scale * small + self.bias[:, None, None, None]
