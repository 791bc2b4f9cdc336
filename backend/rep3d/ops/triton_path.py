"""``algorithm="triton"``: the convolution and its gradients as tensor-core products, in three kernels.

The mathematics is that of ``matmul``: per axis a circular length of n + p, any length. ``slab_forward`` transforms the
planes (W, H) of maps and of kernels; ``pencil`` does the first axis there, the product and the first axis back, so the
full spectrum is never stored; ``slab_inverse`` transforms planes back. Between kernels lie ``[2, maps, D, L1, half]``.

float32 and float16 are computed in float32: three TF32 products for one float32 product (``tf32x3``). Where x, y or
their gradients are bfloat16, matrices and what lies between kernels are bfloat16 too; sums are float32.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
from functools import lru_cache

import torch
from torch import Tensor

from rep3d.errors import DeviceUnavailable

from . import spectra
from . import triton_blocks as tb
from .plan import AxisPlan, Plan
from .spectral import crop_taps

NAME = "triton"
#: Bytes of half-transformed maps at a time; channels are worked on in blocks of that size.
WORK_BYTES = 512 << 20


@lru_cache(maxsize=1)
def version() -> str | None:
    """The installed Triton's version, or None. Triton is not imported for it."""
    if importlib.util.find_spec("triton") is None:
        return None
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("triton")
    return "unknown"


def interpreted() -> bool:
    """Whether ``TRITON_INTERPRET=1`` asks for Triton's interpreter: kernels on the CPU, slowly, for tests."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "y", "yes")


def usable(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether ``auto`` may consider Triton for tensors of this kind (never in the interpreter)."""
    return device.type == "cuda" and dtype != torch.float64 and version() is not None and not interpreted()


def check(x: Tensor) -> None:
    """Raise where Triton was asked for by name and cannot serve: TypeError (float64) or DeviceUnavailable."""
    if x.dtype == torch.float64:
        raise TypeError(
            "depthwise_conv3d: algorithm 'triton' computes float32, bfloat16 and float16, not torch.float64."
        )
    if version() is None:
        raise DeviceUnavailable(
            "The convolution algorithm 'triton' needs Triton, which is not installed",
            "install it (pip install triton, on Linux with a GPU), or use the algorithm auto",
        )
    if x.device.type != "cuda" and not (interpreted() and x.device.type == "cpu"):
        raise DeviceUnavailable(
            f"The convolution algorithm 'triton' needs a GPU, but x is on {x.device}",
            "move the tensors to a GPU, or use the algorithm auto; TRITON_INTERPRET=1 runs it on the CPU for tests",
        )


def product_dtype(*tensors: Tensor | torch.dtype) -> torch.dtype:
    """bfloat16 if any of the tensors or types is, else float32."""
    types = {t.dtype if isinstance(t, Tensor) else t for t in tensors}
    return torch.bfloat16 if torch.bfloat16 in types else torch.float32


@lru_cache(maxsize=16)
def _precision(index: int | None) -> str:
    """How a float32 product is done; ``ieee`` where there are no TF32 tensor cores."""
    if index is None:
        return "tf32x3"  # the interpreter acts like a GPU of today
    modern = torch.version.hip is None and torch.cuda.get_device_capability(index) >= (8, 0)
    return "tf32x3" if modern else "ieee"


@lru_cache(maxsize=1)
def _kernels():
    if interpreted():
        from . import triton_interpreter

        triton_interpreter.round_as_gpus_do()
    from . import triton_kernels

    return triton_kernels


def _launch(name: str, grid: tuple[int, ...], x: Tensor, *args, num_warps: int, **constants) -> None:
    """Run a kernel on the device of ``x``; whatever Triton raises becomes a RuntimeError that names the kernel."""
    on_gpu = x.device.type == "cuda"
    try:
        kernels = _kernels()

        with torch.cuda.device(x.device) if on_gpu else contextlib.nullcontext():
            getattr(kernels, name)[grid](
                *args,
                **constants,
                PRECISION=_precision(x.device.index if on_gpu else None),
                num_warps=num_warps,
                num_stages=2,
            )
    except Exception as error:  # CompilationError, OutOfResources and others have no common ancestor
        raise RuntimeError(f"Triton kernel {name}: {type(error).__name__}: {error}") from error


