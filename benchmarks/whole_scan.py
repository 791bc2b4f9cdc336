"""Whole scans from file to file: seconds by stage and peak memory beside the model, next to MONAI's own way.

    python benchmarks/whole_scan.py               256 x 256 x 150, 512 x 512 x 300 and 512 x 512 x 600, 16 classes
    python benchmarks/whole_scan.py --quick       the smallest alone
    python benchmarks/whole_scan.py --large       MONAI on the largest too

Two networks. "stand-in" costs next to nothing, on the grid and patch of AMOS (1.5 x 1.5 x 2 mm, 96^3): what is left is
the pipeline. "phantom-abdomen" is the fused network of the shipped weights, on theirs (3 mm, 64 x 48 x 64), run by
PyTorch and by OpenVINO (compiled before; its memory holds that of compiling). The scan is a generated abdomen. MONAI
runs LoadImage, Orientation, Spacing, ScaleIntensityRange, SlidingWindowInferer (same patch, overlap and Gaussian, one
window at once, PyTorch), Invert and SaveImage; once with probabilities brought back to the scan's grid and then argmax,
as its bundles do, and once with argmax first and labels brought back, which is lighter and coarser.

Every run is a process of its own; contestants take turns and the smallest time of each counts. Peak memory is that of
the process above what it held before the scan was read: interpreter, libraries, the network and one window of it. A
process that passes --limit-gb, or four fifths of what is free, is ended, and the table says where. Rep3D's bound at
512 x 512 x 600 is 3 GB (exit code 1 beyond it). At last one, two, four and eight windows at once, Rep3D alone. Prints a
table and writes benchmarks/results/whole_scan.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import psutil
from child_process import TooMuchMemory, run_child
from machine import machine
from rich.console import Console
from rich.table import Table
from scan_programs import STAND_IN, monai, rep3d, settings_of, write_scan

RESULTS = Path(__file__).parent / "results" / "whole_scan.json"
BOUND_GB = 3.0
CLASSES = 16
SMALL, MIDDLE, LARGE = (256, 256, 150), (512, 512, 300), (512, 512, 600)
SPACING = {SMALL: (1.4, 1.4, 2.5), MIDDLE: (0.78, 0.78, 1.5), LARGE: (0.78, 0.78, 1.0)}
NETWORKS = {
    STAND_IN: {"patch": [96, 96, 96], "spacing_mm": [1.5, 1.5, 2.0], "classes": CLASSES},
    "phantom-abdomen": None,  # the weights say
}
OURS, MONAI, MONAI_LABELS = "Rep3D", "MONAI", "MONAI, labels back"
OURS_OPENVINO = "Rep3D, OpenVINO"
PROGRAMS = {
    OURS: {"program": "rep3d", "batch": "auto"},
    OURS_OPENVINO: {"program": "rep3d", "batch": "auto", "engine": "openvino"},
    MONAI: {"program": "monai", "back": "probabilities"},
    MONAI_LABELS: {"program": "monai", "back": "labels"},
}
OVERLAP = 0.5


def child(program: str, threads: int, **arguments) -> None:
    """One run; prints what it measured as JSON."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    print(json.dumps({"rep3d": rep3d, "monai": monai}[program](**arguments)))


def measure(path: Path, out: Path, how: dict, limit_bytes: float | None = None, threads: int = 0) -> dict:
    """One run in a child process, with ``above_model`` in bytes; ``exceeded_gb`` alone if it had to be ended."""
    try:
        row = run_child(__file__, {"path": str(path), "out": str(out), "threads": threads, **how}, limit_bytes)
    except TooMuchMemory as error:
        return {"exceeded_gb": error.gigabytes}
    return {**row, "above_model": row["peak"] - row["peak_before"]}


def turns(contestants: dict[str, dict], path: Path, options: argparse.Namespace, say) -> dict[str, dict]:
    """The best run of each contestant over ``options.repeats`` rounds; memory is the largest of all."""
    best: dict[str, dict] = {}
    for _ in range(options.repeats):
        for name, how in contestants.items():
            if best.get(name, {}).get("exceeded_gb"):
                continue
            limit = min(options.limit_gb * 1e9, 0.8 * psutil.virtual_memory().available)
            row = measure(path, path.with_name(f"{name.replace(' ', '_')}.nii.gz"), how, limit, options.threads)
            say(name, row)
            old = best.get(name, row)
            if "exceeded_gb" in row or "exceeded_gb" in old:
                best[name] = row
                continue
            above = max(row["above_model"], old["above_model"])
            best[name] = min(row, old, key=lambda r: r["seconds"]) | {"above_model": above}
    return best


def agreement(one: Path, other: Path) -> float | None:
    """Share of the voxels that two label maps agree on."""
    import SimpleITK as sitk

    if not (one.exists() and other.exists()):
        return None
    a, b = (sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in (one, other))
    return float((a == b).mean())


def name_of(size: tuple[int, int, int]) -> str:
    return "x".join(map(str, size))


def compare(size: tuple[int, int, int], options: argparse.Namespace, console: Console) -> tuple[list[dict], dict]:
    """Rows and ratios of one scan: every network through every program."""
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii"
        write_scan(path, size, SPACING[size])
        for network, settings in NETWORKS.items():
            settings = settings or settings_of(network)
            how = {"network": network, "overlap": OVERLAP, **settings}
            ours = {OURS} if network == STAND_IN else {OURS, OURS_OPENVINO}  # the stand-in is no network to compile
            others = {MONAI, MONAI_LABELS} if size != LARGE or options.large else set()
            who = {name: what for name, what in PROGRAMS.items() if name in ours | others}
            where = f"{name_of(size)}, {network}"
            best = turns({name: how | what for name, what in who.items()}, path, options, partial(say, console, where))
            for name, row in best.items():
                same = agreement(path.with_name("Rep3D.nii.gz"), path.with_name(f"{name.replace(' ', '_')}.nii.gz"))
                rows.append({"size": list(size), "spacing_mm": SPACING[size], "network": network, "program": name}
                            | {"network_spacing_mm": how["spacing_mm"], "patch": how["patch"]}
                            | row | ({"same_labels": same} if name != OURS else {}))  # fmt: skip
            ratios |= ratios_of(best, where)
    return rows, ratios


