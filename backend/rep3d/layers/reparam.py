"""Which re-parameterisation a large kernel has: one name, one layer."""

from __future__ import annotations

from typing import Literal

from rep3d.layers.csla import CSLAConfig, CSLAConv3d
from rep3d.layers.large_kernel import LargeKernelConv3d, triple
from rep3d.layers.lrbm import LRBMConfig

Reparam = Literal["lrbm", "fixed", "plain", "csla"]


def large_kernel_conv(
    channels: int,
    kernel_size: int | tuple[int, int, int],
    *,
    reparam: Reparam = "lrbm",
    lrbm: LRBMConfig = LRBMConfig(),  # noqa: B008
    csla: CSLAConfig = CSLAConfig(),  # noqa: B008
    bias: bool = True,
) -> LargeKernelConv3d:
    """The depthwise large-kernel convolution of a block: CSLA, masked or plain.

    Args: as in LargeKernelConv3d; ``csla``: scales and small kernel for ``reparam="csla"``.

    Raises ValueError for an unknown ``reparam``, an even kernel size or a small kernel that does not fit.
    """
    if reparam == "csla":
        scales = {"large_scale": csla.large_scale, "small_scale": csla.small_scale}
        return CSLAConv3d(channels, kernel_size, triple(csla.small_kernel_size), **scales, bias=bias)
    if reparam not in ("lrbm", "fixed", "plain"):
        raise ValueError(f"reparam must be 'lrbm', 'fixed', 'plain' or 'csla', not {reparam!r}")
    return LargeKernelConv3d(channels, kernel_size, reparam=reparam, lrbm=lrbm, bias=bias)


def csla_settings(reparam: Reparam, csla: dict | None) -> CSLAConfig:
    """The branches' settings of a network's argument ``csla``. ValueError when they would have no effect."""
    if csla and reparam != "csla":
        raise ValueError(f"the setting csla applies to reparam='csla' only, not {reparam!r}")
    return CSLAConfig.from_dict(csla)