def _axis_samples(axis: AxisPlan, kernel: bool) -> tuple[int, int]:
    """(samples, index of the sample at position 0) of a map's or a kernel's axis."""
    return (axis.k, axis.p) if kernel else (axis.n, 0)


def slabs(x_BCDHW: Tensor, plan: Plan, dtype: torch.dtype, kernel: bool = False) -> Tensor:
    """Maps (or cropped kernels ``[1, C, k, k, k]``), any strides, to ``[2, B C, D, L1, half padded]`` of ``dtype``."""
    _, h, w = plan.axes
    batch, channels, depth, height, width = x_BCDHW.shape
    frequencies = tb.kept_frequencies(w)
    sum_h, sum_w = tb.summed(height, dtype), tb.summed(width, dtype)
    rows, columns = tb.blocked(h.length, tb.LARGEST_ROWS, 48), tb.blocked(frequencies, tb.COLUMNS, 4)
    place = (dtype, str(x_BCDHW.device))
    along_w = tb.real_forward(width, _axis_samples(w, kernel)[1], w.length, (sum_w.padded, columns.padded), *place)
    along_h = tb.complex_forward(height, _axis_samples(h, kernel)[1], h.length, (rows.padded, sum_h.padded), *place)
    z = torch.empty((2, batch * channels, depth, h.length, frequencies), dtype=dtype, device=x_BCDHW.device)
    _launch(
        "slab_forward", (batch * channels * depth, rows.count, columns.count), x_BCDHW,
        x_BCDHW, z, along_w, along_h, z.stride(0), channels, depth, *x_BCDHW.stride(),
        H=height, W=width, L=h.length, F=frequencies,
        HP=sum_h.padded, WP=sum_w.padded, LP=rows.padded, FP=columns.padded,
        BH=sum_h.block, BW=sum_w.block, BL=rows.block, BF=columns.block,
        num_warps=tb.warps(rows.block, columns.block, dtype),
    )  # fmt: skip
    return z


def multiply(
    a: Tensor, b: Tensor, channels: int, plan: Plan, *, b_is_kernel: bool, conjugate: bool, sum_batch: bool = False
) -> Tensor:
    """The first axis there, the product of spectra, the first axis back; ``a`` and ``b`` as ``slabs`` returns them.

    ``sum_batch``: the weight's gradient, ``[2, C, k, L1, half]``; else ``[2, B C, D, L1, half]``.
    """
    d = plan.axes[0]
    maps, depth_b = a.shape[1], b.shape[2]
    size_o, offset_o = _axis_samples(d, sum_batch)
    flat = a.shape[3] * a.shape[4]
    sum_a, sum_b = tb.summed(d.n, a.dtype), tb.summed(depth_b, a.dtype)
    middle, rows = tb.blocked(d.length, tb.MIDDLE[a.dtype], 8), tb.blocked(size_o, tb.LARGEST_ROWS, 48)
    columns = tb.Blocked(flat, tb.COLUMNS)
    place = (a.dtype, str(a.device))
    forward_a = tb.complex_forward(d.n, 0, d.length, (middle.padded, sum_a.padded), *place)
    offset_b = _axis_samples(d, b_is_kernel)[1]
    forward_b = tb.complex_forward(depth_b, offset_b, d.length, (middle.padded, sum_b.padded), *place)
    back = tb.complex_back(size_o, offset_o, d.length, (rows.padded, middle.padded), *place)
    results = channels if sum_batch else maps
    out = torch.empty((2, results, size_o, *a.shape[3:]), dtype=a.dtype, device=a.device)
    _launch(
        "pencil", (results * columns.count, rows.count), a,
        a, b, out, forward_a, forward_b, back, a.stride(0), b.stride(0), out.stride(0), channels, columns.count,
        TERMS=maps // channels if sum_batch else 1, B_IS_KERNEL=b_is_kernel, CONJUGATE=conjugate, N=flat,
        DA=d.n, DB=depth_b, DO=size_o,
        DAP=sum_a.padded, DBP=sum_b.padded, DOP=rows.padded, LP=middle.padded,
        BDA=sum_a.block, BDB=sum_b.block, BO=rows.block, BL=middle.block, BN=columns.block,
        num_warps=tb.warps(max(rows.block, middle.block), columns.block, a.dtype),
    )  # fmt: skip
    return out


