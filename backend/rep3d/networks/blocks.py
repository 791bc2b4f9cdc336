"""The convolutional blocks of the decoder: two 3x3x3 convolutions around a residual path, upsampling, and the head.

They compute, and name their parameters, as the blocks of UNETR's decoder in MONAI do, which a test compares bit by bit:
checkpoints fit either. They stand here because MONAI takes seconds to import, and segmenting needs nothing else of it.
"""

from __future__ import annotations

import torch
from torch import nn

SLOPE = 0.01  # of the leaky ReLU below zero


def convolution(before: int, after: int, size: int, *, bias: bool = False) -> nn.Module:
    """A convolution that keeps the size; its parameters are called ``conv.*``."""
    return _named(nn.Conv3d(before, after, size, padding=size // 2, bias=bias))


def doubling(before: int, after: int) -> nn.Module:
    """A transposed convolution that doubles every axis; its parameters are called ``conv.*``."""
    return _named(nn.ConvTranspose3d(before, after, 2, stride=2, bias=False))


def _named(layer: nn.Module) -> nn.Module:
    whole = nn.Sequential()
    whole.add_module("conv", layer)
    return whole


class ResidualConvs(nn.Module):
    """[B, before, D, H, W] -> [B, after, D, H, W]: conv, norm, ReLU, conv, norm, plus the input, ReLU.

    Where the widths differ the input passes a convolution of one voxel and a norm first. Norms are instance norms
    without parameters, ReLUs leaky.
    """

    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv1 = convolution(before, after, 3)
        self.conv2 = convolution(after, after, 3)
        self.lrelu = nn.LeakyReLU(SLOPE, inplace=True)
        self.norm1 = nn.InstanceNorm3d(after)
        self.norm2 = nn.InstanceNorm3d(after)
        self.changes_width = before != after
        if self.changes_width:
            self.conv3 = convolution(before, after, 1)
            self.norm3 = nn.InstanceNorm3d(after)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        hidden = self.lrelu(self.norm1(self.conv1(x_BCDHW)))
        hidden = self.norm2(self.conv2(hidden))
        hidden += self.norm3(self.conv3(x_BCDHW)) if self.changes_width else x_BCDHW
        return self.lrelu(hidden)


class SkipBlock(nn.Module):
    """What an encoder's map passes on its way to the decoder: ResidualConvs, as ``layer``."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.layer = ResidualConvs(before, after)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        return self.layer(x_BCDHW)


class UpBlock(nn.Module):
    """A map [B, before, D, H, W] doubled and joined with a skip [B, after, 2D, 2H, 2W] -> [B, after, 2D, 2H, 2W]."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.transp_conv = doubling(before, after)
        self.conv_block = ResidualConvs(2 * after, after)

    def forward(self, x_BCDHW: torch.Tensor, skip_BCDHW: torch.Tensor) -> torch.Tensor:
        return self.conv_block(torch.cat((self.transp_conv(x_BCDHW), skip_BCDHW), dim=1))


class Head(nn.Module):
    """Logits of each voxel: a convolution of one voxel, with a bias."""

    def __init__(self, before: int, classes: int):
        super().__init__()
        self.conv = convolution(before, classes, 1, bias=True)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        return self.conv(x_BCDHW)
