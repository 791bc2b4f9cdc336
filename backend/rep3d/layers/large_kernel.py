"""A depthwise convolution with a large kernel, plain or re-parameterised by a mask (PAPER eq. 17)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from rep3d.layers.lrbm import LRBM, FixedPrior, LRBMConfig
from rep3d.ops import depthwise_conv3d

Mask = Literal["lrbm", "fixed", "plain"]


def triple(value: int | tuple[int, int, int] | list[int]) -> tuple[int, int, int]:
    """An int or three of them as a tuple of three; raises ValueError if a kernel size is even or below 1."""
    sizes = (value,) * 3 if isinstance(value, int) else tuple(int(v) for v in value)
    if len(sizes) != 3 or any(k < 1 or k % 2 == 0 for k in sizes):
        raise ValueError(f"kernel size must be odd and positive per axis, not {value!r}")
    return sizes


class LargeKernelConv3d(nn.Module):
    """``Y = X * (W . M) + b``, depthwise, stride 1, "same" zero padding.

    ``W`` stays the optimised parameter: the mask M is multiplied in functionally at every forward, never stored in W.

    Args:
        channels: C.
        kernel_size: taps per axis, odd.
        reparam: "lrbm" (prior and generator), "fixed" (frozen prior) or "plain" (M = 1).
        lrbm: generator settings for "lrbm".
        bias: add a bias a channel.

    Shapes: input and output [B, C, D, H, W]; ``weight`` [C, 1, K, K, K]; ``bias`` [C].
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, int, int] = 21,
        *,
        reparam: Mask = "lrbm",
        lrbm: LRBMConfig = LRBMConfig(),  # noqa: B008
        bias: bool = True,
    ):
        super().__init__()
        self.kernel_size = triple(kernel_size)
        reference = nn.Conv3d(channels, channels, self.kernel_size, groups=channels, bias=bias)
        self.weight = reference.weight
        self.bias = reference.bias
        if reparam == "lrbm":
            self.mask: nn.Module | None = LRBM(self.kernel_size, channels, lrbm)
        elif reparam == "fixed":
            self.mask = FixedPrior(self.kernel_size)
        elif reparam == "plain":
            self.mask = None
        else:
            raise ValueError(f"reparam must be 'lrbm', 'fixed' or 'plain', not {reparam!r}")

    def effective_weight(self) -> torch.Tensor:
        """``W_eff = W . M`` (eq. 17), [C, 1, K, K, K]."""
        if self.mask is None:
            return self.weight
        return self.weight * self.mask()[:, None]

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        return depthwise_conv3d(x_BCDHW, self.effective_weight(), self.bias)
