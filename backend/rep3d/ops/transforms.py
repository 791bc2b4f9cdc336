"""Pruned 3D Fourier transforms of real maps, each axis by FFT or by one matrix multiplication.

A block of maps is ``[m, D, H, W]``; its spectrum is ``[m, L0, L1, L2 // 2 + 1]`` complex. Going forward, an axis is
padded only when its turn comes (W, H, D), and going back an axis is cut to the samples wanted before the next one is
touched (D, H, W), so the zeros and the unwanted samples of the other axes are never transformed.

``offset`` is the index of the sample at position 0: 0 for maps, p for kernels (their centre tap is position 0).
``sign`` is that of the exponent of the forward transform. The spectrum of a real map with sign +1 is the complex
conjugate of the one with sign -1; using it where a conjugate is needed saves a pass over the spectrum.

Layouts are chosen so that no step copies: the last axis is contracted by ``[m D H, W] x [W, 2 half]`` whose result,
with real and imaginary parts interleaved, is reinterpreted as complex; H and D are then contracted from the left by
batched ``[L, n] x [n, rest]`` products.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from .plan import AxisPlan, Plan

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def _angles(rows: Tensor, columns: Tensor, length: int) -> Tensor:
    # The product is reduced modulo L in integers, so that large arguments lose no accuracy.
    return (rows[:, None] * columns[None, :]).remainder(length).double() * (2 * math.pi / length)


@lru_cache(maxsize=256)
def _complex_matrix(n: int, offset: int, length: int, sign: int, back: bool, dtype: torch.dtype, device: str) -> Tensor:
    """``[L, n]`` forward, or ``[n, L]`` back (conjugate, scaled by 1 / L): exp(sign i 2 pi f (j - offset) / L)."""
    with torch.inference_mode(False):
        angle = _angles(torch.arange(length), torch.arange(n) - offset, length)
        # No .conj(): it only sets a bit, which is lost where a compiled program calls the operator.
        matrix = torch.complex(angle.cos(), (-sign if back else sign) * angle.sin())
        if back:
            matrix = matrix.T / length
        return matrix.contiguous().to(device=device, dtype=COMPLEX[dtype])


@lru_cache(maxsize=256)
def _real_matrix(n: int, offset: int, length: int, sign: int, back: bool, dtype: torch.dtype, device: str) -> Tensor:
    """``[n, 2 half]`` real to (re, im) interleaved, or ``[2 half, n]`` back, redundant frequencies folded in."""
    half = length // 2 + 1
    with torch.inference_mode(False):
        angle = _angles(torch.arange(n) - offset, torch.arange(half), length)  # [n, half]
        pair = torch.stack((angle.cos(), sign * angle.sin()), dim=-1).reshape(n, 2 * half)
        if back:
            weight = torch.full((half,), 2.0, dtype=torch.float64)
            weight[0] = 1.0
            if length % 2 == 0:
                weight[-1] = 1.0
            pair = (pair * weight.repeat_interleave(2) / length).T
        return pair.contiguous().to(device=device, dtype=dtype)


def forward(x: Tensor, plan: Plan, *, kernel: bool = False, sign: int = -1) -> Tensor:
    """Spectrum ``[m, L0, L1, half]`` of maps ``[m, D, H, W]`` (or of cropped kernels, centred, if ``kernel``)."""
    d, h, w = plan.axes
    m, n0, n1, n2 = x.shape
    if w.method == "gemm":
        matrix = _real_matrix(n2, w.p if kernel else 0, w.length, sign, False, x.dtype, str(x.device))
        flat = torch.mm(x.reshape(m * n0 * n1, n2), matrix)
        z = torch.view_as_complex(flat.view(m, n0, n1, plan.half, 2))
    else:
        x = _wrap(x, -1, w) if kernel else x
        # "forward" normalisation leaves the conjugate transform unscaled.
        z = torch.fft.rfft(x, n=w.length) if sign < 0 else torch.fft.ihfft(x, n=w.length, norm="forward")
    z = _forward_complex(z, -2, h, kernel, sign)
    return _forward_complex(z, -3, d, kernel, sign)


def _forward_complex(z: Tensor, dim: int, axis: AxisPlan, kernel: bool, sign: int) -> Tensor:
    if axis.method == "fft":
        z = _wrap(z, dim, axis) if kernel else z
        if sign < 0:
            return torch.fft.fft(z, n=axis.length, dim=dim)
        return torch.fft.ifft(z, n=axis.length, dim=dim, norm="forward")
    n = z.shape[dim]
    real = torch.float64 if z.dtype == torch.complex128 else torch.float32
    matrix = _complex_matrix(n, axis.p if kernel else 0, axis.length, sign, False, real, str(z.device))
    z = z.contiguous()
    batch = math.prod(z.shape[:dim])
    rest = math.prod(z.shape[dim:][1:])
    shape = (*z.shape[:dim], axis.length, *z.shape[dim:][1:])
    return torch.bmm(matrix.expand(batch, axis.length, n), z.view(batch, n, rest)).view(shape)


def _wrap(z: Tensor, dim: int, axis: AxisPlan) -> Tensor:
    """Place the centre tap at position 0 of a circle of ``axis.length``."""
    n = z.shape[dim]
    gap = list(z.shape)
    gap[dim] = axis.length - n
    return torch.cat((z.narrow(dim, axis.p, n - axis.p), z.new_zeros(gap), z.narrow(dim, 0, axis.p)), dim)


def inverse(z: Tensor, plan: Plan, *, kernel: bool = False, sign: int = -1) -> Tensor:
    """Maps ``[m, D, H, W]`` (or cropped kernels, if ``kernel``) whose spectrum with ``sign`` is ``z``."""
    d, h, w = plan.axes
    z = _inverse_complex(z, -3, d, kernel, sign)
    z = _inverse_complex(z, -2, h, kernel, sign)
    m, n0, n1, half = z.shape
    n2, offset = (w.k, w.p) if kernel else (w.n, 0)
    if w.method == "gemm":
        real = torch.view_as_real(z)
        matrix = _real_matrix(n2, offset, w.length, sign, True, real.dtype, str(z.device))
        if z.is_contiguous():
            return torch.mm(real.view(m * n0 * n1, 2 * half), matrix).view(m, n0, n1, n2)
        flat = real.flatten(-2)  # [m, n0, n1, 2 half], cut out of a larger block: rows are whole, so batches stay views
        if flat.stride(0) == n0 * flat.stride(1):
            flat = flat.as_strided((m * n0, n1, 2 * half), (flat.stride(1), flat.stride(2), 1))
            return torch.bmm(flat, matrix.expand(m * n0, 2 * half, n2)).view(m, n0, n1, n2)
        return torch.mm(flat.reshape(m * n0 * n1, 2 * half), matrix).view(m, n0, n1, n2)
    y = torch.fft.irfft(z, n=w.length) if sign < 0 else torch.fft.hfft(z, n=w.length, norm="forward")
    return _unwrap(y, -1, w) if kernel else y.narrow(-1, 0, n2)


def _inverse_complex(z: Tensor, dim: int, axis: AxisPlan, kernel: bool, sign: int) -> Tensor:
    n, offset = (axis.k, axis.p) if kernel else (axis.n, 0)
    if axis.method == "fft":
        y = torch.fft.ifft(z, dim=dim) if sign < 0 else torch.fft.fft(z, dim=dim, norm="forward")
        return _unwrap(y, dim, axis) if kernel else y.narrow(dim, 0, n)
    real = torch.float64 if z.dtype == torch.complex128 else torch.float32
    matrix = _complex_matrix(n, offset, axis.length, sign, True, real, str(z.device))
    z = z.contiguous()
    batch = math.prod(z.shape[:dim])
    rest = math.prod(z.shape[dim:][1:])
    shape = (*z.shape[:dim], n, *z.shape[dim:][1:])
    return torch.bmm(matrix.expand(batch, n, axis.length), z.view(batch, axis.length, rest)).view(shape)


def _unwrap(y: Tensor, dim: int, axis: AxisPlan) -> Tensor:
    """The ``k`` lags -p..p of a circle."""
    return torch.cat((y.narrow(dim, axis.length - axis.p, axis.p), y.narrow(dim, 0, axis.k - axis.p)), dim)
