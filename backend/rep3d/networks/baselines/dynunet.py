"""nnU-Net's network (Isensee et al., Nature Methods 2021) as MONAI's DynUNet.

``dynunet`` is as wide as comes closest to the parameters of ``rep3d-xs`` (5.6 M beside 6.7 M; a forward at
64 x 64 x 48 takes 11.2 G multiply-adds beside 23.5 G); ``nnunet`` is the plan that nnU-Net makes for such patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from rep3d.networks.baselines.wrapper import Baseline
from rep3d.networks.registry import register_network
from rep3d.runtime.packages import need

if TYPE_CHECKING:
    from monai.networks.nets import DynUNet

WIDEST = 320
NNUNET_LEVELS = 6
#: The child of DynUNet that holds all others once more.
SECOND_NAMES = "skip_layers"


class LevelUNet(nn.Module):
    """DynUNet's blocks in their order, with the logits of each level at that level's own size.

    MONAI's own forward keeps them in a list beside the graph and brings all to full size; its nested modules also give
    each weight a second name, which a weights file cannot have.

    Calling it returns logits [B, K, D, H, W], in training mode with deep supervision a list: those, and logits of
    1/2, 1/4, ... of the size.
    """

    def __init__(self, dynunet: DynUNet):
        super().__init__()
        for name, child in dynunet.named_children():  # under DynUNet's names, so that its weights fit
            if name != SECOND_NAMES:
                self.add_module(name, child)
        self.deep_supervision = dynunet.deep_supervision
        self.register_load_state_dict_pre_hook(_drop_second_names)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        skips = [self.input_block(x_BCDHW)]
        for block in self.downsamples:
            skips.append(block(skips[-1]))
        levels = [self.bottleneck(skips[-1])]
        for block in self.upsamples:
            levels.append(block(levels[-1], skips.pop()))
        logits = self.output_block(levels.pop())
        if not (self.training and self.deep_supervision):
            return logits
        return [logits, *(head(level) for head, level in zip(self.deep_supervision_heads, reversed(levels)))]


def _drop_second_names(_module: nn.Module, state: dict, prefix: str, *_) -> None:
    """Checkpoints of before hold every weight twice."""
    for key in [key for key in state if key.startswith(f"{prefix}{SECOND_NAMES}.")]:
        del state[key]


def _build(in_channels: int, out_channels: int, filters: list[int], deep_supervision: int) -> Baseline:
    need("monai")
    from monai.networks.nets import DynUNet

    levels = len(filters)
    if deep_supervision not in range(levels - 1):
        raise ValueError(f"deep_supervision must be 0 to {levels - 2} levels, not {deep_supervision!r}")
    network = DynUNet(
        3,
        in_channels,
        out_channels,
        [3] * levels,
        [1] + [2] * (levels - 1),
        [2] * (levels - 1),
        filters=filters,
        deep_supervision=deep_supervision > 0,
        deep_supr_num=max(deep_supervision, 1),
    )
    return Baseline(LevelUNet(network), in_channels, 2 ** (levels - 1), deepest=2)


@register_network("dynunet")
def dynunet(in_channels: int = 1, out_channels: int = 2, base_filters: int = 16, deep_supervision: int = 0) -> Baseline:
    """Five levels, instance norm, leaky ReLU; ``base_filters`` at full size, doubled a level, at most 320."""
    return _build(in_channels, out_channels, [min(base_filters * 2**i, WIDEST) for i in range(5)], deep_supervision)


@register_network("nnunet")
def nnunet(in_channels: int = 1, out_channels: int = 2, base_filters: int = 32, deep_supervision: int = 0) -> Baseline:
    """Six levels of 32 to 320 filters: 31.2 M parameters; nnU-Net itself trains with ``deep_supervision`` 3."""
    filters = [min(base_filters * 2**i, WIDEST) for i in range(NNUNET_LEVELS)]
    return _build(in_channels, out_channels, filters, deep_supervision)
