"""The contestants of ``operator.py`` at one shape, timed in a process of its own (``operator_row.py --child JSON``).

A process for each shape, because PyTorch's ``conv3d`` generates machine code for every shape of a large depthwise
kernel, 0.3 GB for 21^3 taps, and keeps it. Contestants take turns and the smallest time of each counts.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from child_process import peak_bytes
from machine import load_average
from rep3d.ops import choice, depthwise_conv3d
from rep3d.ops.choice import CANDIDATES
from rep3d.ops.plan import make_plan, next_fast_length
from rep3d.ops.products import product
from torch import Tensor

try:
    from fft_conv_pytorch import fft_conv
except ImportError:  # it is among the development tools only
    fft_conv = None

PROBE = 2  # channels on which aten's backward is timed
RUNS_A_TURN, TURN_S = 5, 0.05
Contestants = dict[str, Callable[[Tensor, Tensor], Tensor]]


def plain_fft(x: Tensor, weight: Tensor, weight_spectrum: Tensor | None = None) -> Tensor:
    """What one would write with torch.fft: pad, transform, multiply, transform back, cut; autograd's backward."""
    pads = [p for k in reversed(weight.shape[2:]) for p in (k // 2, k // 2)]
    size = _fft_size(x, weight)
    if weight_spectrum is None:
        weight_spectrum = _plain_spectrum(x, weight)
    y = torch.fft.irfftn(torch.fft.rfftn(F.pad(x, pads), s=size) * weight_spectrum, s=size)
    return y[..., : x.shape[2], : x.shape[3], : x.shape[4]]


def _plain_spectrum(x: Tensor, weight: Tensor) -> Tensor:
    return torch.fft.rfftn(weight[:, 0], s=_fft_size(x, weight)).conj().resolve_conj()


def _fft_size(x: Tensor, weight: Tensor) -> tuple[int, ...]:
    sizes = zip(x.shape[2:], weight.shape[2:])
    return tuple(next_fast_length(n + k - 1, even=axis == 2) for axis, (n, k) in enumerate(sizes))


def aten(x: Tensor, weight: Tensor) -> Tensor:
    """PyTorch's own convolution, the kernel uncropped."""
    return F.conv3d(x, weight, padding=[k // 2 for k in weight.shape[2:]], groups=x.shape[1])


def fft_conv_pytorch(x: Tensor, weight: Tensor) -> Tensor:
    """The package of that name."""
    return fft_conv(x, weight, padding=weight.shape[2] // 2, groups=x.shape[1])


def others() -> Contestants:
    """Everything but ours; what has a backward worth waiting for comes with it."""
    return {"torch.fft": plain_fft, **({"fft-conv-pytorch": fft_conv_pytorch} if fft_conv else {})}


def ours(x: Tensor, weight: Tensor, direction: str) -> Contestants:
    """``auto`` and every algorithm, but not the direct one where it generates too much code or takes seconds."""
    names = ["auto", *CANDIDATES]
    few = choice.direct_multiplications(x, weight) < (1e12 if direction == "forward" else 1e9)
    if not few or choice.direct_code_bytes(direction, x, weight) > choice.CODE_LIMIT:
        names.remove("direct")
    return {name: partial(depthwise_conv3d, algorithm=name) for name in names}


def smallest(contestants: dict[str, Callable[[], object]], budget_s: float, rounds: int) -> dict[str, float]:
    """Smallest milliseconds of each, after one warm-up, over at least ``rounds`` rounds and ``budget_s`` seconds.

    A turn is several runs, where they are short, and every round has another order: what the one before has left in the
    caches and in the heap must not decide.
    """
    times, order = {}, random.Random(0)
    for name, run in contestants.items():
        run()
        times[name] = float("inf")
    start, done = time.perf_counter(), 0
    while done < rounds or (time.perf_counter() - start < budget_s and done < 200):
        for name, run in order.sample(list(contestants.items()), len(contestants)):
            turn = time.perf_counter()
            for _ in range(RUNS_A_TURN):
                begin = time.perf_counter()
                run()
                end = time.perf_counter()
                times[name] = min(times[name], (end - begin) * 1e3)
                if end - turn > TURN_S:
                    break
        done += 1
    return times


def gradients(x: Tensor, weight: Tensor, gy: Tensor, wanted: tuple[bool, bool], function) -> Callable[[], object]:
    """A function that runs the backward alone, for the gradients wanted of (x, weight)."""
    leaves = [t.detach().clone().requires_grad_(want) for t, want in zip((x, weight), wanted)]
    y = function(*leaves)
    wanted_leaves = [t for t in leaves if t.requires_grad]
    return lambda: torch.autograd.grad(y, wanted_leaves, gy, retain_graph=True)


def training_step(x: Tensor, weight: Tensor, gy: Tensor, function) -> Callable[[], object]:
    leaves = [t.detach().clone().requires_grad_() for t in (x, weight)]
    return lambda: torch.autograd.grad(function(*leaves), leaves, gy)


def measure(channels: int, size: int, kernel: int, everything: bool, budget_s: float, rounds: int) -> dict:
    """One row: milliseconds of every contestant. ``everything`` adds changing weights and each gradient alone."""
    torch.manual_seed(0)
    load = load_average()
    x, gy = torch.randn(1, channels, size, size, size), torch.randn(1, channels, size, size, size)
    weight = torch.randn(channels, 1, kernel, kernel, kernel)
    row: dict = {"channels": channels, "size": size, "kernel": kernel}

    with torch.no_grad():
        kept = partial(plain_fft, weight_spectrum=_plain_spectrum(x, weight))
        entrants = {"aten": aten, **others(), "torch.fft, kept spectrum": kept, **ours(x, weight, "forward")}
        row["forward_constant_weight_ms"] = smallest(
            {name: partial(function, x, weight) for name, function in entrants.items()}, budget_s, rounds
        )
    if everything:
        trained = weight.clone().requires_grad_()
        entrants = {"aten": aten, **others(), **ours(x, weight, "forward")}
        row["forward_changing_weight_ms"] = smallest(
            {name: partial(function, x, trained) for name, function in entrants.items()}, budget_s, rounds
        )
    few = min(PROBE, channels)
    parts = [x[:, :few], weight[:few], gy[:, :few].contiguous()]
    scaled = {}
    for name, wanted in (("gradient_of_x_ms", (True, False)), ("gradient_of_weight_ms", (False, True))):
        run = gradients(*parts, wanted, aten)
        run()  # generates its code
        start = time.perf_counter()
        run()  # once: it is long
        scaled[name] = (time.perf_counter() - start) * 1e3 * channels / few
        if everything:
            direction = choice.BACKWARD[wanted]
            entrants = {**others(), **ours(x, weight, direction)}
            timed = smallest({n: gradients(x, weight, gy, wanted, f) for n, f in entrants.items()}, budget_s, rounds)
            row[name] = {"aten": scaled[name], **timed}
    entrants = {**others(), **ours(x, weight, "backward")}
    steps = smallest({n: training_step(x, weight, gy, f) for n, f in entrants.items()}, budget_s, rounds)
    row["forward_backward_ms"] = {"aten": row["forward_constant_weight_ms"]["aten"] + sum(scaled.values()), **steps}
    row["aten_backward_scaled_from_channels"] = few
    row["auto_is"] = {key.split(" | ")[0] + ", " + key.split(" | ")[1]: a for key, a in choice.store.used().items()}
    row["least"] = least_work(x, weight)
    return {**row, "load_average": [load, load_average()], "peak_bytes": peak_bytes()}


def least_work(x: Tensor, weight: Tensor) -> dict[str, dict[str, float]]:
    """Of each spectral algorithm's forward with a constant weight: floating-point operations as it computes them, and
    bytes that must pass through memory once (x, kept spectrum, result). What blocks hold stays in the cache."""
    result = {}
    for name in CANDIDATES[1:]:
        plan = make_plan(tuple(x.shape[2:]), tuple(weight.shape[2:]), name)
        d, h, w = plan.axes
        # (lines, samples in, axis, complex) of the three transforms; the way back costs the same.
        steps = ((d.n * h.n, w, False), (d.n * plan.half, h, True), (h.length * plan.half, d, True))
        flops = 6.0 * plan.spectrum_numel  # the products of the spectra
        for lines, axis, is_complex in steps:
            if axis.method == "gemm":
                one = 8 * axis.n * axis.length if is_complex else 4 * axis.n * plan.half
            else:  # the usual count of a fast Fourier transform
                one = (5.0 if is_complex else 2.5) * axis.length * torch.tensor(float(axis.length)).log2().item()
            flops += 2 * lines * one
        channels = x.shape[0] * x.shape[1]
        passed = 2 * x.numel() * 4 + weight.shape[0] * plan.spectrum_numel * 8
        result[name] = {"flops": flops * channels, "bytes": float(passed)}
    return result


def machine_rates() -> dict[str, float]:
    """Measured float32 rates: large square products by torch.mm and by the operator's own product, and a large copy."""
    a, big = torch.randn(2048, 2048), torch.randn(64 << 20)
    target = torch.empty_like(big)
    runs = {"mm": lambda: torch.mm(a, a), "product": lambda: product(a, a), "copy": lambda: target.copy_(big)}
    ms = smallest(runs, 3.0, 10)
    flops = 2.0 * 2048**3
    return {
        "mm_gflops": flops / ms["mm"] / 1e6,
        "product_gflops": flops / ms["product"] / 1e6,
        "copy_gb_per_s": 2.0 * big.numel() * 4 / ms["copy"] / 1e6,
    }


def main() -> None:
    """Called by operator.py."""
    arguments = json.loads(sys.argv[sys.argv.index("--child") + 1])
    threads = arguments.pop("threads", None)
    if threads:
        torch.set_num_threads(threads)
    print(json.dumps(machine_rates() if arguments.pop("rates", False) else measure(**arguments)))


if __name__ == "__main__":
    main()
