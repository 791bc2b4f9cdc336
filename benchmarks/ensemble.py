"""Members of an ensemble one after the other on each window, or each over the whole scan: memory, time, difference.

    python benchmarks/ensemble.py                   rep3d-tiny, 15 classes, grid 160 x 128 x 128, 1, 3 and 5 members
    python benchmarks/ensemble.py --network rep3d   the network of the paper: larger weights, hours on a CPU

"window" is what Rep3D does: all networks are loaded, one slab of logits. "scan" loads one network at a time and adds up
probabilities of the whole network grid. Each run is a process of its own, whose peak resident memory above that of the
imported libraries counts. Prints a table and writes benchmarks/results/ensemble.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from child_process import peak_bytes
from machine import machine
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "ensemble.json"


def network(name: str, classes: int, seed: int) -> torch.nn.Module:
    """A network in deployed form with random weights."""
    from rep3d.networks import create_network

    torch.manual_seed(seed)
    return create_network(name, in_channels=1, out_channels=classes, deployed=True).eval()


def child(order: str, members: int, name: str, classes: int, grid: list[int], patch: list[int]) -> None:
    """One run; prints peak memory, seconds and a digest of the labels as JSON."""
    from rep3d.ensemble import MeanProbability
    from rep3d.inference.windows import iterate_slabs

    torch.set_num_threads(1)
    patch = tuple(patch)
    x_CDHW = torch.rand(1, *grid, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        network(name, classes, 0)(torch.zeros(1, 1, *patch))  # libraries, workspaces, the operator's choices
        before, start = peak_bytes(), time.perf_counter()
        labels = torch.zeros(grid, dtype=torch.uint8)
        if order == "window":
            net = MeanProbability([network(name, classes, i) for i in range(members)])
            for row, slab in iterate_slabs(net, x_CDHW, patch, 0.5):
                labels[row : row + slab.shape[1]] = slab.argmax(0)
        else:
            total = torch.zeros(classes, *grid)
            for i in range(members):
                net = network(name, classes, i)
                for row, slab in iterate_slabs(net, x_CDHW, patch, 0.5):
                    total[:, row : row + slab.shape[1]] += slab.softmax(0)
                del net
            labels = total.argmax(0).to(torch.uint8)
    torch.save(labels, Path(__file__).parent / "results" / f".labels-{order}.pt")
    print(json.dumps({"above": peak_bytes() - before, "seconds": time.perf_counter() - start}))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--network", default="rep3d-tiny")
    parser.add_argument("--classes", type=int, default=15)
    parser.add_argument("--grid", default="160,128,128")
    parser.add_argument("--patch", default="64,64,64")
    parser.add_argument("--members", default="1,3,5")
    arguments = parser.parse_args()
    if arguments.child:
        child(**json.loads(arguments.child))
        return
    grid, patch = ([int(v) for v in text.split(",")] for text in (arguments.grid, arguments.patch))
    rows = []
    for members in map(int, arguments.members.split(",")):
        for order in ("window", "scan"):
            what = {"order": order, "members": members, "name": arguments.network, "classes": arguments.classes,
                    "grid": grid, "patch": patch}  # fmt: skip
            command = [sys.executable, __file__, "--child", json.dumps(what)]
            done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
            if done.returncode:
                raise SystemExit(done.stderr)
            rows.append({**what, **json.loads(done.stdout.splitlines()[-1])})
        files = [RESULTS.parent / f".labels-{order}.pt" for order in ("window", "scan")]
        one, other = (torch.load(file, weights_only=True) for file in files)
        rows[-1]["labels_that_differ"] = rows[-2]["labels_that_differ"] = float((one != other).double().mean())
        for file in files:
            file.unlink()
    table = Table("members", "order", "MB above the libraries", "seconds", "labels that differ")
    for row in rows:
        differing = f"{100 * row['labels_that_differ']:.3f} %"
        table.add_row(
            str(row["members"]), row["order"], f"{row['above'] / 1e6:.0f}", f"{row['seconds']:.1f}", differing
        )
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