def planes(z: Tensor, plan: Plan, out_BCDHW: Tensor, bias: Tensor | None = None, kernel: bool = False) -> None:
    """``[2, B C, D, L1, half padded]`` back to ``out_BCDHW`` (last axis dense), plus bias; ``kernel``: to k^3 lags."""
    _, h, w = plan.axes
    batch, channels, depth, height, width = out_BCDHW.shape
    frequencies = z.shape[4]
    rows, columns = tb.blocked(height, 64, 16), tb.blocked(width, tb.LARGEST_ROWS, 48)
    sum_h, sum_f = tb.summed(h.length, z.dtype), tb.blocked(frequencies, tb.COLUMNS, 4)
    place = (z.dtype, str(z.device))
    back_h = tb.complex_back(height, _axis_samples(h, kernel)[1], h.length, (rows.padded, sum_h.padded), *place)
    back_w = tb.real_back(width, _axis_samples(w, kernel)[1], w.length, (sum_f.padded, columns.padded), *place)
    _launch(
        "slab_inverse", (batch * channels * depth, rows.count, columns.count), z,
        z, out_BCDHW, out_BCDHW if bias is None else bias, back_h, back_w,
        z.stride(0), channels, depth, *out_BCDHW.stride()[:4],
        H=height, W=width, L=h.length, F=frequencies,
        HP=rows.padded, WP=columns.padded, LP=sum_h.padded, FP=sum_f.padded,
        BH=rows.block, BW=columns.block, BL=sum_h.block, BF=sum_f.block,
        BIAS=bias is not None, num_warps=tb.warps(rows.block, columns.block, z.dtype),
    )  # fmt: skip


def _weight_slabs(weight: Tensor, plan: Plan, dtype: torch.dtype, constant: bool) -> Tensor:
    """``[2, C, k, L1, half padded]``, from the cache of spectra where the weight is constant."""

    def make() -> Tensor:
        return slabs(crop_taps(weight.detach(), plan)[None], plan, dtype, kernel=True)

    kept = spectra.lookup(weight, plan, dtype, make) if constant else None
    return make() if kept is None else kept


def _channel_blocks(x: Tensor, plan: Plan, dtype: torch.dtype) -> list[slice]:
    one = 2 * x.shape[0] * plan.axes[0].n * plan.axes[1].length * tb.kept_frequencies(plan.axes[2]) * dtype.itemsize
    step = max(1, min(x.shape[1], WORK_BYTES // (2 * one)))
    return [slice(c, min(c + step, x.shape[1])) for c in range(0, x.shape[1], step)]


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan, out: Tensor, constant: bool) -> None:
    """Write ``conv(x, weight) + bias`` into ``out``, which is contiguous."""
    check(x)
    dtype = product_dtype(x, out)
    spectrum = _weight_slabs(weight, plan, dtype, constant)
    for c in _channel_blocks(x, plan, dtype):
        z = slabs(x[:, c], plan, dtype)
        z = multiply(z, spectrum[:, c], c.stop - c.start, plan, b_is_kernel=True, conjugate=True)
        planes(z, plan, out[:, c], None if bias is None else bias[c])


def backward(
    gy: Tensor, x: Tensor, weight: Tensor, plan: Plan, gx: Tensor | None, gw: Tensor | None, constant: bool
) -> None:
    """Write the gradients into ``gx`` ``[B, C, D, H, W]`` and ``gw`` ``[C, k, k, k]`` (cropped), where given."""
    check(x)
    dtype = product_dtype(x, gy)
    spectrum = None if gx is None else _weight_slabs(weight, plan, dtype, constant)
    for c in _channel_blocks(x, plan, dtype):
        channels = c.stop - c.start
        zy = slabs(gy[:, c], plan, dtype)
        if gx is not None:
            z = multiply(zy, spectrum[:, c], channels, plan, b_is_kernel=True, conjugate=False)
            planes(z, plan, gx[:, c])
        if gw is not None:
            zx = slabs(x[:, c], plan, dtype)
            z = multiply(zx, zy, channels, plan, b_is_kernel=False, conjugate=True, sum_batch=True)
            planes(z, plan, gw[c][None], kernel=True)
