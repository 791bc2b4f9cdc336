"""Pruned 3D Fourier transforms of real maps, each axis by FFT or by one matrix multiplication.

A block of maps is ``[m, D, H, W]``; its spectrum is ``[m, half, L1, L0]`` complex, half = L2 // 2 + 1: the axes in the
reverse order, as they were transformed. Going forward, an axis is padded only when its turn comes (W, H, D), and going
back an axis is cut to the samples wanted before the next one is touched (D, H, W), so the zeros and the unwanted
samples of the other axes are never transformed.

``offset`` is the index of the sample at position 0: 0 for maps, p for kernels (their centre tap is position 0).
``sign`` is that of the exponent of the forward transform. The spectrum of a real map with sign +1 is the complex
conjugate of the one with sign -1; using it where a conjugate is needed saves a pass over the spectrum.

Every transform runs along the last axis of contiguous memory, where both FFTs and matrix products are fastest. Between
two axes there is one copy that brings the next axis to the end; padding and cutting are part of it. Complex products
are written as real ones, ``[rows, 2 n] x [2 n, 2 L]`` with real and imaginary parts interleaved (``products.py``).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from .plan import AxisPlan, Plan
from .products import product


def _angles(rows: Tensor, columns: Tensor, length: int) -> Tensor:
    # The product is reduced modulo L in integers, so that large arguments lose no accuracy.
    return (rows[:, None] * columns[None, :]).remainder(length).double() * (2 * math.pi / length)


@lru_cache(maxsize=256)
def _complex_matrix(n: int, offset: int, length: int, sign: int, back: bool, dtype: torch.dtype, device: str) -> Tensor:
    """exp(sign i 2 pi f (j - offset) / L) as a real matrix on interleaved parts: ``[2 L, 2 n]``, or its scaled inverse
    ``[2 n, 2 L]`` if ``back``."""
    with torch.inference_mode(False):
        angle = _angles(torch.arange(length), torch.arange(n) - offset, length)
        if back:
            angle = angle.T
        scale = 1 / length if back else 1.0
        cos, sin = angle.cos() * scale, angle.sin() * ((-sign if back else sign) * scale)
        rows = torch.stack(
            (torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), 1
        )  # [out, (re, im), in, (re, im)]
        return rows.reshape(2 * angle.shape[0], 2 * angle.shape[1]).to(device=device, dtype=dtype).contiguous()


@lru_cache(maxsize=256)
def _real_matrix(n: int, offset: int, length: int, sign: int, back: bool, dtype: torch.dtype, device: str) -> Tensor:
    """``[2 half, n]``, real to (re, im) interleaved, or ``[n, 2 half]`` back, redundant frequencies folded in."""
    half = length // 2 + 1
    with torch.inference_mode(False):
        angle = _angles(torch.arange(n) - offset, torch.arange(half), length)  # [n, half]
        pair = torch.stack((angle.cos(), sign * angle.sin()), dim=-1).reshape(n, 2 * half)
        if back:
            weight = torch.full((half,), 2.0, dtype=torch.float64)
            weight[0] = 1.0
            if length % 2 == 0:
                weight[-1] = 1.0
            pair = pair * weight.repeat_interleave(2) / length
        else:
            pair = pair.T
        return pair.to(device=device, dtype=dtype).contiguous()


def forward(x: Tensor, plan: Plan, *, kernel: bool = False, sign: int = -1) -> Tensor:
    """Spectrum ``[m, half, L1, L0]`` of maps ``[m, D, H, W]`` (or of cropped kernels, centred, if ``kernel``)."""
    d, h, w = plan.axes
    m, n0, n1, n2 = x.shape
    if w.method == "gemm":
        matrix = _real_matrix(n2, w.p if kernel else 0, w.length, sign, False, x.dtype, str(x.device))
        flat = product(x.reshape(m * n0 * n1, n2), matrix)
        z = torch.view_as_complex(flat.view(m, n0, n1, plan.half, 2))
    else:
        x = _padded(x, w, kernel)
        # "forward" normalisation leaves the conjugate transform unscaled.
        z = torch.fft.rfft(x) if sign < 0 else torch.fft.ihfft(x, norm="forward")
    z = _forward_complex(z.transpose(2, 3), h, kernel, sign)
    return _forward_complex(z.permute(0, 2, 3, 1), d, kernel, sign)


def _forward_complex(z: Tensor, axis: AxisPlan, kernel: bool, sign: int) -> Tensor:
    """Transform the last axis: ``[..., n]`` in any layout to ``[..., L]``, contiguous."""
    if axis.method == "fft":
        z = _padded(z, axis, kernel)
        return torch.fft.fft(z) if sign < 0 else torch.fft.ifft(z, norm="forward")
    n = z.shape[-1]
    real = torch.float64 if z.dtype == torch.complex128 else torch.float32
    matrix = _complex_matrix(n, axis.p if kernel else 0, axis.length, sign, False, real, str(z.device))
    return _complex_product(z, matrix)


def _complex_product(z: Tensor, matrix: Tensor) -> Tensor:
    flat = torch.view_as_real(z.contiguous()).view(-1, 2 * z.shape[-1])
    return torch.view_as_complex(product(flat, matrix).view(*z.shape[:-1], matrix.shape[0] // 2, 2))


def _padded(z: Tensor, axis: AxisPlan, kernel: bool) -> Tensor:
    """A contiguous copy with the last axis padded to a circle; the centre tap of a kernel goes to position 0."""
    n, length = z.shape[-1], axis.length
    before = axis.p if kernel else 0
    if n == length and not before:
        return z.contiguous()
    circle = torch.empty((*z.shape[:-1], length), dtype=z.dtype, device=z.device)
    circle[..., n - before : length - before] = 0
    circle[..., : n - before].copy_(z[..., before:])
    if before:
        circle[..., length - before :].copy_(z[..., :before])
    return circle


def inverse(z: Tensor, plan: Plan, *, kernel: bool = False, sign: int = -1) -> Tensor:
    """Maps ``[m, D, H, W]`` (or cropped kernels, if ``kernel``) whose spectrum with ``sign`` is ``z``.

    What is returned may be a view with gaps.
    """
    d, h, w = plan.axes
    z = _inverse_complex(z, d, kernel, sign, (0, 1, 3, 2))  # [m, half, n0, L1]
    z = _inverse_complex(z, h, kernel, sign, (0, 2, 3, 1))  # [m, n0, n1, half]
    m, n0, n1, half = z.shape
    n2, offset = (w.k, w.p) if kernel else (w.n, 0)
    if w.method == "gemm":
        real = torch.view_as_real(z)
        matrix = _real_matrix(n2, offset, w.length, sign, True, real.dtype, str(z.device))
        return product(real.view(m * n0 * n1, 2 * half), matrix).view(m, n0, n1, n2)
    y = torch.fft.irfft(z, n=w.length) if sign < 0 else torch.fft.hfft(z, n=w.length, norm="forward")
    return _wanted(y, 3, w, kernel)


def _inverse_complex(z: Tensor, axis: AxisPlan, kernel: bool, sign: int, order: tuple[int, int, int, int]) -> Tensor:
    """Transform the last axis back, keep the wanted samples and lay the result out, contiguous, as ``order`` says."""
    if axis.method == "fft":
        y = torch.fft.ifft(z) if sign < 0 else torch.fft.fft(z, norm="forward")
        return _wanted(y.permute(order), order.index(3), axis, kernel).contiguous()
    n, offset = (axis.k, axis.p) if kernel else (axis.n, 0)
    real = torch.float64 if z.dtype == torch.complex128 else torch.float32
    matrix = _complex_matrix(n, offset, axis.length, sign, True, real, str(z.device))
    return _complex_product(z, matrix).permute(order).contiguous()


def _wanted(y: Tensor, dim: int, axis: AxisPlan, kernel: bool) -> Tensor:
    """The n samples, or the ``k`` lags -p..p, of a circle."""
    if not kernel:
        return y.narrow(dim, 0, axis.n)
    return torch.cat((y.narrow(dim, axis.length - axis.p, axis.p), y.narrow(dim, 0, axis.k - axis.p)), dim)
