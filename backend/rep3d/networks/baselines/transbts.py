"""TransBTS (Wang et al., MICCAI 2021), written from the paper: a transformer between a residual encoder and decoder.

Three strided convolutions bring the image to 1/8 with 128 channels; a convolution takes them to the tokens' 512;
learned positions are added; four transformer layers; a convolution back to 128 channels; three up-samplings with the
encoder's maps concatenated. Group norm in the encoder's units and batch norm in the decoder's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from rep3d.networks.baselines.attention import EncoderLayer
from rep3d.networks.baselines.wrapper import Baseline, Patch, fixed_patch
from rep3d.networks.registry import register_network

STRIDE = 8
GROUPS = 8
#: Residual units of the encoder's four levels.
UNITS = (1, 2, 2, 4)


class GroupUnit(nn.Module):
    """``x + conv(ReLU(GN(conv(ReLU(GN(x))))))``."""

    def __init__(self, channels: int):
        super().__init__()
        groups = min(GROUPS, channels)
        self.layers = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.ReLU(),
            nn.Conv3d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels),
            nn.ReLU(),
            nn.Conv3d(channels, channels, 3, padding=1),
        )

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        return x_BCDHW + self.layers(x_BCDHW)


def _conv_norm(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv3d(before, after, 3, padding=1), nn.BatchNorm3d(after), nn.ReLU()]


class BatchUnit(nn.Module):
    """``x + two of (conv, BN, ReLU)``."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(*_conv_norm(channels, channels), *_conv_norm(channels, channels))

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        return x_BCDHW + self.layers(x_BCDHW)


class UpBlock(nn.Module):
    """1x1x1 to half the channels, transposed convolution k2 s2, the encoder's map beside it, 1x1x1, residual unit."""

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.up = nn.Sequential(nn.Conv3d(channels, half, 1), nn.ConvTranspose3d(half, half, 2, stride=2))
        self.merge = nn.Conv3d(2 * half, half, 1)
        self.unit = BatchUnit(half)

    def forward(self, x_BCDHW: torch.Tensor, skip_BCDHW: torch.Tensor) -> torch.Tensor:
        return self.unit(self.merge(torch.cat([skip_BCDHW, self.up(x_BCDHW)], dim=1)))


class TransBTS(nn.Module):
    """Logits [B, out_channels, *patch] of [B, in_channels, *patch].

    Args:
        patch: voxels of the windows, multiples of 8; the positions are learned.
        channels: width at full size, doubled a level (16, 32, 64, 128).
        hidden_size, heads, mlp_dim, layers: of the transformer.
        dropout: of whole channels behind the first convolution, while training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        patch: Patch,
        *,
        channels: int = 16,
        hidden_size: int = 512,
        heads: int = 8,
        mlp_dim: int = 4096,
        layers: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        widths = [channels * 2**i for i in range(4)]
        bottom = widths[-1]
        self.first = nn.Sequential(nn.Conv3d(in_channels, channels, 3, padding=1), nn.Dropout3d(dropout))
        self.levels = nn.ModuleList(
            nn.Sequential(*(GroupUnit(width) for _ in range(units))) for width, units in zip(widths, UNITS)
        )
        self.down = nn.ModuleList(nn.Conv3d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.to_tokens = nn.Sequential(nn.BatchNorm3d(bottom), nn.ReLU(), nn.Conv3d(bottom, hidden_size, 3, padding=1))
        tokens = (patch[0] // STRIDE) * (patch[1] // STRIDE) * (patch[2] // STRIDE)
        self.positions = nn.Parameter(torch.zeros(1, tokens, hidden_size))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.transformer = nn.Sequential(
            *(EncoderLayer(hidden_size, heads, mlp_dim / hidden_size, bias=False) for _ in range(layers)),
            nn.LayerNorm(hidden_size),
        )
        self.from_tokens = nn.Sequential(
            *_conv_norm(hidden_size, bottom), *_conv_norm(bottom, bottom), BatchUnit(bottom)
        )
        self.up = nn.ModuleList(UpBlock(width) for width in reversed(widths[1:]))
        self.out = nn.Conv3d(channels, out_channels, 1)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        x = self.first(x_BCDHW)
        skips = []
        for i, level in enumerate(self.levels):
            x = level(x if i == 0 else self.down[i - 1](x))
            skips.append(x)
        x = self.to_tokens(skips.pop())
        tokens_BNC = x.flatten(2).transpose(1, 2) + self.positions
        x = self.from_tokens(self.transformer(tokens_BNC).transpose(1, 2).unflatten(2, x.shape[2:]))
        for block in self.up:
            x = block(x, skips.pop())
        return self.out(x)


@register_network("transbts")
def transbts(
    in_channels: int = 1,
    out_channels: int = 2,
    patch: Sequence[int] = (96, 96, 96),
    channels: int = 16,
    hidden_size: int = 512,
    heads: int = 8,
    mlp_dim: int = 4096,
) -> Baseline:
    """Takes windows of ``patch`` (x, y, z) voxels only; see TransBTS."""
    size = fixed_patch(patch, STRIDE)
    network = TransBTS(
        in_channels, out_channels, size, channels=channels, hidden_size=hidden_size, heads=heads, mlp_dim=mlp_dim
    )
    return Baseline(network, in_channels, STRIDE, patch=size)
