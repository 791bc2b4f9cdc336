"""The Rep3D network (PAPER section 3): a plain encoder of large depthwise kernels and a convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from rep3d.layers import (
    ChannelAffine,
    ChannelLayerNorm,
    CSLAConfig,
    LRBMConfig,
    Reparam,
    csla_settings,
    large_kernel_conv,
)
from rep3d.networks.encoder import KernelSizes
from rep3d.networks.encoder_decoder import EncoderDecoder
from rep3d.networks.registry import register_network

BlockNorm = Literal["batch", "batch-first", "layer"]


class Rep3DBlock(nn.Module):
    """Depthwise large-kernel convolution, norm, GELU; no residual, no pointwise mixing.

    Args:
        channels: C.
        kernel_size: taps per axis.
        norm: "batch" (conv, BN, GELU; BN folds exactly), "batch-first" (BN, conv, GELU; eq. 18), "layer" (appendix C).
        reparam, lrbm, csla: see large_kernel_conv.
        deployed: the fused form: no mask; "batch" has no norm left, "batch-first" keeps a per-channel affine, because
            its shift is not seen by the zero padding of the convolution and so cannot go into a bias.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | Sequence[int],
        *,
        norm: BlockNorm = "batch",
        reparam: Reparam = "lrbm",
        lrbm: LRBMConfig = LRBMConfig(),  # noqa: B008
        csla: CSLAConfig = CSLAConfig(),  # noqa: B008
        deployed: bool = False,
    ):
        super().__init__()
        if norm not in ("batch", "batch-first", "layer"):
            raise ValueError(f"norm must be 'batch', 'batch-first' or 'layer', not {norm!r}")
        self.norm_kind = norm
        # A bias in front of a batch norm has no effect; folding the batch norm creates one.
        bias = deployed or norm != "batch"
        reparam = "plain" if deployed else reparam
        self.conv = large_kernel_conv(channels, kernel_size, reparam=reparam, lrbm=lrbm, csla=csla, bias=bias)
        if norm == "layer":
            self.norm: nn.Module = ChannelLayerNorm(channels)
        elif not deployed:
            self.norm = nn.BatchNorm3d(channels)
        else:
            self.norm = ChannelAffine(channels) if norm == "batch-first" else nn.Identity()

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        if self.norm_kind == "batch-first":
            return nn.functional.gelu(self.conv(self.norm(x_BCDHW)))
        return nn.functional.gelu(self.norm(self.conv(x_BCDHW)))


class Rep3D(EncoderDecoder):
    """Rep3D encoder and decoder.

    Args:
        in_channels, out_channels: image channels; classes including background.
        channels: widths of the four stages. hidden_size: width of the bottleneck.
        depth: blocks a stage.
        kernel_size: taps per axis of every block, or one triple for each stage (the deployed form stores no dead taps).
        reparam: "lrbm", "fixed", "plain" or "csla"; ``lrbm``: generator settings; ``csla``: scales, small kernel.
        norm: see Rep3DBlock.
        deployed: build the fused form.
        deep_supervision: extra decoder levels with logits of their own while training, 0 to 3.

    Shapes: [B, in_channels, D, H, W] -> logits [B, out_channels, D, H, W]; D, H, W multiples of 16, at least 32.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: Sequence[int] = (48, 96, 192, 384),
        hidden_size: int = 768,
        depth: int = 2,
        kernel_size: KernelSizes = 21,
        reparam: Reparam = "lrbm",
        lrbm: LRBMConfig = LRBMConfig(),  # noqa: B008
        csla: CSLAConfig = CSLAConfig(),  # noqa: B008
        norm: BlockNorm = "batch",
        deployed: bool = False,
        deep_supervision: int = 0,
    ):

        def block(width: int, kernel: tuple[int, int, int]) -> Rep3DBlock:
            return Rep3DBlock(width, kernel, norm=norm, reparam=reparam, lrbm=lrbm, csla=csla, deployed=deployed)

        super().__init__(in_channels, out_channels, channels, hidden_size, depth, kernel_size, block, deep_supervision)


PRESETS: dict[str, dict] = {
    "rep3d": {"channels": (48, 96, 192, 384), "hidden_size": 768},
    "rep3d-s": {"channels": (24, 48, 96, 192), "hidden_size": 384},
    "rep3d-xs": {"channels": (16, 32, 64, 96), "hidden_size": 96},
    "rep3d-tiny": {"channels": (4, 8, 8, 8), "hidden_size": 8},
}


def _register_preset(name: str, preset: dict) -> None:
    @register_network(name)
    def build(
        in_channels: int = 1,
        out_channels: int = 2,
        reparam: Reparam = "lrbm",
        lrbm: dict | None = None,
        kernel_size: KernelSizes = 21,
        norm: BlockNorm = "batch",
        deployed: bool = False,
        csla: dict | None = None,
        deep_supervision: int = 0,
    ) -> Rep3D:
        return Rep3D(
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            reparam=reparam,
            lrbm=LRBMConfig.from_dict(lrbm),
            csla=csla_settings(reparam, csla),
            norm=norm,
            deployed=deployed,
            deep_supervision=deep_supervision,
            **preset,
        )


for _name, _preset in PRESETS.items():
    _register_preset(_name, _preset)
