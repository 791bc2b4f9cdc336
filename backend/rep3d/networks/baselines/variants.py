"""Rows of the paper's tables that are this package's own networks with other defaults.

``rep3d-fixed``: the fixed prior. ``rep3d-csla``: two branches, 21^3 and 3^3, merged for inference, as in RepLKNet (Ding
et al., CVPR 2022). ``rep3d-repopt``: one plain 21^3 kernel for RepOptimizer (Ding et al., ICLR 2023), which is the
training option ``lr_field="csla"``: the optimiser scales the kernel's gradient or update. ``uxnet-k21``: 3D UX-Net with
kernels of 21. docs/baselines.md has the commands.
"""

from __future__ import annotations

from rep3d.networks import rep3d, uxnet  # noqa: F401 - they register the bases
from rep3d.networks.registry import register_variant

register_variant("rep3d-fixed", "rep3d", reparam="fixed")
register_variant("rep3d-csla", "rep3d", reparam="csla")
register_variant("rep3d-repopt", "rep3d", reparam="plain")
register_variant("uxnet-k21", "uxnet", kernel_size=21)
