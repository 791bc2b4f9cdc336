"""Constant-scale linear addition: a large and a small depthwise kernel in parallel (PAPER eq. 1-3)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import torch
from torch import nn

from rep3d.layers.large_kernel import LargeKernelConv3d, triple
from rep3d.ops import depthwise_conv3d


@dataclass(frozen=True)
class CSLAConfig:
    """The branches of a CSLA block.

    Attributes:
        small_kernel_size: taps an axis of the small branch, odd; an int or three of them.
        large_scale, small_scale: the constants a_L and a_S (eq. 1).
    """

    small_kernel_size: int | tuple[int, int, int] = 3
    large_scale: float = 1.0
    small_scale: float = 1.0

    def __post_init__(self) -> None:
        triple(self.small_kernel_size)
        for name in ("large_scale", "small_scale"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
                raise ValueError(f"CSLA {name} must be a finite number, not {value!r}")

    @classmethod
    def from_dict(cls, values: dict | None) -> CSLAConfig:
        """The defaults changed by ``values``; ValueError names what is unknown."""
        values = values or {}
        if unknown := sorted(set(values) - set(cls.__dataclass_fields__)):
            raise ValueError(f"CSLA has no setting {', '.join(unknown)}, only {', '.join(cls.__dataclass_fields__)}")
        return cls(**values)

    def check_fits(self, kernel_size: tuple[int, int, int]) -> None:
        """Raise ValueError when the small kernel is larger than the large one."""
        small = triple(self.small_kernel_size)
        if any(s > k for s, k in zip(small, kernel_size)):
            raise ValueError(f"small kernel {small} does not fit into {kernel_size}")


class CSLAConv3d(LargeKernelConv3d):
    """``Y = a_L (X * W_L) + a_S (X * W_S) + b`` (eq. 1), both depthwise; the scales are constants.

    Computed as the single operator ``W' = a_L W_L + a_S pad(W_S)`` (eq. 2-3): the same function and, by linearity, the
    same gradients to both branches, at the cost of one convolution. ``forward_branches`` is eq. 1 as written.

    Shapes: ``weight`` is W_L [C, 1, K, K, K], ``weight_small`` W_S, [C, 1, S, S, S]. There is no mask.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, int, int] = 21,
        small_kernel_size: int | tuple[int, int, int] = 3,
        *,
        large_scale: float = 1.0,
        small_scale: float = 1.0,
        bias: bool = True,
    ):
        super().__init__(channels, kernel_size, reparam="plain", bias=bias)
        self.config = CSLAConfig(small_kernel_size, large_scale, small_scale)
        self.config.check_fits(self.kernel_size)
        self.small_kernel_size = triple(small_kernel_size)
        self.weight_small = nn.Conv3d(channels, channels, self.small_kernel_size, groups=channels, bias=False).weight
        self.large_scale = float(large_scale)
        self.small_scale = float(small_scale)

    @property
    def weight_large(self) -> nn.Parameter:
        """W_L, another name for ``weight``."""
        return self.weight

    def effective_weight(self) -> torch.Tensor:
        """``W' = a_L W_L + a_S pad(W_S)`` (eq. 3), [C, 1, K, K, K]."""
        padding: list[int] = []
        for k, s in zip(reversed(self.kernel_size), reversed(self.small_kernel_size)):
            padding += [(k - s) // 2] * 2
        padded_small = nn.functional.pad(self.weight_small, padding)
        return self.large_scale * self.weight + self.small_scale * padded_small

    def forward_branches(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        """Eq. 1 literally, with two convolutions; the oracle of the merge."""
        large = depthwise_conv3d(x_BCDHW, self.weight)
        small = depthwise_conv3d(x_BCDHW, self.weight_small)
        out = self.large_scale * large + self.small_scale * small
        return out if self.bias is None else out + self.bias[:, None, None, None]
