"""Does this device compute the network's convolutions rightly in this precision? A small check before the first scan.

Libraries have shipped convolutions that are wrong for some type and shape on some processor: oneDNN's bfloat16 weight
gradient at depth 2 is uninitialised memory (rep3d.training.sound). Every convolution of the networks, and every
algorithm of the large-kernel operator that may be chosen, is run on a few voxels here and compared with float64 numpy,
which shares no code with PyTorch. What is wrong is refused with the name of the check, never computed with in silence.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view

from rep3d import ops
from rep3d.errors import DeviceUnavailable, DeviceUnsound, Rep3DError
from rep3d.inference.devices import autocast, describe_device, is_out_of_memory, memory_errors
from rep3d.ops import choice
from rep3d.ops.plan import METHODS

#: Largest allowed error, relative, in the Frobenius norm. Right results lie well below: float32 near 1e-6, TF32 near
#: 3e-4, bfloat16 near 2e-3 (rounded inputs, one rounding at the end; Triton rounds between its kernels: 8e-3). Wrong
#: ones were seen at 0.5 and more.
BOUNDS = {"float32": 1e-4, "tf32": 5e-3, "bfloat16": 3e-2}
PRECISIONS = ("float32", "bfloat16")
SEEDS = (0, 1)  # memory that nobody wrote may hold the right values once


@dataclass(frozen=True)
class Convolution:
    """A convolution as the networks use it: shape of x, shape of the weight as PyTorch has it, stride."""

    name: str
    x: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    transposed: bool = False


#: The decoder's, at two depths (the deepest map of a window of 32 has 2), the stem, downsampling, head, upsampling.
CONVOLUTIONS = (
    Convolution("conv3d 3x3x3", (2, 16, 6, 5, 4), (16, 16, 3, 3, 3), padding=1),
    Convolution("conv3d 3x3x3 at depth 2", (2, 32, 2, 3, 4), (16, 32, 3, 3, 3), padding=1),
    Convolution("conv3d 7x7x7 stride 2", (2, 1, 8, 10, 6), (16, 1, 7, 7, 7), 2, 3),
    Convolution("conv3d 2x2x2 stride 2", (2, 16, 4, 6, 8), (32, 16, 2, 2, 2), 2),
    Convolution("conv3d 1x1x1", (2, 16, 4, 5, 6), (3, 16, 1, 1, 1)),
    Convolution("conv_transpose3d 2x2x2 stride 2", (2, 32, 3, 2, 4), (32, 16, 2, 2, 2), 2, transposed=True),
)
#: Shapes of x and weight for the operator: taps inside the map, and a kernel larger than the map.
OPERATOR = (((2, 8, 9, 7, 10), (8, 1, 7, 5, 9)), ((2, 16, 2, 3, 2), (16, 1, 21, 21, 21)))


@dataclass(frozen=True)
class Check:
    """One comparison. ``error`` is relative, infinite where something was not finite or did not run (``note``)."""

    name: str
    error: float
    bound: float
    note: str = ""

    @property
    def fine(self) -> bool:
        """Whether it kept its bound."""
        return self.error <= self.bound

    def __str__(self) -> str:
        error = self.note or ("not finite" if self.error == float("inf") else f"relative error {self.error:.2g}")
        return f"{self.name}: {error} (allowed {self.bound:g})"


def require(device: torch.device, precision: str, *, gradients: bool = False) -> None:
    """Refuse a device that computes wrongly in this precision; once per process and combination, then remembered.

    Args:
        precision: "float32" or "bfloat16" (autocast), resolved. gradients: those with respect to the input too.

    Raises:
        DeviceUnsound: with the check that failed, its error, the device, the precision and the version of PyTorch.
        OutOfMemory: the device has no memory left even for this.
    """
    wrong = [check for check in _remembered(device, precision, gradients) if not check.fine]
    if not wrong:
        return
    more = f"; {len(wrong) - 1} further checks fail" if len(wrong) > 1 else ""
    others = []
    if precision != "float32":
        others.append("choose the precision float32")
    if device.type != "cpu":
        others.append("choose the CPU as device")
    others.append("install another version of PyTorch")
    hint = ", or ".join(others)
    raise DeviceUnsound(
        f"PyTorch {torch.__version__} computes wrongly in {precision} on {describe_device(device)}: {wrong[0]}{more}.",
        f"{hint[0].upper()}{hint[1:]}; `rep3d doctor` shows every check.",
    )


def examine(device: torch.device, precision: str, gradients: bool = False) -> tuple[Check, ...]:
    """Every check on this device in this precision, made now. Raises OutOfMemory."""
    with memory_errors(device):
        checks = [_check(conv, device, precision, gradients) for conv in CONVOLUTIONS]
        checks += [_check_operator(name, device, precision, gradients) for name in algorithms(device)]
    return tuple(check for check in checks if check is not None)


@lru_cache(maxsize=32)
def _remembered(device: torch.device, precision: str, gradients: bool) -> tuple[Check, ...]:
    return examine(device, precision, gradients)


def forget() -> None:
    """Check again at the next ``require``."""
    _remembered.cache_clear()


def algorithms(device: torch.device) -> tuple[str, ...]:
    """The operator's algorithms that a run on this device may take, the one that the environment pins alone."""
    pinned = os.environ.get(choice.ENVIRONMENT, "").strip()
    if pinned in ops.ALGORITHMS and pinned != "auto":
        return (pinned,)
    inexact = () if choice.exact_products() else tuple(name for name, axes in METHODS.items() if "gemm" in axes)
    return tuple(name for name in ops.ALGORITHMS if name != "auto" and name not in inexact)


