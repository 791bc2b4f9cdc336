"""Peak memory of training steps by network, patch, crops and classes, and the model that the planner estimates with.

    python benchmarks/training_memory.py              every case below, and the fit (about 20 minutes on one thread)
    python benchmarks/training_memory.py --only rep3d-xs --patch 48,48,48 --crops 1 --classes 3      one case, printed

Every case runs in a process of its own: network, AdamW, Dice + cross-entropy and two steps in float32 on random crops,
the parts that `rep3d train` uses. Peak resident memory is taken before the network is made (interpreter, libraries,
PyTorch's own buffers) and at the end; the difference counts. A step in another process comes first, in which the
operator compares its algorithms; ``first_bytes`` is the peak of that one. For every network

    bytes = fixed + crops x voxels of the patch x (per_voxel + per_voxel_class x classes)

is fitted by non-negative least squares on relative errors; ``covers`` is the smallest factor with which no fitted case
lies above the estimate. The last case of every network is left out of its fit. Prints a table and writes
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
from machine import machine
from memory import peak_bytes

RESULTS = Path(__file__).parent / "results" / "training_memory.json"
#: network -> (patch, crops, classes incl. background) of every case; the last of each is left out of the fit.
CASES: dict[str, list[tuple[tuple[int, int, int], int, int]]] = {
    "rep3d-tiny": [
        ((32, 32, 32), 1, 2), ((48, 48, 48), 1, 16), ((48, 48, 48), 2, 4), ((64, 64, 64), 1, 2), ((64, 64, 48), 2, 8),
    ],
    "rep3d-xs": [
        ((32, 32, 32), 1, 2), ((48, 48, 48), 1, 2), ((48, 48, 48), 1, 16), ((64, 64, 64), 2, 4), ((80, 80, 64), 1, 4),
    ],
    "rep3d-s": [
        ((32, 32, 32), 1, 2), ((48, 48, 48), 1, 16), ((48, 48, 48), 2, 4), ((64, 64, 64), 1, 2), ((64, 64, 48), 2, 8),
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
    """Non-negative ``fixed``, ``per_voxel`` and ``per_voxel_class`` (bytes) of one network, and ``covers``."""
    from scipy.optimize import nnls

    voxels = np.array([math.prod(row["patch"]) * row["crops"] for row in rows], float)
    classes = np.array([row["classes"] for row in rows], float)
    used = np.array([row["bytes"] for row in rows], float)
    columns = np.stack([np.ones_like(voxels), voxels, voxels * classes], axis=1) / used[:, None]
    scale = columns.max(0)  # columns of one size, else the solver's tolerance hides the small one
    found = nnls(columns / scale, np.ones(len(rows)))[0] / scale
    ratio = 1 / (columns @ found)
    return {
        "fixed": round(float(found[0])),
        "per_voxel": round(float(found[1]), 1),
        "per_voxel_class": round(float(found[2]), 2),
        "covers": round(float(max(1.0, ratio.max())) + 0.005, 2),
        "worst_relative_error": round(float(np.abs(1 - 1 / ratio).max()), 3),
    }


def estimate(model: dict, row: dict) -> float:
    """Bytes that the model gives for a measured case, ``covers`` included."""
    per_voxel = model["per_voxel"] + model["per_voxel_class"] * row["classes"]
    return model["covers"] * (model["fixed"] + math.prod(row["patch"]) * row["crops"] * per_voxel)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--only", help="one network")
    parser.add_argument("--patch", type=lambda t: tuple(int(v) for v in t.split(",")))
    parser.add_argument("--crops", type=int, default=1)
    parser.add_argument("--classes", type=int, default=2)
    options = parser.parse_args()
    if options.child:
        child(**json.loads(options.child))
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
        models[network] = fit(mine[:-1])
        error = estimate(models[network], mine[-1]) / mine[-1]["bytes"] - 1
        models[network]["left_out_error"] = round(error, 3)
        print(network, models[network], flush=True)
        rows += mine
    if not options.only:
        content = {"format": "rep3d-training-memory", "version": 1, "machine": about, "models": models, "cases": rows}
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
