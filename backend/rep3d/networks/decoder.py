"""The convolutional decoder shared by Rep3D and 3D UX-Net (PAPER section 3; SwinUNETR's, of rep3d.networks.blocks)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rep3d.errors import BadInput
from rep3d.networks.blocks import Head, SkipBlock, UpBlock

# Input is halved by the stem and by each of three downsamplings.
STRIDE = 16
# At 16 voxels the deepest map is one voxel and instance norm is undefined there.
SMALLEST_INPUT = 32
# Levels of the decoder below full size: 1/2, 1/4, 1/8.
DEEPEST = 3


class UnetrDecoder(nn.Module):
    """Residual skip blocks and four up-sampling blocks.

    Args:
        in_channels: channels of the image.
        out_channels: classes including background.
        channels: the four encoder widths (C1, C2, C3, C4).
        hidden_size: width of the bottleneck.
        deep_supervision: how many levels below full size (1/2, 1/4, 1/8) get logits of their own, for training; 0 to 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        hidden_size: int,
        deep_supervision: int = 0,
    ):
        super().__init__()
        if deep_supervision not in range(DEEPEST + 1):
            raise ValueError(f"deep_supervision must be 0 to {DEEPEST} levels, not {deep_supervision!r}")
        c1, c2, c3, c4 = channels

        self.encoder1 = SkipBlock(in_channels, c1)
        self.encoder2 = SkipBlock(c1, c2)
        self.encoder3 = SkipBlock(c2, c3)
        self.encoder4 = SkipBlock(c3, c4)
        self.encoder5 = SkipBlock(c4, hidden_size)
        self.decoder5 = UpBlock(hidden_size, c4)
        self.decoder4 = UpBlock(c4, c3)
        self.decoder3 = UpBlock(c3, c2)
        self.decoder2 = UpBlock(c2, c1)
        self.decoder1 = SkipBlock(c1, c1)
        self.out = Head(c1, out_channels)
        # Made last, so that the other weights of a seed do not depend on them.
        deep = (c2, c3, c4)[:deep_supervision]
        self.deep_heads = nn.ModuleList(Head(width, out_channels) for width in deep)

    def forward(self, x_BCDHW: torch.Tensor, stages: Sequence[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
        """Logits [B, out_channels, D, H, W] from the image and the encoder's maps at strides 2, 4, 8, 16.

        In training mode with deep supervision a list: those, and logits of 1/2, 1/4, ... of the size.
        """
        x2, x4, x8, x16 = stages
        hidden8 = self.decoder5(self.encoder5(x16), self.encoder4(x8))
        hidden4 = self.decoder4(hidden8, self.encoder3(x4))
        hidden2 = self.decoder3(hidden4, self.encoder2(x2))
        hidden = self.decoder2(hidden2, self.encoder1(x_BCDHW))
        logits = self.out(self.decoder1(hidden))
        if not (self.training and self.deep_heads):
            return logits
        return [logits, *(head(level) for head, level in zip(self.deep_heads, (hidden2, hidden4, hidden8)))]


def check_input(x_BCDHW: torch.Tensor, in_channels: int) -> None:
    """Raise BadInput unless the tensor is [B, in_channels, D, H, W] with sizes that four halvings divide."""
    if x_BCDHW.ndim != 5 or x_BCDHW.shape[1] != in_channels:
        raise BadInput(f"the network takes [B, {in_channels}, D, H, W], not {list(x_BCDHW.shape)}")
    if any(n % STRIDE or n < SMALLEST_INPUT for n in x_BCDHW.shape[2:]):
        raise BadInput(
            f"spatial size {list(x_BCDHW.shape[2:])} does not fit the network",
            f"Pad each axis to a multiple of {STRIDE}, at least {SMALLEST_INPUT}.",
        )
