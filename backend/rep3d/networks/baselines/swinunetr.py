"""SwinUNETR (Hatamizadeh et al., BrainLes 2021), MONAI's: shifted windows of 7^3, a convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence

from rep3d.networks.baselines.wrapper import Baseline, RealIndices
from rep3d.networks.registry import register_network
from rep3d.runtime.packages import need

STRIDE = 32


@register_network("swinunetr")
def swinunetr(
    in_channels: int = 1,
    out_channels: int = 2,
    feature_size: int = 48,
    depths: Sequence[int] = (2, 2, 2, 2),
    heads: Sequence[int] = (3, 6, 12, 24),
) -> Baseline:
    """``feature_size``: width of the first stage, doubled a stage; ``depths``, ``heads``: layers and heads a stage."""
    need("transformers")
    from monai.networks.nets import SwinUNETR

    with RealIndices():
        network = SwinUNETR(
            in_channels, out_channels, depths=tuple(depths), num_heads=tuple(heads), feature_size=feature_size
        )
    return Baseline(network, in_channels, STRIDE, deepest=2)
