"""UNesT (Yu et al., Medical Image Analysis 2023), written from the paper: nested transformers, a U-shaped decoder.

The map of patches (stride 4) is cut into 4^3 blocks, each a sequence of its own with learned positions; after each
level the blocks are aggregated (convolution, layer norm, max-pooling) and eight neighbours become one, so that the
third level is global: 64, 8 and 1 blocks of equal length. The decoder is UNETR's, down to stride 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from rep3d.layers import ChannelLayerNorm
from rep3d.networks.baselines.attention import EncoderLayer, cut, join
from rep3d.networks.baselines.wrapper import Baseline, Patch, fixed_patch
from rep3d.networks.blocks import Head, SkipBlock, UpBlock
from rep3d.networks.registry import register_network

PATCH_STRIDE = 4
LEVELS = 3
#: Blocks along an axis at the first level.
BLOCKS = 4
STRIDE = 32


class NestedLevel(nn.Module):
    """Transformer layers within blocks of a map [B, C, D, H, W]; positions are learned, one for each voxel."""

    def __init__(self, channels: int, heads: int, depth: int, size: Patch, blocks: int):
        super().__init__()
        self.size, self.block = size, tuple(n // blocks for n in size)
        self.positions = nn.Parameter(torch.zeros(1, *size, channels))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.layers = nn.Sequential(*(EncoderLayer(channels, heads) for _ in range(depth)))

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        still = (0, 0, 0)
        sequences = cut(x_BCDHW.permute(0, 2, 3, 4, 1) + self.positions, self.block, still)
        return join(self.layers(sequences), self.size, self.block, still).permute(0, 4, 1, 2, 3)


class UNesT(nn.Module):
    """Logits [B, out_channels, *patch] of [B, in_channels, *patch].

    Args:
        patch: voxels of the windows, multiples of 32.
        channels, heads, depths: of the three levels; the decoder has 1/16 of the last width at full size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        patch: Patch,
        *,
        channels: Sequence[int] = (128, 256, 512),
        heads: Sequence[int] = (4, 8, 16),
        depths: Sequence[int] = (2, 2, 8),
    ):
        super().__init__()
        if not len(channels) == len(heads) == len(depths) == LEVELS:
            raise ValueError(f"UNesT has {LEVELS} levels: give so many channels, heads and depths")
        c1, c2, c3 = channels
        if c3 % 16:
            raise ValueError(f"the third level's width must be a multiple of 16, not {c3}")
        f1, f2, f4, f8 = (c3 // 16 * 2**i for i in range(4))

        self.embedding = nn.Conv3d(in_channels, c1, PATCH_STRIDE, stride=PATCH_STRIDE)
        sizes = [tuple(n // PATCH_STRIDE // 2**i for n in patch) for i in range(LEVELS)]
        self.levels = nn.ModuleList(
            NestedLevel(*each, BLOCKS // 2**i) for i, each in enumerate(zip(channels, heads, depths, sizes))
        )
        self.aggregate = nn.ModuleList(
            nn.Sequential(nn.Conv3d(a, b, 3, padding=1), ChannelLayerNorm(b), nn.MaxPool3d(3, stride=2, padding=1))
            for a, b in pairwise(channels)
        )
        self.norm = ChannelLayerNorm(c3)
        self.bottom = nn.Sequential(nn.Conv3d(c3, 2 * c3, 3, stride=2, padding=1), ChannelLayerNorm(2 * c3), nn.GELU())
        self.skip_image = SkipBlock(in_channels, f1)
        self.skip_embedding = nn.ConvTranspose3d(c1, f2, 2, stride=2)
        self.skip1, self.skip2 = SkipBlock(c1, f4), SkipBlock(c2, f8)
        self.up = nn.ModuleList(
            [UpBlock(2 * c3, c3), UpBlock(c3, f8), UpBlock(f8, f4), UpBlock(f4, f2), UpBlock(f2, f1)]
        )
        self.out = Head(f1, out_channels)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        embedded = self.embedding(x_BCDHW)
        first = self.levels[0](embedded)
        second = self.levels[1](self.aggregate[0](first))
        third = self.norm(self.levels[2](self.aggregate[1](second)))
        x = self.bottom(third)
        skips = [
            third,
            self.skip2(second),
            self.skip1(first),
            self.skip_embedding(embedded),
            self.skip_image(x_BCDHW),
        ]
        for block, skip in zip(self.up, skips):
            x = block(x, skip)
        return self.out(x)


@register_network("unest-b")
def unest_b(
    in_channels: int = 1,
    out_channels: int = 2,
    patch: Sequence[int] = (96, 96, 96),
    channels: Sequence[int] = (128, 256, 512),
    heads: Sequence[int] = (4, 8, 16),
    depths: Sequence[int] = (2, 2, 8),
) -> Baseline:
    """Takes windows of ``patch`` (x, y, z) voxels only; see UNesT."""
    size = fixed_patch(patch, STRIDE)
    network = UNesT(in_channels, out_channels, size, channels=channels, heads=heads, depths=depths)
    return Baseline(network, in_channels, STRIDE, patch=size)
