"""Time every algorithm of rep3d.ops.depthwise_conv3d beside PyTorch's own conv3d, in one run, at the networks' shapes.

    python benchmarks/operator.py                        # all shapes; writes benchmarks/results/operator.json
    python benchmarks/operator.py --quick                # the 48-channel stages only, fewer repeats, under 5 minutes

Contestants take turns and the smallest time of each counts, so that a busy machine disturbs all alike. PyTorch's
backward of one 48-channel 48^3 layer takes many minutes on a CPU: it is timed once on 2 channels and scaled by C / 2
("aten_backward_scaled_from_channels" in the results). "aten" is conv3d with groups=C as it stands, kernel uncropped.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from machine import load_average, machine
from rep3d.ops import clear_spectrum_cache, depthwise_conv3d
from rep3d.ops.choice import CANDIDATES
from rich.console import Console
from rich.table import Table
from torch import Tensor

STAGES = ((48, 48), (96, 24), (192, 12), (384, 6))
SMALL = ((16, 32), (32, 16), (64, 8), (96, 4))
KERNEL = 21
PROBE = 2  # channels on which aten's backward is timed
HERE = Path(__file__).resolve().parent


def smallest(contestants: dict[str, Callable[[], object]], repeats: int, budget_s: float) -> dict[str, float]:
    """Smallest milliseconds of each over ``repeats`` rounds (fewer once ``budget_s`` is spent), after one warm-up."""
    times = {}
    for name, run in contestants.items():
        run()
        times[name] = float("inf")
    start = time.perf_counter()
    for round_ in range(repeats):
        for name, run in contestants.items():
            begin = time.perf_counter()
            run()
            times[name] = min(times[name], (time.perf_counter() - begin) * 1e3)
        if time.perf_counter() - start > budget_s and round_ >= 2:
            break
    return times


def forward_and_backward(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, gy: Tensor):
    leaves = x.detach().requires_grad_(), weight.detach().requires_grad_()
    return torch.autograd.grad(function(*leaves), leaves, gy)


def measure(channels: int, size: int, repeats: int, budget_s: float) -> dict:
    torch.manual_seed(0)
    x, gy = torch.randn(1, channels, size, size, size), torch.randn(1, channels, size, size, size)
    weight = torch.randn(channels, 1, KERNEL, KERNEL, KERNEL)

    def aten(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv3d(x, weight, padding=KERNEL // 2, groups=x.shape[1])

    names = [*CANDIDATES, "auto"]
    functions = {name: partial(depthwise_conv3d, algorithm=name) for name in names}
    load_before = load_average()
    with torch.no_grad():
        frozen = {name: partial(function, x, weight) for name, function in functions.items()}
        constant = smallest({"aten": partial(aten, x, weight), **frozen}, repeats, budget_s)
    trained = weight.clone().requires_grad_()
    changing = smallest({n: partial(functions[n], x, trained) for n in names}, repeats, budget_s)
    # The direct backward exists for the smallest maps; elsewhere it would take seconds to minutes.
    both = [n for n in names if n != "direct" or size <= 6]
    full = smallest({n: partial(forward_and_backward, functions[n], x, weight, gy) for n in both}, repeats, budget_s)
    few = min(PROBE, channels)
    aten_backward = aten_backward_ms(aten, x[:, :few], weight[:few], gy[:, :few]) * channels / few
    aten_full = constant["aten"] + aten_backward
    clear_spectrum_cache()
    return {
        "channels": channels,
        "size": size,
        "kernel": KERNEL,
        "forward_constant_weight_ms": constant,
        "forward_changing_weight_ms": changing,
        "forward_backward_ms": {"aten": aten_full, **full},
        "aten_backward_scaled_from_channels": few,
        "speedup_forward_constant_weight": {n: constant["aten"] / constant[n] for n in names},
        "speedup_forward_changing_weight": {n: constant["aten"] / changing[n] for n in names},
        "speedup_forward_backward": {n: aten_full / full[n] for n in both},
        "load_average": [load_before, load_average()],
    }


def aten_backward_ms(aten: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, gy: Tensor) -> float:
    """Milliseconds of one backward (once: it is long, and nothing in it needs warming up)."""
    leaves = x.detach().clone().requires_grad_(), weight.detach().clone().requires_grad_()
    y = aten(*leaves)
    start = time.perf_counter()
    torch.autograd.grad(y, leaves, gy.contiguous())
    return (time.perf_counter() - start) * 1e3


def table(title: str, rows: list[dict], times: str, ratios: str) -> Table:
    names = ["aten", *CANDIDATES, "auto"]
    result = Table(title=f"{title}: milliseconds (times faster than aten)")
    for column in ("channels", "size", *names):
        result.add_column(column, justify="right")
    for row in rows:
        aten = row["forward_constant_weight_ms"]["aten"]
        cells = []
        for name in names:
            ms = row[times].get(name, aten if name == "aten" else None)
            ratio = row[ratios].get(name)
            cells.append("-" if ms is None else f"{ms:.2f}" + (f" ({ratio:.1f}x)" if ratio else ""))
        result.add_row(str(row["channels"]), f"{row['size']}^3", *cells)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="stages of the 48-channel network only, fewer repeats")
    parser.add_argument("--threads", type=int, help="threads for PyTorch (default: its own choice)")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "operator.json", help="JSON file to write")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    console = Console(width=140)
    result = {"machine": machine(), "rows": []}
    for channels, size in STAGES if args.quick else STAGES + SMALL:
        console.print(f"{channels} channels, {size}^3, kernel {KERNEL}^3 ...")
        result["rows"].append(measure(channels, size, 5 if args.quick else 25, 3.0 if args.quick else 12.0))
    for title, times, ratios in (
        ("Forward, constant weight", "forward_constant_weight_ms", "speedup_forward_constant_weight"),
        ("Forward, changing weight", "forward_changing_weight_ms", "speedup_forward_changing_weight"),
        ("Forward and backward", "forward_backward_ms", "speedup_forward_backward"),
    ):
        console.print(table(title, result["rows"], times, ratios))
    console.print(f"load average: {result['machine']['load_average_at_start']} at start, {load_average()} at end")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.output.with_name(args.output.name + ".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, args.output)
    console.print(f"written: {args.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
