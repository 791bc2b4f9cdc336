"""The large-kernel operator on a GPU: every algorithm beside PyTorch's own, and a training step of the full network.

    python benchmarks/operator_gpu.py               # all stages and types; writes benchmarks/results/operator_gpu.json
    python benchmarks/operator_gpu.py --quick       # the first two stages in bfloat16, fewer rounds, no training step
    python benchmarks/operator_gpu.py --rehearse    # tiny shapes on the CPU without Triton, to check this script

Batch 2, kernel 21^3, the four stages of the paper's network; forward (constant weight), gradient of the input, of the
weight, and all three as one training step has them. Contestants take turns; the smallest time of each counts. Times
are those of CUDA events around several calls in a row; "triton, graph" replays a captured CUDA graph, which leaves out
the time that Python needs to launch. Errors are the largest over the largest value of a float64 result.

"aten" is conv3d with groups=C as it stands, "aten, channels last" the same on channels_last_3d tensors, "torch.fft" the
textbook form with full linear length. The training step (batch 2 of 96^3, AdamW, Dice + cross-entropy, network rep3d)
is run with each of them in the place of the operator: the plain PyTorch network is "aten".
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from gpu_step import training_steps
from machine import machine
from record import print_ratios, print_rows, write_record
from rep3d.ops import clear_spectrum_cache, depthwise_conv3d, triton_path
from rep3d.ops.choice import CANDIDATES
from rep3d.ops.registration import backward_op
from torch import Tensor

STAGES = ((48, 48), (96, 24), (192, 12), (384, 6))
BATCH, KERNEL = 2, 21
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DIRECT_BACKWARD = 12  # largest map on which the direct gradients are timed: they would take very long
HERE = Path(__file__).resolve().parent
Run = Callable[[], object]


def aten(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv3d(x, weight, bias, padding=[k // 2 for k in weight.shape[2:]], groups=x.shape[1])


def aten_gradients(gy: Tensor, x: Tensor, weight: Tensor, need: tuple[bool, bool]) -> tuple[Tensor, ...]:
    padding = [k // 2 for k in weight.shape[2:]]
    one, none = [1, 1, 1], [0, 0, 0]
    wanted = [*need, False]
    return torch.ops.aten.convolution_backward(
        gy, x, weight, None, one, padding, one, False, none, x.shape[1], wanted
    )[:2]  # fmt: skip


def plain_fft(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As one would write it: zero-padded to n + k - 1, multiplied, cut."""
    size = [n + k - 1 for n, k in zip(x.shape[2:], weight.shape[2:])]
    spectrum = torch.fft.rfftn(x.float(), size) * torch.fft.rfftn(weight[:, 0].float().flip((1, 2, 3)), size)
    y = torch.fft.irfftn(spectrum, size)
    for dim, (n, k) in enumerate(zip(x.shape[2:], weight.shape[2:]), 2):
        y = y.narrow(dim, k // 2, n)
    return y.to(x.dtype) if bias is None else (y + bias.float().view(-1, 1, 1, 1)).to(x.dtype)


def autograd_of(function: Callable, gy: Tensor, x: Tensor, weight: Tensor, need=(True, True)) -> tuple:
    leaves = x.detach().requires_grad_(need[0]), weight.detach().requires_grad_(need[1])
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    return torch.autograd.grad(function(*leaves), wanted, gy)


class Clock:
    """Milliseconds a call: CUDA events around several calls, or a clock on a CPU."""

    def __init__(self, device: torch.device):
        self.gpu = device.type == "cuda"

    def __call__(self, run: Run, calls: int) -> float:
        if not self.gpu:
            start = time.perf_counter()
            for _ in range(calls):
                run()
            return (time.perf_counter() - start) * 1e3 / calls
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(calls):
            run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / calls


def smallest(contestants: dict[str, Run], clock: Clock, rounds: int, failures: dict[str, str]) -> dict[str, float]:
    """Smallest milliseconds of each over the rounds, turn by turn; who cannot run is put into ``failures``."""
    times, calls = {}, {}
    for name, run in contestants.items():
        try:
            run()
            first = clock(run, 1)
        except (RuntimeError, NotImplementedError) as error:
            failures[name] = f"{type(error).__name__}: {error}"
            continue
        times[name], calls[name] = first, max(1, min(20, int(20 / max(first, 1e-3))))
    for _ in range(rounds):
        for name in times:
            if times[name] < 2000:  # who takes seconds is not waited for again and again
                times[name] = min(times[name], clock(contestants[name], calls[name]))
    return times


def replayed(run: Run) -> Run:
    """A captured CUDA graph of ``run``."""
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def contestants(what: str, x: Tensor, weight: Tensor, gy: Tensor, names: list[str]) -> dict[str, Run]:
    """Name -> one run of ``what``; the result is what it returns."""
    last = partial(torch.Tensor.contiguous, memory_format=torch.channels_last_3d)
    need = {"input gradient": (True, False), "weight gradient": (False, True)}.get(what, (True, True))
    ours = {name: partial(depthwise_conv3d, algorithm=name) for name in names}
    if what == "forward":
        runs = {"aten": partial(aten, x, weight), "aten, channels last": partial(aten, last(x), last(weight))}
        runs["torch.fft"] = partial(plain_fft, x, weight)
        return {**runs, **{name: partial(function, x, weight) for name, function in ours.items()}}
    if x.shape[2] > DIRECT_BACKWARD:
        ours.pop("direct", None)
    if what == "all three":
        plain = {"aten": aten, "torch.fft": plain_fft, **ours}
        runs = {name: partial(autograd_of, function, gy, x, weight) for name, function in plain.items()}
        runs["aten, channels last"] = partial(autograd_of, aten, last(gy), last(x), last(weight))
        return runs
    runs = {
        "aten": partial(aten_gradients, gy, x, weight, need),
        "aten, channels last": partial(aten_gradients, last(gy), last(x), last(weight), need),
    }
    return {**runs, **{name: partial(backward_op, gy, x, weight, name, *need, False) for name in ours}}


def measure(device: torch.device, channels: int, size: int, kernel: int, kind: str, rounds: int) -> list[dict]:
    """The rows of one stage and type."""
    torch.manual_seed(0)
    x, gy = (torch.randn(BATCH, channels, size, size, size, device=device).to(TYPES[kind]) for _ in range(2))
    weight = (torch.randn(channels, 1, kernel, kernel, kernel, device=device) / kernel**1.5).to(TYPES[kind])
    names = [*CANDIDATES, *([triton_path.NAME] if triton_path.usable(device, x.dtype) else []), "auto"]
    exact = partial(depthwise_conv3d, algorithm="fft")
    right = (exact(x.double(), weight.double()), *autograd_of(exact, gy.double(), x.double(), weight.double()))
    rows = []
    for what, at in (("forward", [0]), ("input gradient", [1]), ("weight gradient", [2]), ("all three", [1, 2])):
        failures: dict[str, str] = {}
        with torch.set_grad_enabled(what == "all three"):
            runs = contestants(what, x, weight, gy, names)
            if what == "forward" and triton_path.NAME in runs:
                try:
                    runs["triton, graph"] = replayed(runs[triton_path.NAME])
                except RuntimeError as error:
                    failures["triton, graph"] = str(error)
            times = smallest(runs, Clock(device), rounds, failures)
            errors = {n: largest_error(runs[n](), [right[i] for i in at]) for n in times if n != "triton, graph"}
        rows.append(
            {
                "what": what, "channels": channels, "size": size, "kernel": kernel, "batch": BATCH, "type": kind,
                "milliseconds": times, "errors": errors, "failures": failures,
            }
        )  # fmt: skip
    clear_spectrum_cache()
    return rows


def largest_error(results: Tensor | tuple, right: list[Tensor]) -> float:
    results = [results] if isinstance(results, Tensor) else [r for r in results if r is not None and r.numel()]
    return max(float((r.double() - e).abs().max() / e.abs().max()) for r, e in zip(results, right, strict=True))


def ratios_of(rows: list[dict]) -> dict[str, float]:
    """Times faster than aten (the faster of its two layouts) of Triton and of the automatic choice."""
    found = {}
    for row in rows:
        times = row["milliseconds"]
        plain = min((times[n] for n in ("aten", "aten, channels last") if n in times), default=None)
        for name in (n for n in ("triton", "triton, graph", "auto") if plain is not None and n in times):
            found[f"{name} than aten, {row['what']}, {row['channels']} x {row['size']}^3, {row['type']}"] = (
                plain / times[name]
            )
    return found


def show(rows: list[dict]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row["milliseconds"]))
    flat = [{"shape": f"{r['channels']} x {r['size']}^3 {r['type']} {r['what']}", **r["milliseconds"]} for r in rows]
    print_rows("Milliseconds", flat, {"shape": "shape", **{name: name for name in names}})
    flat = [
        {"shape": f"{r['channels']} x {r['size']}^3 {r['type']} {r['what']}",
         **{n: f"{e:.1e}" for n, e in r["errors"].items()}} for r in rows
    ]  # fmt: skip
    print_rows("Largest error over largest value", flat, {"shape": "shape", **{name: name for name in names}})
    for row in rows:
        for name, reason in row["failures"].items():
            print(f"{name} did not run ({row['what']}, {row['size']}^3, {row['type']}): {reason}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two stages in bfloat16, fewer rounds, no training step")
    parser.add_argument("--rehearse", action="store_true", help="tiny shapes on the CPU, to check this script")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "operator_gpu.json", help="JSON file to write")
    args = parser.parse_args()
    if not torch.cuda.is_available() and not args.rehearse:
        print("operator_gpu.py needs a GPU that PyTorch can use, and there is none. The operator's speed on this "
              "processor is measured by benchmarks/operator.py.", file=sys.stderr)  # fmt: skip
        return 2
    device = torch.device("cpu" if args.rehearse else "cuda")
    stages = ((4, 6), (6, 4)) if args.rehearse else STAGES[:2] if args.quick else STAGES
    kernel, rounds = (5, 2) if args.rehearse else (KERNEL, 5 if args.quick else 20)
    rows = []
    for kind in ("bfloat16",) if args.quick else TYPES:
        for channels, size in stages:
            print(f"{channels} channels, {size}^3, kernel {kernel}^3, {kind} ...", flush=True)
            rows += measure(device, channels, size, kernel, kind, rounds)
    show(rows)
    ratios = ratios_of(rows)
    steps = []
    if not args.quick:
        names = [*CANDIDATES[1:], *([triton_path.NAME] if triton_path.usable(device, torch.float32) else []), "auto"]
        operators = {"aten": aten, **{name: partial(depthwise_conv3d, algorithm=name) for name in names}}
        steps, more = training_steps(device, operators, tiny=args.rehearse, rounds=2 if args.rehearse else 5)
        ratios |= more
    print_ratios(ratios)
    if args.rehearse:
        print("a rehearsal on the CPU: nothing was written, and the times mean nothing")
        return 0
    gpu = {"gpu": torch.cuda.get_device_name(), "triton": triton_path.version(), "cuda": torch.version.cuda}
    flags = {"cudnn_allow_tf32": torch.backends.cudnn.allow_tf32, "matmul": torch.get_float32_matmul_precision()}
    write_record(args.out, {**machine(), **gpu, **flags}, [*rows, *steps], ratios)
    print(f"written: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
