"""UNETR (Hatamizadeh et al., WACV 2022), MONAI's: a transformer over patches of 16^3, a convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rep3d.networks.baselines.wrapper import Baseline, fixed_patch
from rep3d.networks.registry import register_network
from rep3d.runtime.packages import need

STRIDE = 16


@register_network("unetr")
def unetr(
    in_channels: int = 1,
    out_channels: int = 2,
    patch: Sequence[int] = (96, 96, 96),
    feature_size: int = 16,
    hidden_size: int = 768,
    mlp_dim: int = 3072,
    heads: int = 12,
) -> Baseline:
    """Twelve layers; positions are learned, so it takes windows of ``patch`` (x, y, z) voxels only.

    ``feature_size``: decoder's width at full size; ``hidden_size``, ``mlp_dim``, ``heads``: of the transformer.
    """
    need("transformers")
    from monai.networks.nets import UNETR

    size = fixed_patch(patch, STRIDE)
    network = UNETR(
        in_channels,
        out_channels,
        size,
        feature_size=feature_size,
        hidden_size=hidden_size,
        mlp_dim=mlp_dim,
        num_heads=heads,
    )
    for block in network.vit.blocks:  # a norm that MONAI makes for cross-attention, which is not there: never used
        block.norm_cross_attn = nn.Identity()
    return Baseline(network, in_channels, STRIDE, patch=size)
