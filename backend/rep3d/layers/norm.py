"""Normalisations that MONAI and torch do not have in the form needed here."""

from __future__ import annotations

import torch
from torch import nn


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channel axis of [B, C, D, H, W], one gain and bias a channel."""

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        # Written out rather than permuted through F.layer_norm: no copy to channels-last and back.
        # At least float32, whatever the autocast; float64 stays what it is.
        x = x_BCDHW if x_BCDHW.dtype == torch.float64 else x_BCDHW.float()
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        variance = centred.square().mean(1, keepdim=True)
        shape = (1, -1, 1, 1, 1)
        out = centred * torch.rsqrt(variance + self.eps) * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x_BCDHW.dtype)


class ChannelAffine(nn.Module):
    """``x * scale + shift`` per channel: what a batch norm in front of a convolution becomes when it is deployed."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        shape = (1, -1, 1, 1, 1)
        return x_BCDHW * self.scale.view(shape) + self.shift.view(shape)
