"""3D UX-Net (Lee et al., ICLR 2023): large depthwise kernels with depthwise scaling, plain or with LRBM."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rep3d.layers import ChannelLayerNorm, CSLAConfig, LRBMConfig, Reparam, csla_settings, large_kernel_conv
from rep3d.networks.encoder import KernelSizes
from rep3d.networks.encoder_decoder import EncoderDecoder
from rep3d.networks.registry import register_network


class UXBlock(nn.Module):
    """``x + gamma . scale(GELU(expand(LN(dwconv(x)))))``; expand, scale: 1x1x1 convolutions grouped by channel."""

    def __init__(
        self,
        channels: int,
        kernel_size: int | Sequence[int],
        *,
        reparam: Reparam,
        lrbm: LRBMConfig,
        csla: CSLAConfig = CSLAConfig(),  # noqa: B008
        layer_scale: float = 1e-6,
        expansion: int = 4,
    ):
        super().__init__()
        self.conv = large_kernel_conv(channels, kernel_size, reparam=reparam, lrbm=lrbm, csla=csla)
        self.norm = ChannelLayerNorm(channels)
        self.expand = nn.Conv3d(channels, expansion * channels, 1, groups=channels)
        self.scale = nn.Conv3d(expansion * channels, channels, 1, groups=channels)
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        hidden = self.scale(nn.functional.gelu(self.expand(self.norm(self.conv(x_BCDHW)))))
        return x_BCDHW + self.gamma.view(1, -1, 1, 1, 1) * hidden


class UXNet(EncoderDecoder):
    """3D UX-Net; arguments and shapes as in Rep3D. ``kernel_size`` 7 is the published network, 21 the paper's row."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: Sequence[int] = (48, 96, 192, 384),
        hidden_size: int = 768,
        depth: int = 2,
        kernel_size: KernelSizes = 7,
        reparam: Reparam = "plain",
        lrbm: LRBMConfig = LRBMConfig(),  # noqa: B008
        csla: CSLAConfig = CSLAConfig(),  # noqa: B008
        deep_supervision: int = 0,
    ):

        def block(width: int, kernel: tuple[int, int, int]) -> UXBlock:
            return UXBlock(width, kernel, reparam=reparam, lrbm=lrbm, csla=csla)

        super().__init__(in_channels, out_channels, channels, hidden_size, depth, kernel_size, block, deep_supervision)


PRESETS: dict[str, dict] = {
    "uxnet": {"channels": (48, 96, 192, 384), "hidden_size": 768},
    "uxnet-xs": {"channels": (16, 32, 64, 96), "hidden_size": 96},
    "uxnet-tiny": {"channels": (4, 8, 8, 8), "hidden_size": 8},
}


def _register_preset(name: str, preset: dict) -> None:
    @register_network(name)
    def build(
        in_channels: int = 1,
        out_channels: int = 2,
        reparam: Reparam = "plain",
        lrbm: dict | None = None,
        kernel_size: KernelSizes = 7,
        deployed: bool = False,
        csla: dict | None = None,
        deep_supervision: int = 0,
    ) -> UXNet:
        return UXNet(
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            reparam="plain" if deployed else reparam,
            lrbm=LRBMConfig.from_dict(lrbm),
            csla=csla_settings(reparam, csla),
            deep_supervision=deep_supervision,
            **preset,
        )


for _name, _preset in PRESETS.items():
    _register_preset(_name, _preset)
