"""Building blocks of the networks: distance prior, LRBM, large-kernel and CSLA convolutions, norms."""

from rep3d.layers.csla import CSLAConfig, CSLAConv3d
from rep3d.layers.large_kernel import LargeKernelConv3d, triple
from rep3d.layers.lrbm import LRBM, FixedPrior, LRBMConfig
from rep3d.layers.norm import ChannelAffine, ChannelLayerNorm
from rep3d.layers.prior import DistancePrior, tap_distances
from rep3d.layers.reparam import Reparam, csla_settings, large_kernel_conv

__all__ = [
    "LRBM",
    "CSLAConfig",
    "CSLAConv3d",
    "ChannelAffine",
    "ChannelLayerNorm",
    "DistancePrior",
    "FixedPrior",
    "LRBMConfig",
    "LargeKernelConv3d",
    "Reparam",
    "csla_settings",
    "large_kernel_conv",
    "tap_distances",
    "triple",
]
