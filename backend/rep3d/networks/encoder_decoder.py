"""What Rep3D and 3D UX-Net share: a four-stage encoder of some block, and the convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rep3d.networks.decoder import STRIDE, UnetrDecoder, check_input
from rep3d.networks.encoder import BlockBuilder, KernelSizes, StagedEncoder


class EncoderDecoder(nn.Module):
    """[B, in_channels, D, H, W] -> logits [B, out_channels, D, H, W]; D, H, W multiples of 16, at least 32.

    Arguments as in StagedEncoder and UnetrDecoder; with ``deep_supervision`` n, training mode gives a list of n + 1
    logits (see UnetrDecoder), evaluation mode the full-size ones alone. Calling it raises BadInput for other shapes.
    """

    stride = STRIDE

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        hidden_size: int,
        depth: int,
        kernel_size: KernelSizes,
        block: BlockBuilder,
        deep_supervision: int = 0,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.encoder = StagedEncoder(in_channels, channels, depth, kernel_size, block)
        self.decoder = UnetrDecoder(in_channels, out_channels, channels, hidden_size, deep_supervision)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        check_input(x_BCDHW, self.in_channels)
        return self.decoder(x_BCDHW, self.encoder(x_BCDHW))
