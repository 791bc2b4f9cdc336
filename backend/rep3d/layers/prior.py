"""The distance prior over kernel taps (PAPER eq. 14)."""

from __future__ import annotations

import torch
from torch import nn


def tap_distances(kernel_size: tuple[int, int, int]) -> torch.Tensor:
    """Euclidean distance of each tap to the centre tap, in taps; float32, shape ``kernel_size`` (odd per axis)."""
    axes = [torch.arange(k, dtype=torch.float32) - (k - 1) / 2 for k in kernel_size]
    grids = torch.meshgrid(*axes, indexing="ij")
    return torch.stack(grids).square().sum(0).sqrt()


class DistancePrior(nn.Module):
    """``P[k] = e^a / (||k - c||_2 + e^a)`` (eq. 14): 1 at the centre, falling with distance; ``a`` starts at 0.

    Args:
        kernel_size: taps per axis, each odd.
        learnable: train the exponent ``a`` (LRBM) or keep it frozen (fixed prior).
    """

    def __init__(self, kernel_size: tuple[int, int, int], *, learnable: bool):
        super().__init__()
        self.register_buffer("distance", tap_distances(kernel_size), persistent=False)
        self.exponent = nn.Parameter(torch.zeros(()), requires_grad=learnable)

    def forward(self) -> torch.Tensor:
        """The prior P, shape [K, K, K], values in (0, 1]."""
        scale = self.exponent.exp()
        return scale / (self.distance + scale)
