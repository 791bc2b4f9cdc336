"""PyTorch and OpenVINO on one window of each network, and what the labels of real scans become with either.

    python benchmarks/engine.py                   all networks; REP3D_DATA=FOLDER adds agreement and Dice on real scans
    python benchmarks/engine.py --quick           the smallest networks, no scans

Contestants, turn by turn, the smallest time of each counts: "PyTorch, plain" is the network with the large kernels as
PyTorch's own conv3d; "PyTorch" is Rep3D's with its operator, in float32 and under bfloat16 autocast; "OpenVINO" is the
compiled graph in float32 and in bfloat16. Windows of up to 48^3 are run in twos, as a segmentation does (PyTorch is
much slower for a small one alone); times are for one. Networks of presets have random weights and 16 classes; those of
tasks are the shipped ones at their own patch.

Agreement is the share of voxels of the scans' own grids that get the same label as with PyTorch in float32, over the
same test scans, and Dice is against their manual labels (the mean over structures, then over cases).
Prints tables and writes benchmarks/results/engine.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import machine
from record import write_record
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.export.plain import plain_copy
from rep3d.inference.devices import autocast
from rep3d.inference.engines import openvino_engine
from rep3d.inference.engines.choice import seconds, smooth_window
from rep3d.inference.feeder import first_batch
from rep3d.inference.pipeline import segment_with_weights
from rep3d.networks import create_network
from rep3d.weights import find_weights, load_weights
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "engine.json"
CLASSES = 16
PRESETS = {"rep3d": 96, "rep3d-s": 96, "rep3d-xs": 64}
TASKS = ("phantom-abdomen", "openkbp", "msd-hippocampus")
PLAIN, TORCH, TORCH_BF16 = "PyTorch, plain", "PyTorch", "PyTorch, bfloat16"
OPENVINO, OPENVINO_BF16 = "OpenVINO", "OpenVINO, bfloat16"


def networks(quick: bool) -> dict[str, tuple[torch.nn.Module, tuple[int, ...]]]:
    """Name -> network and shape of its window."""
    found = {}
    for name, size in ({} if quick else PRESETS).items():
        torch.manual_seed(0)
        network = create_network(name, in_channels=1, out_channels=CLASSES, reparam="plain", deployed=True)
        found[f"{name}, {size}^3"] = (network.eval().requires_grad_(False), (1, 1, size, size, size))
    for task in TASKS[-1:] if quick else TASKS:
        weights = load_weights(find_weights(task))
        patch = "x".join(map(str, weights.meta.patch))
        found[f"{task}, {patch}"] = (weights.build_network(), (1, 1, *weights.meta.patch))
    return found


def compare(network: torch.nn.Module, shape: tuple[int, ...], rounds: int) -> dict:
    """Seconds a window with each contestant, and how far the logits lie from plain PyTorch's."""
    count = first_batch("auto", torch.device("cpu"), shape[2:])
    x_BCDHW = smooth_window((count, *shape[1:]))
    plain = plain_copy(network)
    compiled = {p: openvino_engine.compile_network(network, shape, p) for p in ("float32", "bfloat16")}

    def mixed() -> torch.Tensor:
        with autocast(torch.device("cpu"), "bfloat16"):
            return network(x_BCDHW)

    contestants: dict[str, Callable[[], torch.Tensor]] = {
        PLAIN: lambda: plain(x_BCDHW),
        TORCH: lambda: network(x_BCDHW),
        TORCH_BF16: mixed,
        OPENVINO: lambda: compiled["float32"](x_BCDHW),
        OPENVINO_BF16: lambda: compiled["bfloat16"](x_BCDHW),
    }
    times = dict.fromkeys(contestants, float("inf"))
    errors = {}
    with torch.inference_mode():
        expected = contestants[PLAIN]()
        for name, run in contestants.items():
            logits = run().float()
            errors[name] = float((logits - expected).square().mean().sqrt() / expected.square().mean().sqrt())
        for _ in range(rounds):
            for name, run in contestants.items():
                times[name] = min(times[name], seconds(run) / count)
    return {"seconds": times, "error": errors}


