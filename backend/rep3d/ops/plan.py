"""Sizes of a circular convolution that is exact where it is read: tap cropping, lengths, method per axis.

Notation, per axis: ``n`` samples, an odd kernel of ``k`` taps, ``p = (k - 1) / 2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

#: How each axis (D, H, W) is transformed by the spectral algorithms.
METHODS: dict[str, tuple[str, str, str]] = {
    "fft": ("fft", "fft", "fft"),
    "matmul": ("gemm", "gemm", "gemm"),
    "hybrid": ("fft", "fft", "gemm"),
}


@dataclass(frozen=True)
class AxisPlan:
    """One axis: ``n`` samples, ``k`` taps left after cropping, ``crop`` taps dropped at each end, length ``length``."""

    n: int
    k: int
    crop: int
    length: int
    method: str

    @property
    def p(self) -> int:
        """Taps on each side of the centre, after cropping."""
        return (self.k - 1) // 2


@dataclass(frozen=True)
class Plan:
    """The three axes of one convolution. The last axis keeps only the non-redundant half of its spectrum."""

    algorithm: str
    axes: tuple[AxisPlan, AxisPlan, AxisPlan]

    @property
    def spatial(self) -> tuple[int, int, int]:
        return tuple(a.n for a in self.axes)  # type: ignore[return-value]

    @property
    def kernel(self) -> tuple[int, int, int]:
        """Kernel size after cropping."""
        return tuple(a.k for a in self.axes)  # type: ignore[return-value]

    @property
    def half(self) -> int:
        """Number of frequencies kept on the last axis."""
        return self.axes[2].length // 2 + 1

    @property
    def spectrum_shape(self) -> tuple[int, int, int]:
        return (self.half, self.axes[1].length, self.axes[0].length)

    @property
    def spectrum_numel(self) -> int:
        """Complex numbers in the spectrum of one map."""
        return math.prod(self.spectrum_shape)


def cropped_kernel(n: int, k: int) -> int:
    """Taps that can meet data. A tap ``d`` from the centre pairs samples ``d`` apart, and none are ``n`` apart."""
    return min(k, 2 * n - 1)


def shortest_length(n: int, k: int) -> int:
    """Smallest circular length for which output and both gradients are free of wrap-around.

    Reads of ``x[i + s]``, |s| <= p, 0 <= i < n, lie in [-p, n - 1 + p]. Those outside [0, n) must see zeros modulo L:
    ``-p + L >= n`` and ``n - 1 + p - L < 0``, both of which say ``L >= n + p``. The weight gradient reads lags |s| <= p
    of a correlation whose lags go to n - 1: ``L - p > n - 1`` is the same bound.
    """
    return n + (k - 1) // 2


def next_fast_length(length: int, even: bool = False) -> int:
    """Smallest number >= ``length`` with no prime factor above 7 (and even, if asked: real transforms halve it)."""
    while True:
        rest = length
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and not (even and length % 2):
            return length
        length += 1


@lru_cache(maxsize=512)
def make_plan(spatial: tuple[int, int, int], kernel: tuple[int, int, int], algorithm: str) -> Plan:
    """The plan for maps of size ``spatial`` and a kernel of size ``kernel`` (before cropping)."""
    methods = METHODS.get(algorithm, ("none", "none", "none"))
    axes = []
    for axis, (n, full, method) in enumerate(zip(spatial, kernel, methods)):
        k = cropped_kernel(n, full)
        length = shortest_length(n, k)
        if method == "fft":
            length = next_fast_length(length, even=axis == 2)
        axes.append(AxisPlan(n, k, (full - k) // 2, length, method))
    return Plan(algorithm, tuple(axes))  # type: ignore[arg-type]
