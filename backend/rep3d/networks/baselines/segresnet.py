"""SegResNet (Myronenko, BrainLes 2018; without the autoencoder branch), MONAI's.

``segresnet`` is as wide as comes closest to the parameters of ``rep3d-xs`` (4.7 M beside 6.7 M; a forward at
64 x 64 x 48 takes 13.6 G multiply-adds beside 23.5 G); ``segresnet-paper`` is the one of the paper's tables.
"""

from __future__ import annotations

from rep3d.networks.baselines.wrapper import Baseline
from rep3d.networks.registry import register_network
from rep3d.runtime.packages import need

PAPER_FILTERS = 8


@register_network("segresnet")
def segresnet(in_channels: int = 1, out_channels: int = 2, init_filters: int = 16) -> Baseline:
    """Residual encoder with three halvings, group norm, additive skips; ``init_filters``: width at full size."""
    need("monai")
    from monai.networks.nets import SegResNet  # imports all of MONAI's networks: only when asked for

    network = SegResNet(3, init_filters, in_channels, out_channels, dropout_prob=None)
    return Baseline(network, in_channels, 8)


@register_network("segresnet-paper")
def segresnet_paper(in_channels: int = 1, out_channels: int = 2) -> Baseline:
    """SegResNet with 8 filters at full size: 1.18 M parameters."""
    return segresnet(in_channels, out_channels, PAPER_FILTERS)