def say(console: Console, where: str, name: str, row: dict) -> None:
    """A line as soon as a run is over."""
    console.print(f"{where}, {name}: {seconds_text(row)}, {memory_text(row)}")


def ratios_of(best: dict[str, dict], where: str) -> dict[str, float]:
    """How many times the seconds and the memory of Rep3D each other program takes."""
    ours, ratios = best[OURS], {}
    if where.startswith(name_of(LARGE)) and "exceeded_gb" not in ours:
        ratios[f"the bound of {BOUND_GB:g} GB over Rep3D's peak above the model, {where}"] = (
            BOUND_GB * 1e9 / ours["above_model"]
        )
    for name, row in best.items():
        if name == OURS or "exceeded_gb" in ours:
            continue
        if name == OURS_OPENVINO:
            if "exceeded_gb" not in row:
                ratios[f"{OURS}: seconds over those with OpenVINO, {where}"] = ours["seconds"] / row["seconds"]
            continue
        if "exceeded_gb" in row:
            ratios[f"{name}: peak over Rep3D's, at least, {where}"] = row["exceeded_gb"] * 1e9 / ours["peak"]
            continue
        ratios[f"{name}: seconds over Rep3D's, {where}"] = row["seconds"] / ours["seconds"]
        ratios[f"{name}: peak above the model over Rep3D's, {where}"] = row["above_model"] / ours["above_model"]
    return ratios


def batches(options: argparse.Namespace, console: Console) -> tuple[list[dict], dict]:
    """Windows at once on this machine's processor: seconds of the network alone, for two patches."""
    rows, ratios, network = [], {}, "phantom-abdomen"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii"
        write_scan(path, SMALL, SPACING[SMALL])
        for patch in ([32, 32, 32], settings_of(network)["patch"]):
            how = {"network": network, "overlap": 0.25, **settings_of(network), "patch": patch, "program": "rep3d"}
            contestants = {f"batch {n}": how | {"batch": n} for n in (1, 2, 4, 8)}
            shape = name_of(tuple(patch))
            best = turns(contestants, path, options, partial(say, console, shape))
            for name, row in best.items():
                rows.append({"network": network, "patch": patch, "program": name, "size": list(SMALL)} | row)
                ratio = best["batch 1"]["timings_s"]["network"] / row["timings_s"]["network"]
                ratios[f"one window at a time over {name}, network alone, {shape}"] = ratio
    return rows, ratios


def seconds_text(row: dict) -> str:
    return "-" if "exceeded_gb" in row else f"{row['seconds']:.1f} s"


def memory_text(row: dict) -> str:
    if "exceeded_gb" in row:
        return f"ended at {row['exceeded_gb']:.1f} GB"
    return f"{row['above_model'] / 1e9:.2f} GB above the model"


def show(rows: list[dict], ratios: dict[str, float], console: Console) -> None:
    """The tables."""
    stages = ("read", "prepare", "network", "map back", "measure", "write")
    table = Table("scan", "network", "program", "seconds", "of CPU", *stages, "peak above model", "same labels")
    for row in rows:
        times = row.get("timings_s", {})
        same = row.get("same_labels")
        table.add_row(
            name_of(row["size"]), f"{row['network']} {name_of(row['patch'])}", row["program"], seconds_text(row),
            f"{row.get('cpu_seconds', 0):.1f}",
            *(f"{times[s]:.1f}" if s in times else "" for s in stages),
            memory_text(row).removesuffix(" above the model"), f"{same:.2%}" if same is not None else "",
        )  # fmt: skip
    console.print(table)
    table = Table("ratio", "times")
    for name, value in ratios.items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)


def main() -> int:
    """Command line; exit code 1 if the bound was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="the smallest scan alone")
    parser.add_argument("--large", action="store_true", help="MONAI at 512 x 512 x 600 too")
    parser.add_argument("--repeats", type=int, default=1, help="rounds; the smallest time counts")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: its own choice")
    parser.add_argument("--limit-gb", type=float, default=14.0, help="resident memory at which a process is ended")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.child:
        child(**json.loads(options.child))
        return 0
    console, rows, ratios = Console(width=None if sys.stdout.isatty() else 190), [], {}
    told = machine()
    work = [partial(compare, size) for size in ((SMALL,) if options.quick else (SMALL, MIDDLE, LARGE))]
    for part in work if options.quick else [*work, batches]:
        more_rows, more_ratios = part(options, console)
        rows, ratios = rows + more_rows, ratios | more_ratios
    show(rows, ratios, console)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": told, "rows": rows, "ratios": ratios}, indent=2) + "\n"
    options.out.write_text(text, encoding="utf-8", newline="\n")
    ours = [r for r in rows if r["program"] == OURS and tuple(r["size"]) == LARGE]
    broken = [r for r in ours if r.get("above_model", float("inf")) > BOUND_GB * 1e9]
    for row in broken:
        console.print(f"{row['network']}: {memory_text(row)}, more than the bound of {BOUND_GB:g} GB")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
