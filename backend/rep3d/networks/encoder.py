"""The four-stage encoder skeleton of Rep3D and 3D UX-Net; the networks differ in their blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from rep3d.layers import ChannelLayerNorm, triple

KernelSizes = int | Sequence[Sequence[int]]
BlockBuilder = Callable[[int, tuple[int, int, int]], nn.Module]


def stage_kernels(kernel_size: KernelSizes) -> list[tuple[int, int, int]]:
    """One triple for each of the four stages, from one int or from four triples."""
    if isinstance(kernel_size, int):
        return [triple(kernel_size)] * 4
    if len(kernel_size) != 4:
        raise ValueError(f"give one kernel size or one triple for each of four stages, not {kernel_size!r}")
    return [triple(tuple(kernel)) for kernel in kernel_size]


class StagedEncoder(nn.Module):
    """Stem (conv k7 stride 2, channel LN), four stages of blocks, channel LN + conv k2 stride 2 between them.

    Args:
        in_channels: image channels.
        channels: four stage widths.
        depth: blocks a stage.
        kernel_size: taps per axis, one for all stages or a triple for each.
        block: builds a block from (width, kernel triple).

    Calling it returns the four stage outputs, [B, channels[i], D/2^(i+1), ...], each with its own channel LN.
    """

    def __init__(
        self, in_channels: int, channels: Sequence[int], depth: int, kernel_size: KernelSizes, block: BlockBuilder
    ):
        super().__init__()
        if len(channels) != 4:
            raise ValueError(f"the encoder has four stages, not {len(channels)}")
        self.stem = nn.Sequential(
            nn.Conv3d(in_channels, channels[0], 7, stride=2, padding=3), ChannelLayerNorm(channels[0])
        )
        self.downsample = nn.ModuleList(
            nn.Sequential(ChannelLayerNorm(channels[i]), nn.Conv3d(channels[i], channels[i + 1], 2, stride=2))
            for i in range(3)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(block(width, kernel) for _ in range(depth)))
            for width, kernel in zip(channels, stage_kernels(kernel_size))
        )
        self.norms = nn.ModuleList(ChannelLayerNorm(width) for width in channels)

    def forward(self, x_BCDHW: torch.Tensor) -> list[torch.Tensor]:
        outputs = []
        hidden = self.stem(x_BCDHW)
        for index, (stage, norm) in enumerate(zip(self.stages, self.norms)):
            if index:
                hidden = self.downsample[index - 1](hidden)
            hidden = stage(hidden)
            outputs.append(norm(hidden))
        return outputs