def test_cases(task: str, data: Path, limit: int) -> list[tuple[Path, Path]]:
    """Image and label of the test cases, in order."""
    if task == "msd-hippocampus":
        images = sorted((data / "open" / "hippocampus" / "images").glob("*.nii.gz"))[4::5]
        return [(image, data / "open" / "hippocampus" / "labels" / image.name) for image in images][:limit]
    images = sorted((data / "hn" / "test").glob("*_ct.nii.gz"))
    return [(image, image.with_name(image.name.replace("_ct.", "_seg."))) for image in images][:limit]


def dice(found: np.ndarray, truth: np.ndarray, values: list[int]) -> float:
    """Mean over the structures that the truth has."""
    scores = []
    for value in values:
        a, b = found == value, truth == value
        if b.any():
            scores.append(2 * float((a & b).sum()) / float(a.sum() + b.sum()))
    return float(np.mean(scores))


def on_scans(task: str, cases: list[tuple[Path, Path]], say: Callable[[str], None]) -> dict:
    """Agreement with PyTorch in float32, and Dice, of each engine and precision over ``cases``."""
    weights = load_weights(find_weights(task))
    network = weights.build_network()
    values = [label.value for label in weights.meta.task.labels]
    how = {
        TORCH: {"engine": "torch", "precision": "float32"},
        OPENVINO: {"engine": "openvino", "precision": "float32"},
        OPENVINO_BF16: {"engine": "openvino", "precision": "bfloat16"},
    }
    labelmaps: dict[str, list[np.ndarray]] = {}
    for name, options in how.items():  # one engine after the other: one compiled network is kept at a time
        say(f"{task}: {name} on {len(cases)} scans")
        labelmaps[name] = [
            segment_with_weights(read_volume(image), weights, network, device="cpu", **options).labelmap
            for image, _ in cases
        ]
    truths = [read_labelmap(label).array for _, label in cases]
    voxels = sum(a.size for a in labelmaps[TORCH])
    return {
        "cases": len(cases),
        "agreement": {
            name: sum(int((a == b).sum()) for a, b in zip(maps, labelmaps[TORCH])) / voxels
            for name, maps in labelmaps.items()
        },
        "dice": {
            name: float(np.mean([dice(a, t, values) for a, t in zip(maps, truths)])) for name, maps in labelmaps.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scans", type=int, default=40, help="test scans of each task at most")
    options = parser.parse_args()
    console = Console()
    described = machine() | {"openvino": openvino_engine.version()}
    rows, scans, ratios = [], [], {}
    table = Table("network, window", *(f"{name} s" for name in (PLAIN, TORCH, TORCH_BF16, OPENVINO, OPENVINO_BF16)))
    with tempfile.TemporaryDirectory() as cache:
        os.environ["REP3D_CACHE_DIR"] = cache  # nothing of earlier runs, nothing left behind
        for name, (network, shape) in networks(options.quick).items():
            console.print(f"{name} ...")
            row = {"network": name, **compare(network, shape, options.rounds)}
            rows.append(row)
            plain = row["seconds"][PLAIN]
            table.add_row(name, *(f"{s:.3f} ({plain / s:.1f}x)" for s in row["seconds"].values()))
            for engine in (TORCH, OPENVINO, OPENVINO_BF16):
                ratios[f"plain PyTorch over {engine}, {name}"] = plain / row["seconds"][engine]
        console.print(table)
        data = os.environ.get("REP3D_DATA")
        if data and not options.quick:
            for task in TASKS[1:]:
                cases = test_cases(task, Path(data), options.scans)
                scans.append({"task": task, **on_scans(task, cases, console.print)})
            labels = Table("task", "scans", "engine", "same label as PyTorch", "Dice")
            for row in scans:
                for engine, share in row["agreement"].items():
                    labels.add_row(row["task"], str(row["cases"]), engine, f"{share:.6f}", f"{row['dice'][engine]:.4f}")
            console.print(labels)
    write_record(options.out, described, rows, ratios, scans=scans)
    console.print(f"written: {options.out}")


if __name__ == "__main__":
    main()
