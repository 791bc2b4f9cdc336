"""Block sizes and matrices of the Triton kernels. Needs no Triton.

Blocks are powers of two, at least 16 (the smallest side of a tensor-core product). They come from the sizes alone, so
that a run is the same on every GPU: for every axis the candidate with the fewest padded samples, small blocks charged
for the work around each. The upper bounds keep three float32 accumulators of a program within 96 registers a thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .plan import AxisPlan

#: Largest block of (rows of a result, W frequencies or columns).
LARGEST_ROWS, COLUMNS = 128, 32
#: Largest block of samples that are summed over: TF32 products take three registers where bfloat16 takes half a one.
LARGEST_SUM = {torch.bfloat16: 64, torch.float32: 16}
#: Largest block of the first axis' frequencies, which are a result and then summed over.
MIDDLE = {torch.bfloat16: 64, torch.float32: 16}


@dataclass(frozen=True)
class Blocked:
    """``size`` samples in blocks of ``block``; matrices have ``padded`` of them."""

    size: int
    block: int

    @property
    def count(self) -> int:
        return -(-self.size // self.block)

    @property
    def padded(self) -> int:
        return self.count * self.block


def blocked(size: int, largest: int, overhead: float) -> Blocked:
    """The block of 16, 32, ... ``largest`` with the smallest padded size; each costs ``overhead`` samples more."""
    sizes = [block for block in (16, 32, 64, 128) if block <= largest]
    return min((Blocked(size, b) for b in sizes), key=lambda c: (c.count * (c.block + overhead), -c.block))


def summed(size: int, dtype: torch.dtype) -> Blocked:
    """Blocks of an axis that is summed over: few and large, for each costs a round through shared memory."""
    return blocked(size, LARGEST_SUM[dtype], 16)


def kept_frequencies(axis: AxisPlan) -> int:
    """Frequencies stored of the last axis: the non-redundant half and zeros up to a multiple of 8 (whole 16 bytes)."""
    return -(-(axis.length // 2 + 1) // 8) * 8


def warps(rows: int, columns: int, dtype: torch.dtype) -> int:
    """Warps of a program whose accumulators are ``[rows, columns]``."""
    size = rows * columns * (2 if dtype == torch.float32 else 1)
    return 8 if size >= 4096 else 4 if size >= 1024 else 2


def _angles(frequencies: int, samples: int, offset: int, length: int) -> Tensor:
    """``[frequencies, samples]``; reduced modulo the length in integers, so that large arguments lose no accuracy."""
    turns = torch.arange(frequencies)[:, None] * (torch.arange(samples) - offset)[None, :]
    return turns.remainder(length).double() * (2 * math.pi / length)


def _planes(real: Tensor, imaginary: Tensor, shape: tuple[int, int], dtype: torch.dtype, device: str) -> Tensor:
    both = torch.zeros((2, *shape), dtype=torch.float64)
    both[0, : real.shape[0], : real.shape[1]] = real
    both[1, : real.shape[0], : real.shape[1]] = imaginary
    return both.to(device=device, dtype=dtype)


@lru_cache(maxsize=512)
def complex_forward(
    samples: int, offset: int, length: int, shape: tuple[int, int], dtype: torch.dtype, device: str
) -> Tensor:
    """``[2, L, samples]`` padded to ``shape``: exp(-i 2 pi f (j - offset) / L)."""
    with torch.inference_mode(False):
        angle = _angles(length, samples, offset, length)
        return _planes(angle.cos(), -angle.sin(), shape, dtype, device)


@lru_cache(maxsize=512)
def complex_back(
    samples: int, offset: int, length: int, shape: tuple[int, int], dtype: torch.dtype, device: str
) -> Tensor:
    """``[2, samples, L]`` padded to ``shape``: exp(i 2 pi f (j - offset) / L) / L."""
    with torch.inference_mode(False):
        angle = _angles(length, samples, offset, length).T
        return _planes(angle.cos() / length, angle.sin() / length, shape, dtype, device)


@lru_cache(maxsize=512)
def real_forward(
    samples: int, offset: int, length: int, shape: tuple[int, int], dtype: torch.dtype, device: str
) -> Tensor:
    """``[2, samples, half]`` padded to ``shape``: a real line to its non-redundant frequencies."""
    with torch.inference_mode(False):
        angle = _angles(length // 2 + 1, samples, offset, length).T
        return _planes(angle.cos(), -angle.sin(), shape, dtype, device)


@lru_cache(maxsize=512)
def real_back(
    samples: int, offset: int, length: int, shape: tuple[int, int], dtype: torch.dtype, device: str
) -> Tensor:
    """``[2, half, samples]`` padded to ``shape``: back to a real line, the redundant frequencies folded in."""
    with torch.inference_mode(False):
        angle = _angles(length // 2 + 1, samples, offset, length)
        weight = torch.full((length // 2 + 1, 1), 2.0 / length, dtype=torch.float64)
        weight[0] = 1.0 / length
        if length % 2 == 0:
            weight[-1] = 1.0 / length
        return _planes(angle.cos() * weight, -angle.sin() * weight, shape, dtype, device)