def _check(conv: Convolution, device: torch.device, precision: str, gradients: bool) -> Check:
    function = "conv_transpose3d" if conv.transposed else "conv3d"

    def run(x, weight):
        return getattr(F, function)(x, weight, stride=conv.stride, padding=conv.padding)

    truth = _spread if conv.transposed else _correlate
    adjoint = _correlate if conv.transposed else _spread
    size = conv.x[2:]
    n = tuple((s - 1) * conv.stride + k for s, k in zip(size, conv.weight[2:]))
    sizes = {"truth": n if conv.transposed else None, "adjoint": None if conv.transposed else size}
    errors = [
        _error(
            run,
            lambda x, w: truth(x, w, conv.stride, conv.padding, sizes["truth"]),
            lambda gy, w: adjoint(gy, w, conv.stride, conv.padding, sizes["adjoint"]),
            *_random(seed, precision, conv.x, conv.weight),
            device, precision, gradients,
        )
        for seed in SEEDS
    ]  # fmt: skip
    return _worst(conv.name, errors, _bound(device, precision, cudnn=True))


def _check_operator(algorithm: str, device: torch.device, precision: str, gradients: bool) -> Check | None:
    """None where this algorithm does not exist or does not run here, and so is never chosen."""
    errors = []

    def run(x, weight):
        return ops.depthwise_conv3d(x, weight, algorithm=algorithm)

    for seed, (x_shape, weight_shape) in enumerate(OPERATOR):
        x, weight = _random(seed, precision, x_shape, weight_shape)
        try:
            error = _error(run, _depthwise, _depthwise_adjoint, x, weight, device, precision, gradients)
        except DeviceUnavailable:
            return None
        errors.append(error)
    if any(isinstance(error, str) for error in errors) and algorithm != "direct":
        return None
    bound = _bound(device, precision, cudnn=algorithm == "direct")
    return _worst(f"depthwise_conv3d by {algorithm}", errors, bound)


def _bound(device: torch.device, precision: str, cudnn: bool) -> float:
    tf32 = precision == "float32" and cudnn and device.type == "cuda" and _cudnn_may_use_tf32()
    return BOUNDS["tf32" if tf32 else precision]


def _cudnn_may_use_tf32() -> bool:
    try:
        return torch.backends.cudnn.allow_tf32
    except RuntimeError:  # set partly by the older, partly by the newer functions of PyTorch
        return True


def _worst(name: str, errors: list[float | str], bound: float) -> Check:
    notes = [error for error in errors if isinstance(error, str)]
    if notes:
        return Check(name, float("inf"), bound, f"does not run ({notes[0]})")
    return Check(name, max(errors), bound)


