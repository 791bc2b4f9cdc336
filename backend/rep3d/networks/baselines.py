"""MONAI's SegResNet and DynUNet, named "segresnet" and "dynunet", to compare on the same data and budget.

The default widths come closest to the parameters of ``rep3d-xs`` (4.7 and 5.6 M beside 6.7 M). A forward at
64 x 64 x 48 takes 13.6 and 11.2 G multiply-adds beside 23.5 G, and on a CPU about half the time.
"""

from __future__ import annotations

import torch
from torch import nn

from rep3d.networks.registry import register_network


class Baseline(nn.Module):
    """A network of another kind with this package's interface: [B, C, D, H, W] to logits."""

    def __init__(self, network: nn.Module, in_channels: int, stride: int):
        super().__init__()
        self.network = network
        self.in_channels = in_channels
        self.stride = stride

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        return self.network(x_BCDHW)


@register_network("segresnet")
def segresnet(in_channels: int = 1, out_channels: int = 2, init_filters: int = 16) -> Baseline:
    """SegResNet (Myronenko 2018) without the autoencoder branch; three halvings."""
    from monai.networks.nets import SegResNet  # imports all of MONAI's networks: only when asked for

    network = SegResNet(3, init_filters, in_channels, out_channels, dropout_prob=None)
    return Baseline(network, in_channels, 8)


@register_network("dynunet")
def dynunet(in_channels: int = 1, out_channels: int = 2, base_filters: int = 16) -> Baseline:
    """DynUNet, the nnU-Net architecture: five levels, instance norm, leaky ReLU, no deep supervision."""
    from monai.networks.nets import DynUNet

    filters = [min(base_filters * 2**level, 320) for level in range(5)]
    network = DynUNet(
        3, in_channels, out_channels, [3] * 5, [1, 2, 2, 2, 2], [2] * 4, filters=filters, deep_supervision=False
    )
    return Baseline(network, in_channels, 16)
