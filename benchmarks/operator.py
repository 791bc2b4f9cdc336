"""Time the large-kernel operator beside PyTorch's own conv3d, plain torch.fft and fft-conv-pytorch, in one run.

    python benchmarks/operator.py             # stages and sweeps; writes the JSON and docs/pictures/operator_cost.png
    python benchmarks/operator.py --quick     # the stages of the 48-channel network only, fewer repeats, no picture
    python benchmarks/operator.py --markdown  # of the stored JSON, run nothing: the tables of docs/operator.md

Contestants take turns and the smallest time of each counts, so that a busy machine disturbs all alike; each shape has a
process of its own. Choices of ``auto`` are measured anew, in a folder that is thrown away. PyTorch's backward of one
48-channel 48^3 layer takes minutes on a CPU: it is timed once on 2 channels and scaled by C / 2
("aten_backward_scaled_from_channels" in the results). "aten" is conv3d with groups=C as it stands, kernel uncropped.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import torch
from child_process import run_child
from machine import load_average, machine
from record import write_record
from rich.console import Console
from rich.table import Table

STAGES = ((48, 48), (96, 24), (192, 12), (384, 6))
SMALL = ((16, 32), (32, 16), (64, 8), (96, 4))
KERNEL = 21
#: What the picture is drawn from: (channels, size, kernel) along one of the three.
SWEEPS = {
    "kernel": [(48, 24, k) for k in (3, 5, 7, 9, 11, 13, 15, 21, 31)],
    "size": [(48, n, KERNEL) for n in (4, 6, 8, 12, 16, 24, 32, 48)],
    "channels": [(c, 24, KERNEL) for c in (6, 12, 24, 48, 96, 192)],
}
MEASURES = {
    "forward_constant_weight_ms": "forward, constant weight",
    "forward_changing_weight_ms": "forward, changing weight",
    "gradient_of_x_ms": "gradient of x",
    "gradient_of_weight_ms": "gradient of weight",
    "forward_backward_ms": "forward and backward",
}
OTHERS = ("aten", "torch.fft", "torch.fft, kept spectrum", "fft-conv-pytorch")
OURS = ("direct", "fft", "matmul", "hybrid", "auto")
HERE = Path(__file__).resolve().parent


def shapes(quick: bool) -> dict[tuple[int, int, int], bool]:
    """(channels, size, kernel) -> whether everything is measured there."""
    result = {(c, n, KERNEL): True for c, n in (STAGES if quick else STAGES + SMALL)}
    for sweep in () if quick else SWEEPS.values():
        for shape in sweep:
            result.setdefault(shape, False)
    return result


def limits(row: dict, rates: dict[str, float]) -> dict[str, dict[str, float]]:
    """Algorithm -> milliseconds that its operations and its bytes imply, and how many times longer it takes."""
    result = {}
    for name, work in row["least"].items():
        gflops = max(rates["mm_gflops"], rates["product_gflops"])
        compute, memory = work["flops"] / gflops / 1e6, work["bytes"] / rates["copy_gb_per_s"] / 1e6
        distance = row["forward_constant_weight_ms"][name] / max(compute, memory)
        result[name] = {"compute_ms": compute, "memory_ms": memory, "distance": distance}
    return result


def ratios(rows: list[dict]) -> dict[str, float]:
    """How many times faster ``auto`` is: than plain torch.fft, than the best of the others, than our best by name."""
    result = {}
    for row in rows:
        where = f"{row['channels']} x {row['size']}^3 k{row['kernel']}"
        for key, words in MEASURES.items():
            times = row.get(key)
            if times is None:
                continue
            auto = times["auto"]
            result[f"{words}, {where}: auto over torch.fft"] = times["torch.fft"] / auto
            result[f"{words}, {where}: auto over the best of the others"] = (
                min(times[name] for name in OTHERS if name in times) / auto
            )
            named = [times[name] for name in OURS[:-1] if name in times]
            result[f"{words}, {where}: auto over the best algorithm by name"] = min(named) / auto
    return result


def table(key: str, rows: list[dict]) -> Table:
    """Milliseconds of one measure, and times faster than aten."""
    names = [n for n in (*OTHERS, *OURS) if any(n in row.get(key, {}) for row in rows)]
    result = Table(title=f"{MEASURES[key]}: milliseconds (times faster than aten)")
    for column in ("channels", "size", "kernel", *names):
        result.add_column(column, justify="right")
    for row in rows:
        if key in row:
            times = row[key]
            cells = [f"{times[n]:.2f} ({times['aten'] / times[n]:.1f}x)" if n in times else "-" for n in names]
            result.add_row(str(row["channels"]), f"{row['size']}^3", f"{row['kernel']}^3", *cells)
    return result


def markdown(record: dict) -> str:
    """The tables of docs/operator.md, section Speed."""
    about, rates = record["machine"], record["rates"]
    lines = [
        f"{about['processor']} ({about['cpu_capability']}), {about['threads']} threads, torch {about['torch']}, "
        f"float32, kernel 21^3, load average {about['load_average_at_start']} at the start.",
        "",
    ]
    stages = record["rows"]
    for key in ("forward_constant_weight_ms", "forward_changing_weight_ms", "forward_backward_ms"):
        names = [n for n in (*OTHERS, "auto") if n in stages[0][key]]
        lines += [f"Milliseconds, {MEASURES[key]}; in brackets how many times faster `auto` is:", ""]
        lines += ["| channels, maps | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for row in stages:
            times = row[key]
            cells = [_short(times[n]) + (f" ({times[n] / times['auto']:.1f}x)" if n != "auto" else "") for n in names]
            lines.append(f"| {row['channels']}, {row['size']}^3 | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [
        f"Limits of the machine: {rates['product_gflops']:.0f} GFLOP/s in large matrix products "
        f"({rates['mm_gflops']:.0f} by `torch.mm`), {rates['copy_gb_per_s']:.0f} GB/s in a large copy. Milliseconds "
        "that these imply for the forward with a constant weight, and how many times longer it takes:",
        "",
        "| channels, maps | auto took | its operations | its bytes | times the larger |",
        "|---|---|---|---|---|",
    ]
    for row in stages:
        name = row["auto_is"].get("forward, constant weight", "direct")
        if name in row["limits"]:
            limit, took = row["limits"][name], row["forward_constant_weight_ms"]["auto"]
            compute, memory = limit["compute_ms"], limit["memory_ms"]
            lines.append(
                f"| {row['channels']}, {row['size']}^3 | {name}, {_short(took)} | {_short(compute)} | {_short(memory)} "
                f"| {took / max(compute, memory):.1f} |"
            )
    return "\n".join(lines)


def _short(ms: float) -> str:
    return f"{ms:,.0f}".replace(",", " ") if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def run(quick: bool, threads: int | None, console: Console) -> tuple[dict[str, float], list[dict]]:
    """Rates of the machine, and a row for each shape."""
    pace = {"budget_s": 0.4, "rounds": 2} if quick else {"budget_s": 2.0, "rounds": 3}
    script = HERE / "operator_row.py"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["REP3D_CACHE_DIR"] = folder
        rates = run_child(script, {"rates": True, "threads": threads})
        rows = []
        for (channels, size, kernel), everything in shapes(quick).items():
            console.print(f"{channels} channels, {size}^3, kernel {kernel}^3 ...")
            arguments = {"channels": channels, "size": size, "kernel": kernel, "everything": everything, **pace}
            row = run_child(script, {**arguments, "threads": threads})
            rows.append({**row, "limits": limits(row, rates)})
    return rates, rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="stages of the 48-channel network only, fewer repeats")
    parser.add_argument("--threads", type=int, help="threads for PyTorch (default: its own choice)")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "operator.json", help="JSON file to write")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs" / "pictures" / "operator_cost.png")
    parser.add_argument("--markdown", action="store_true", help="print the tables of --out and stop; runs nothing")
    args = parser.parse_args()
    if args.markdown:
        print(markdown(json.loads(args.out.read_text(encoding="utf-8"))))
        return 0
    if args.threads:
        torch.set_num_threads(args.threads)
    console = Console(width=170)
    about = machine()
    rates, rows = run(args.quick, args.threads, console)
    for key in MEASURES:
        console.print(table(key, rows))
    console.print(f"rates of the machine: {', '.join(f'{name} {value:.1f}' for name, value in rates.items())}")
    for row in rows:
        away = ", ".join(f"{name} {limit['distance']:.1f}" for name, limit in row["limits"].items())
        console.print(f"{row['channels']} x {row['size']}^3 k{row['kernel']}: times the machine's limit: {away}")
    console.print(f"load average: {about['load_average_at_start']} at start, {load_average()} at end")
    stages = [row for row in rows if "forward_changing_weight_ms" in row]
    sweeps = [row for row in rows if "forward_changing_weight_ms" not in row]
    write_record(args.out, about, stages, ratios(rows), rates=rates, sweeps=sweeps)
    console.print(f"written: {args.out}")
    if not args.quick:
        from operator_picture import draw

        draw(rows, SWEEPS, args.picture)
        console.print(f"written: {args.picture}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
