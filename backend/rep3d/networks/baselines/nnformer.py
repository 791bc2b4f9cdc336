"""nnFormer (Zhou et al., IEEE Transactions on Image Processing 2023; arXiv 2109.03201), written from the paper.

Convolutional embedding at stride 4, four stages of transformer layers with strided convolutions between them, and a
decoder of transposed convolutions and transformer layers. Attention is local, in windows, in the two upper stages and
global in the two lower ones, where a window holds the whole map (up to 128^3 voxels in). Decoder and encoder meet by
attention rather than by concatenation. The paper leaves three things open, decided here: the residual path around skip
attention carries the decoder's map (as in any cross-attention), a layer norm precedes each strided and transposed
convolution, and neither padding nor the other side of a shifted window is attended to.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from rep3d.layers import ChannelLayerNorm
from rep3d.networks.baselines.attention import Mlp, WindowAttention
from rep3d.networks.baselines.wrapper import Baseline
from rep3d.networks.registry import register_network

EMBEDDING_STRIDE = 4
STRIDE = 32


class Layer(nn.Module):
    """``x + attention(LN(x))``, then ``x + MLP(LN(x))``; [B, D, H, W, C]."""

    def __init__(self, channels: int, heads: int, window: int, *, shifted: bool = False, skip: bool = False):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, heads, window, shifted=shifted, skip=skip)
        self.mlp = Mlp(channels)

    def forward(self, x: torch.Tensor, source: torch.Tensor | None = None) -> torch.Tensor:
        normed = None if source is None else self.norm1(source)
        x = x + self.attention(self.norm1(x), normed)
        return x + self.mlp(self.norm2(x))


class Stage(nn.Module):
    """Layers with windows shifted in every second one; with ``skip`` the first attends to the encoder's map."""

    def __init__(self, channels: int, heads: int, window: int, depth: int, *, skip: bool = False):
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(channels, heads, window, shifted=i % 2 == 1, skip=skip and i == 0) for i in range(depth)
        )

    def forward(self, x_BCDHW: torch.Tensor, source_BCDHW: torch.Tensor | None = None) -> torch.Tensor:
        x = x_BCDHW.permute(0, 2, 3, 4, 1)
        source = None if source_BCDHW is None else source_BCDHW.permute(0, 2, 3, 4, 1)
        for i, layer in enumerate(self.layers):
            x = layer(x, source if i == 0 else None)
        return x.permute(0, 4, 1, 2, 3)


def _embedding(in_channels: int, channels: int) -> nn.Sequential:
    """Four convolutions k3, the first and third of stride 2, with GELU and layer norm between them."""
    half = channels // 2
    steps = [(in_channels, half, 2), (half, half, 1), (half, channels, 2), (channels, channels, 1)]
    modules: list[nn.Module] = []
    for i, (before, after, stride) in enumerate(steps):
        modules.append(nn.Conv3d(before, after, 3, stride=stride, padding=1))
        if i < len(steps) - 1:
            modules += [nn.GELU(), ChannelLayerNorm(after)]
    return nn.Sequential(*modules)


class NnFormer(nn.Module):
    """Logits [B, out_channels, D, H, W] of [B, in_channels, D, H, W]; D, H, W multiples of 32.

    Args:
        channels: width of the first stage, doubled a stage. heads: of each of the four stages.
        windows: edge of the windows in each stage. depth: layers a stage.
        deep_supervision: 0 to 2 more logits while training, of 1/2 and 1/4 of the size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int = 192,
        heads: Sequence[int] = (6, 12, 24, 48),
        windows: Sequence[int] = (4, 4, 8, 4),
        depth: int = 2,
        deep_supervision: int = 0,
    ):
        super().__init__()
        if len(heads) != 4 or len(windows) != 4:
            raise ValueError("nnFormer has four stages: give four numbers of heads and four windows")
        if deep_supervision not in range(3):
            raise ValueError(f"deep_supervision must be 0 to 2 levels, not {deep_supervision!r}")
        widths = [channels * 2**i for i in range(4)]
        pairs = list(pairwise(widths))
        self.embedding = _embedding(in_channels, channels)
        self.encoder = nn.ModuleList(Stage(*each, depth) for each in zip(widths, heads, windows))
        self.norms = nn.ModuleList(ChannelLayerNorm(width) for width in widths)
        self.down = nn.ModuleList(
            nn.Sequential(ChannelLayerNorm(a), nn.Conv3d(a, b, 3, stride=2, padding=1)) for a, b in pairs
        )
        self.up = nn.ModuleList(
            nn.Sequential(ChannelLayerNorm(b), nn.ConvTranspose3d(b, a, 2, stride=2)) for a, b in pairs
        )
        self.decoder = nn.ModuleList(Stage(*each, depth, skip=True) for each in zip(widths[:3], heads, windows))
        self.heads = nn.ModuleList(
            nn.ConvTranspose3d(width, out_channels, EMBEDDING_STRIDE, stride=EMBEDDING_STRIDE)
            for width in widths[: 1 + deep_supervision]
        )

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        x = self.embedding(x_BCDHW)
        skips = []
        for i, (stage, norm) in enumerate(zip(self.encoder, self.norms)):
            x = stage(x if i == 0 else self.down[i - 1](x))
            skips.append(norm(x))
        x = skips.pop()
        maps = []
        for i in (2, 1, 0):
            x = self.decoder[i](self.up[i](x), skips[i])
            maps.insert(0, x)
        if self.training and len(self.heads) > 1:
            return [head(each) for head, each in zip(self.heads, maps)]
        return self.heads[0](maps[0])


@register_network("nnformer")
def nnformer(
    in_channels: int = 1,
    out_channels: int = 2,
    channels: int = 192,
    heads: Sequence[int] = (6, 12, 24, 48),
    windows: Sequence[int] = (4, 4, 8, 4),
    deep_supervision: int = 0,
) -> Baseline:
    """Two layers a stage; see NnFormer. The paper trains with deep supervision of three resolutions (2)."""
    network = NnFormer(
        in_channels,
        out_channels,
        channels=channels,
        heads=heads,
        windows=windows,
        deep_supervision=deep_supervision,
    )
    return Baseline(network, in_channels, STRIDE)
