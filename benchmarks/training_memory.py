"""Peak memory of training steps by network, patch, crops and classes, and the model that the planner estimates with.

    python benchmarks/training_memory.py              every case below, and the fit (about 20 minutes on one thread)
    python benchmarks/training_memory.py --refit      the fit alone, of the cases that are stored
    python benchmarks/training_memory.py --only rep3d-xs --patch 48,48,48 --crops 1 --classes 3      one case, printed

Every case runs in a process of its own: network, AdamW, Dice + cross-entropy and two steps in float32 on random crops,
the parts that `rep3d train` uses. Peak resident memory is taken before the network is made (interpreter, libraries,
PyTorch's own buffers) and at the end; the difference counts. A step in another process comes first, in which the
operator compares its algorithms; ``first_bytes`` is the peak of that one.

The peak is either at the start of the backward pass, when all activations exist but no gradient, or at the end of the
step, when it is the other way round, so that for every network

    bytes = max(end, start + crops x voxels of the patch x (per_voxel + per_voxel_class x classes))

``start`` is 12 bytes a parameter (weights and AdamW's two moments), ``end`` the peak of the smallest case, and the last
two come from non-negative least squares on relative errors over the other cases but the last, which is left out of the
fit. ``covers`` is the smallest factor with which no fitted case lies above the estimate. Prints a table and writes
benchmarks/results/training_memory.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from child_process import peak_bytes
from machine import machine

RESULTS = Path(__file__).parent / "results" / "training_memory.json"
#: network -> (patch, crops, classes incl. background) of every case; the last of each is left out of the fit.
CASES: dict[str, list[tuple[tuple[int, int, int], int, int]]] = {
    "rep3d-tiny": [
        ((32, 32, 32), 1, 2), ((48, 48, 48), 1, 16), ((48, 48, 48), 2, 4), ((64, 64, 64), 1, 2), ((64, 64, 48), 2, 8),
    ],
    "rep3d-xs": [
        ((32, 32, 32), 1, 2), ((48, 48, 48), 1, 2), ((48, 48, 48), 1, 16), ((64, 64, 64), 2, 4), ((80, 80, 64), 1, 4),
        ((96, 96, 96), 1, 4),
    ],
    "rep3d-s": [
        ((32, 32, 32), 1, 2), ((48, 48, 48), 1, 16), ((48, 48, 48), 2, 4), ((64, 64, 64), 1, 2), ((64, 64, 48), 2, 8),
        ((96, 96, 96), 1, 4),
    ],
    "rep3d": [
        ((32, 32, 32), 1, 2), ((48, 48, 48), 1, 2), ((48, 48, 48), 1, 16), ((64, 64, 48), 1, 4), ((48, 48, 48), 2, 8),
    ],
}  # fmt: skip


def child(network: str, patch: list[int], crops: int, classes: int, steps: int) -> None:
    """Train ``steps`` steps on random crops; print peak memory before and after in bytes as JSON."""
    import torch
    from rep3d.networks import create_network
    from rep3d.training.config import TrainConfig
    from rep3d.training.optim import make_loss
    from rep3d.training.optimizer import make_optimizer

    torch.set_num_threads(1)
    config = TrainConfig(task="t", network=network, patch=tuple(patch))
    loss_of = make_loss(config.loss)
    warm = create_network("rep3d-tiny")  # what libraries load at the first use belongs to none of the cases
    loss_of(warm(torch.zeros(1, 1, 32, 32, 32)), torch.zeros(1, 1, 32, 32, 32)).backward()
    del warm
    before, start = peak_bytes(), time.perf_counter()
    torch.manual_seed(0)
    net = create_network(network, in_channels=1, out_channels=classes)
    optimizer = make_optimizer(net, config)
    for _ in range(steps):
        image, label = torch.rand(crops, 1, *patch), torch.randint(0, classes, (crops, 1, *patch), dtype=torch.uint8)
        loss = loss_of(net(image), label)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), config.clip_grad)
        optimizer.step()
    parameters = sum(p.numel() for p in net.parameters())
    seconds = time.perf_counter() - start
    print(json.dumps({"before": before, "after": peak_bytes(), "parameters": parameters, "seconds": seconds}))


def measure(network: str, patch: tuple[int, int, int], crops: int, classes: int) -> dict:
    """One case in a process of its own: its settings, parameters, seconds and ``bytes`` above the libraries."""
    case = {"network": network, "patch": list(patch), "crops": crops, "classes": classes}
    got = []
    with tempfile.TemporaryDirectory() as empty:  # the operator knows nothing of this machine yet
        for steps in (1, 2):  # the optimiser's state exists from the second step on
            command = [sys.executable, __file__, "--child", json.dumps({**case, "steps": steps})]
            environment = {**os.environ, "REP3D_CACHE_DIR": empty}
            done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)
            if done.returncode:
                raise RuntimeError(done.stderr)
            got.append(json.loads(done.stdout.splitlines()[-1]))
    first, second = got
    return {
        **case,
        "parameters": second["parameters"],
        "bytes": second["after"] - second["before"],
        "first_bytes": first["after"] - first["before"],
        "libraries_bytes": second["before"],
        "seconds": round(second["seconds"], 1),
    }


def fit(rows: list[dict]) -> dict:
    """The model of one network (bytes), from its cases, smallest first; the last is left out and compared."""
    from scipy.optimize import nnls

    *known, left_out = rows
    start, end = 12 * rows[0]["parameters"], rows[0]["bytes"]
    voxels = np.array([math.prod(row["patch"]) * row["crops"] for row in known[1:]], float)
    classes = np.array([row["classes"] for row in known[1:]], float)
    used = np.array([row["bytes"] for row in known[1:]], float)
    columns = np.stack([voxels, voxels * classes], axis=1) / used[:, None]
    scale = columns.max(0)  # columns of one size, else the solver's tolerance hides the small one
    found = nnls(columns / scale, 1 - start / used)[0] / scale
    model = {
        "end": end,
        "start": start,
        "per_voxel": round(float(found[0]), 1),
        "per_voxel_class": round(float(found[1]), 2),
        "covers": 1.0,
    }
    model["covers"] = math.ceil(100 * max(1.0, *(row["bytes"] / estimate(model, row) for row in known))) / 100
    model["left_out_error"] = round(estimate(model, left_out) / left_out["bytes"] - 1, 3)
    return model


def estimate(model: dict, row: dict) -> float:
    """Bytes that the model gives for a case, ``covers`` included."""
    per_voxel = model["per_voxel"] + model["per_voxel_class"] * row["classes"]
    growing = model["start"] + math.prod(row["patch"]) * row["crops"] * per_voxel
    return model["covers"] * max(model["end"], growing)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--only", help="one network")
    parser.add_argument("--refit", action="store_true", help="fit the stored cases again, measure nothing")
    parser.add_argument("--patch", type=lambda t: tuple(int(v) for v in t.split(",")))
    parser.add_argument("--crops", type=int, default=1)
    parser.add_argument("--classes", type=int, default=2)
    options = parser.parse_args()
    if options.child:
        child(**json.loads(options.child))
        return 0
    if options.refit:
        content = json.loads(RESULTS.read_text(encoding="utf-8"))
        for network in content["models"]:
            content["models"][network] = fit([row for row in content["cases"] if row["network"] == network])
            print(network, content["models"][network])
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")
        return 0
    if options.patch:
        print(json.dumps(measure(options.only or "rep3d-xs", options.patch, options.crops, options.classes), indent=1))
        return 0
    about, rows, models = machine(), [], {}
    for network in [options.only] if options.only else CASES:
        mine = []
        for case in CASES[network]:
            mine.append(measure(network, *case))
            row = mine[-1]
            megabytes = f"{row['bytes'] / 1e6:6.0f} MB, first step {row['first_bytes'] / 1e6:6.0f} MB"
            print(f"{network:11s} {case[0]!s:14s} {case[1]} crops {case[2]:2d} classes {megabytes}", flush=True)
        models[network] = fit(mine)
        print(network, models[network], flush=True)
        rows += mine
    if not options.only:
        content = {"format": "rep3d-training-memory", "version": 1, "machine": about, "models": models, "cases": rows}
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
