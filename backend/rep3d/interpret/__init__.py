"""Why the network saw what it saw: modulation masks over the kernels, effective receptive fields."""

from rep3d.interpret.erf import ReceptiveField, patch_around, receptive_field
from rep3d.interpret.masks import (
    BlockMask,
    Energy,
    RadialProfile,
    energy,
    masks_from_network,
    masks_from_weights,
    radial_profile,
)

__all__ = [
    "BlockMask",
    "Energy",
    "RadialProfile",
    "ReceptiveField",
    "energy",
    "masks_from_network",
    "masks_from_weights",
    "patch_around",
    "radial_profile",
    "receptive_field",
]
