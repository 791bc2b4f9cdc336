"""The networks that the paper compares with, by name; docs/baselines.md has their sources and sizes.

MONAI's: 3D U-Net, SegResNet, DynUNet (nnU-Net's network), UNETR, SwinUNETR. Written here from their papers: nnFormer,
TransBTS, UNesT, RAP-Net. Of this package's own blocks: RepLKNet-style CSLA, RepOptimizer, 3D UX-Net with k = 21.
"""

from rep3d.networks.baselines import (
    dynunet,
    nnformer,
    rapnet,
    segresnet,
    swinunetr,
    transbts,
    unest,
    unet3d,
    unetr,
    variants,
)

__all__ = [
    "dynunet",
    "nnformer",
    "rapnet",
    "segresnet",
    "swinunetr",
    "transbts",
    "unest",
    "unet3d",
    "unetr",
    "variants",
]
