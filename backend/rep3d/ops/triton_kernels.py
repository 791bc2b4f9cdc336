"""The three Triton kernels behind ``algorithm="triton"``. Import this module only where Triton is to be used.

One transform of an axis is a product with a matrix of cosines and sines. Real and imaginary parts are kept in separate
planes, ``[2, maps, rows, columns]``, and every matrix is stored with zeros up to whole blocks, so only maps and spectra
need masks. ``P - Q`` is the real part of a complex product, ``I`` its imaginary part.

Products take the type in which spectra and matrices are stored, float32 in the way that ``PRECISION`` says or bfloat16;
their sums are float32 always.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def slab_forward(
    x, z, along_w, along_h, imaginary, channels, depth, stride_b, stride_c, stride_d, stride_h, stride_w,
    H: tl.constexpr, W: tl.constexpr, L: tl.constexpr, F: tl.constexpr,
    HP: tl.constexpr, WP: tl.constexpr, LP: tl.constexpr, FP: tl.constexpr,
    BH: tl.constexpr, BW: tl.constexpr, BL: tl.constexpr, BF: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Planes of ``x`` (any strides) to ``z [2, maps, depth, L, F]``: last axis, then the one before it.

    ``along_w [2, WP, FP]``, ``along_h [2, LP, HP]``. One program: one plane, ``BL`` x ``BF`` frequencies.
    """
    plane = tl.program_id(0).to(tl.int64)
    rows_l = tl.program_id(1) * BL + tl.arange(0, BL)
    cols_f = tl.program_id(2) * BF + tl.arange(0, BF)
    m = plane // depth
    x += (m // channels) * stride_b + (m % channels) * stride_c + (plane % depth) * stride_d
    p = tl.full([BL, BF], 0.0, tl.float32)
    q = tl.full([BL, BF], 0.0, tl.float32)
    i = tl.full([BL, BF], 0.0, tl.float32)
    for h0 in range(0, H, BH):
        rows_h = h0 + tl.arange(0, BH)
        real = tl.full([BH, BF], 0.0, tl.float32)
        imag = tl.full([BH, BF], 0.0, tl.float32)
        for w0 in range(0, W, BW):
            cols_w = w0 + tl.arange(0, BW)
            inside = (rows_h < H)[:, None] & (cols_w < W)[None, :]
            at = rows_h.to(tl.int64)[:, None] * stride_h + cols_w.to(tl.int64)[None, :] * stride_w
            tile = tl.load(x + at, mask=inside, other=0.0).to(z.dtype.element_ty)
            matrix = along_w + cols_w[:, None] * FP + cols_f[None, :]
            real = tl.dot(tile, tl.load(matrix), real, input_precision=PRECISION)
            imag = tl.dot(tile, tl.load(matrix + WP * FP), imag, input_precision=PRECISION)
        real, imag = real.to(z.dtype.element_ty), imag.to(z.dtype.element_ty)
        matrix = along_h + rows_l[:, None] * HP + rows_h[None, :]
        cosines = tl.load(matrix)
        sines = tl.load(matrix + LP * HP)
        p = tl.dot(cosines, real, p, input_precision=PRECISION)
        q = tl.dot(sines, imag, q, input_precision=PRECISION)
        i = tl.dot(cosines, imag, i, input_precision=PRECISION)
        i = tl.dot(sines, real, i, input_precision=PRECISION)
    z += plane * (L * F) + rows_l[:, None] * F + cols_f[None, :]
    inside = (rows_l < L)[:, None] & (cols_f < F)[None, :]
    tl.store(z, p - q, inside)
    tl.store(z + imaginary, i, inside)


@triton.jit
def _along_depth(
    z, imaginary, matrix, rows_l, cols, inside,
    D: tl.constexpr, DP: tl.constexpr, LP: tl.constexpr, BL: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr,
    N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """``BL`` frequencies of the first axis for ``BN`` columns of one map ``z [D, N]``."""
    p = tl.full([BL, BN], 0.0, tl.float32)
    q = tl.full([BL, BN], 0.0, tl.float32)
    i = tl.full([BL, BN], 0.0, tl.float32)
    for d0 in range(0, D, BD):
        rows_d = d0 + tl.arange(0, BD)
        at = z + rows_d.to(tl.int64)[:, None] * N + cols[None, :]
        mask = (rows_d < D)[:, None] & inside[None, :]
        real = tl.load(at, mask=mask, other=0.0)
        imag = tl.load(at + imaginary, mask=mask, other=0.0)
        entry = matrix + rows_l[:, None] * DP + rows_d[None, :]
        cosines = tl.load(entry)
        sines = tl.load(entry + LP * DP)
        p = tl.dot(cosines, real, p, input_precision=PRECISION)
        q = tl.dot(sines, imag, q, input_precision=PRECISION)
        i = tl.dot(cosines, imag, i, input_precision=PRECISION)
        i = tl.dot(sines, real, i, input_precision=PRECISION)
    return p - q, i


@triton.jit
def pencil(
    a, b, out, forward_a, forward_b, back, imaginary_a, imaginary_b, imaginary_out, channels, blocks,
    TERMS: tl.constexpr, B_IS_KERNEL: tl.constexpr, CONJUGATE: tl.constexpr, N: tl.constexpr,
    DA: tl.constexpr, DB: tl.constexpr, DO: tl.constexpr,
    DAP: tl.constexpr, DBP: tl.constexpr, DOP: tl.constexpr, LP: tl.constexpr,
    BDA: tl.constexpr, BDB: tl.constexpr, BO: tl.constexpr, BL: tl.constexpr, BN: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """First axis there, product with another spectrum, first axis back: ``out[m] = sum_t back(a^ conj?(b^))``.

    ``a [2, maps, DA, N]``; ``b`` likewise or, if ``B_IS_KERNEL``, one map a channel ``[2, channels, DB, N]``; term t of
    map m is map ``m + t channels``. ``out [2, maps out, DO, N]``. Matrices: ``forward_a [2, LP, DAP]``,
    ``forward_b [2, LP, DBP]``, ``back [2, DOP, LP]``. One program: one map, ``BN`` columns, ``BO`` rows of the result.
    """
    m = (tl.program_id(0) // blocks).to(tl.int64)
    cols = (tl.program_id(0) % blocks) * BN + tl.arange(0, BN)
    rows_o = tl.program_id(1) * BO + tl.arange(0, BO)
    inside = cols < N
    p = tl.full([BO, BN], 0.0, tl.float32)
    q = tl.full([BO, BN], 0.0, tl.float32)
    i = tl.full([BO, BN], 0.0, tl.float32)
    for l0 in range(0, LP, BL):
        rows_l = l0 + tl.arange(0, BL)
        real = tl.full([BL, BN], 0.0, tl.float32)
        imag = tl.full([BL, BN], 0.0, tl.float32)
        for t in range(TERMS):
            map_a = m + t * channels
            map_b = m % channels if B_IS_KERNEL else map_a
            ar, ai = _along_depth(
                a + map_a * (DA * N), imaginary_a, forward_a, rows_l, cols, inside,
                DA, DAP, LP, BL, BDA, BN, N, PRECISION,
            )  # fmt: skip
            br, bi = _along_depth(
                b + map_b * (DB * N), imaginary_b, forward_b, rows_l, cols, inside,
                DB, DBP, LP, BL, BDB, BN, N, PRECISION,
            )  # fmt: skip
            if CONJUGATE:
                bi = -bi
            real += ar * br - ai * bi
            imag += ar * bi + ai * br
        real, imag = real.to(a.dtype.element_ty), imag.to(a.dtype.element_ty)
        entry = back + rows_o[:, None] * LP + rows_l[None, :]
        cosines = tl.load(entry)
        sines = tl.load(entry + DOP * LP)
        p = tl.dot(cosines, real, p, input_precision=PRECISION)
        q = tl.dot(sines, imag, q, input_precision=PRECISION)
        i = tl.dot(cosines, imag, i, input_precision=PRECISION)
        i = tl.dot(sines, real, i, input_precision=PRECISION)
    out += m * (DO * N) + rows_o.to(tl.int64)[:, None] * N + cols[None, :]
    mask = (rows_o < DO)[:, None] & inside[None, :]
    tl.store(out, p - q, mask)
    tl.store(out + imaginary_out, i, mask)


@triton.jit
def slab_inverse(
    z, out, bias, back_h, back_w, imaginary, channels, depth, stride_b, stride_c, stride_d, stride_h,
    H: tl.constexpr, W: tl.constexpr, L: tl.constexpr, F: tl.constexpr,
    HP: tl.constexpr, WP: tl.constexpr, LP: tl.constexpr, FP: tl.constexpr,
    BH: tl.constexpr, BW: tl.constexpr, BL: tl.constexpr, BF: tl.constexpr,
    BIAS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """``z [2, maps, depth, L, F]`` to planes ``[H, W]`` of ``out``, plus bias, rounded once to its type.

    ``back_h [2, HP, LP]``; ``back_w [2, FP, WP]`` folds the redundant half in. One program: ``BH`` x ``BW`` of a plane.
    """
    plane = tl.program_id(0).to(tl.int64)
    rows_h = tl.program_id(1) * BH + tl.arange(0, BH)
    cols_w = tl.program_id(2) * BW + tl.arange(0, BW)
    m = plane // depth
    z += plane * (L * F)
    y = tl.full([BH, BW], 0.0, tl.float32)
    for f0 in range(0, F, BF):
        cols_f = f0 + tl.arange(0, BF)
        p = tl.full([BH, BF], 0.0, tl.float32)
        q = tl.full([BH, BF], 0.0, tl.float32)
        i = tl.full([BH, BF], 0.0, tl.float32)
        for l0 in range(0, L, BL):
            rows_l = l0 + tl.arange(0, BL)
            inside = (rows_l < L)[:, None] & (cols_f < F)[None, :]
            at = z + rows_l[:, None] * F + cols_f[None, :]
            real = tl.load(at, mask=inside, other=0.0)
            imag = tl.load(at + imaginary, mask=inside, other=0.0)
            entry = back_h + rows_h[:, None] * LP + rows_l[None, :]
            cosines = tl.load(entry)
            sines = tl.load(entry + HP * LP)
            p = tl.dot(cosines, real, p, input_precision=PRECISION)
            q = tl.dot(sines, imag, q, input_precision=PRECISION)
            i = tl.dot(cosines, imag, i, input_precision=PRECISION)
            i = tl.dot(sines, real, i, input_precision=PRECISION)
        real, imag = (p - q).to(z.dtype.element_ty), i.to(z.dtype.element_ty)
        entry = back_w + cols_f[:, None] * WP + cols_w[None, :]
        y = tl.dot(real, tl.load(entry), y, input_precision=PRECISION)
        y = tl.dot(imag, tl.load(entry + FP * WP), y, input_precision=PRECISION)
    if BIAS:
        y += tl.load(bias + m % channels).to(tl.float32)
    out += (m // channels) * stride_b + (m % channels) * stride_c + (plane % depth) * stride_d
    at = rows_h.to(tl.int64)[:, None] * stride_h + cols_w[None, :]
    tl.store(out + at, y, (rows_h < H)[:, None] & (cols_w < W)[None, :])
