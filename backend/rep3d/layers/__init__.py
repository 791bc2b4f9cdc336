"""Building blocks of the networks: distance prior, LRBM, large-kernel and CSLA convolutions, norms."""

from rep3d.layers.csla import CSLAConv3d
from rep3d.layers.large_kernel import LargeKernelConv3d, Reparam, triple
from rep3d.layers.lrbm import LRBM, FixedPrior, LRBMConfig
from rep3d.layers.norm import ChannelAffine, ChannelLayerNorm
from rep3d.layers.prior import DistancePrior, tap_distances

__all__ = [
    "LRBM",
    "CSLAConv3d",
    "ChannelAffine",
    "ChannelLayerNorm",
    "DistancePrior",
    "FixedPrior",
    "LRBMConfig",
    "LargeKernelConv3d",
    "Reparam",
    "tap_distances",
    "triple",
]
