"""3D U-Net (Cicek et al., MICCAI 2016) in MONAI's form with residual units, the one of 4.81 M parameters."""

from __future__ import annotations

from rep3d.networks.baselines.wrapper import Baseline
from rep3d.networks.registry import register_network
from rep3d.runtime.packages import need

LEVELS = 5


@register_network("unet3d")
def unet3d(in_channels: int = 1, out_channels: int = 2, base_filters: int = 16) -> Baseline:
    """Five levels, two residual units each, instance norm, PReLU; ``base_filters`` at half size, doubled a level."""
    need("monai")
    from monai.networks.nets import UNet

    widths = [base_filters * 2**i for i in range(LEVELS)]
    network = UNet(3, in_channels, out_channels, widths, (2,) * (LEVELS - 1), num_res_units=2)
    return Baseline(network, in_channels, 2 ** (LEVELS - 1), deepest=2)