def _random(seed: int, precision: str, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Float64 arrays of normal numbers that the type of ``precision`` holds exactly, so that only computing can err."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    generator = np.random.default_rng(seed)
    return [torch.from_numpy(generator.normal(size=shape)).to(dtype).double().numpy() for shape in shapes]


def _error(run, truth, adjoint, x, weight, device, precision, gradients) -> float | str:
    """Largest relative error of the output and, if asked for, of the gradient of x; a sentence if it does not run."""
    here = [torch.from_numpy(array).float().to(device) for array in (x, weight)]
    try:
        with torch.inference_mode(), autocast(device, precision):
            y = run(*here)
        pairs = [(y, truth(x, weight))]
        if gradients:
            (gy,) = _random(2, precision, tuple(y.shape))
            with torch.inference_mode(False), torch.enable_grad(), autocast(device, precision):
                leaf, constant = here[0].clone().requires_grad_(), here[1].clone()
                y = run(leaf, constant)
                (gx,) = torch.autograd.grad(y, leaf, torch.from_numpy(gy).to(y.dtype).to(device))
            pairs.append((gx, adjoint(gy, weight)))
        return max(_relative(found.detach().float().cpu().double().numpy(), right) for found, right in pairs)
    except Rep3DError:
        raise
    except Exception as error:  # compilers of kernels have errors of their own kinds
        if is_out_of_memory(error) or "CUDA error" in str(error) or type(error).__name__ == "AcceleratorError":
            raise
        return next(iter(str(error).splitlines()), type(error).__name__)


def _relative(found: np.ndarray, right: np.ndarray) -> float:
    if found.shape != right.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


# --- the definitions, in float64 numpy


def _correlate(x_BIDHW: np.ndarray, weight_OIKKK: np.ndarray, stride: int, padding: int, size=None) -> np.ndarray:
    """``conv3d``: y[b, o, i] = sum over taps t and channels c of weight[o, c, t] x[b, c, stride i + t - padding]."""
    windows = _windows(x_BIDHW, weight_OIKKK.shape[2:], [(padding, padding)] * 3)[:, :, ::stride, ::stride, ::stride]
    return np.moveaxis(np.tensordot(windows, weight_OIKKK, axes=([1, 5, 6, 7], [1, 2, 3, 4])), -1, 1)


def _spread(x_BODHW: np.ndarray, weight_OIKKK: np.ndarray, stride: int, padding: int, size) -> np.ndarray:
    """``conv_transpose3d``, the transpose of the above, with ``size`` voxels: zeros between samples, flipped taps."""
    b, o, *n = x_BODHW.shape
    apart = np.zeros((b, o, *((k - 1) * stride + 1 for k in n)))
    apart[:, :, ::stride, ::stride, ::stride] = x_BODHW
    pads = []
    for length, k, wanted in zip(apart.shape[2:], weight_OIKKK.shape[2:], size):
        low = k - 1 - padding
        pads.append((low, wanted + k - 1 - length - low))
    flipped = weight_OIKKK[:, :, ::-1, ::-1, ::-1]
    windows = _windows(apart, flipped.shape[2:], pads)
    return np.moveaxis(np.tensordot(windows, flipped, axes=([1, 5, 6, 7], [0, 2, 3, 4])), -1, 1)


def _depthwise(x_BCDHW: np.ndarray, weight_C1KKK: np.ndarray) -> np.ndarray:
    pads = [(k // 2, k // 2) for k in weight_C1KKK.shape[2:]]
    windows = _windows(x_BCDHW, weight_C1KKK.shape[2:], pads)
    return np.einsum("bcdhwxyz,cxyz->bcdhw", windows, weight_C1KKK[:, 0])


def _depthwise_adjoint(gy_BCDHW: np.ndarray, weight_C1KKK: np.ndarray) -> np.ndarray:
    return _depthwise(gy_BCDHW, weight_C1KKK[:, :, ::-1, ::-1, ::-1])


def _windows(x_BCDHW: np.ndarray, kernel: tuple[int, ...], pads: list[tuple[int, int]]) -> np.ndarray:
    return sliding_window_view(np.pad(x_BCDHW, [(0, 0), (0, 0), *pads]), kernel, axis=(2, 3, 4))
