"""How long a person waits before anything happens: the command line, Slicer's import of the extension, the worker.

    python benchmarks/startup.py [--quick] [--runs 5] [--out benchmarks/results/startup.json]

Every command is a new process. They take turns and the smallest time of each counts, which is that of a machine with
the files in its cache (warm); the first turn is kept too ("first_s": cold if nothing of it had been read since the
machine started, and never colder than this benchmark's own import of torch). The worker segments a generated scan of
one window with the shipped weights: once at once after `hello`, again, and in another worker after a pause in which it
gets ready by itself. The operator's choices have been measured before, in a warm-up that does not count.

Limits on two cores: `rep3d --help` 0.5 s, the MRML layer 0.2 s beyond slicer, vtk and numpy, the worker 6 s from its
start until it segments. `benchmarks/editor_click.py` measures the click itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from machine import load_average, machine
from record import print_ratios, print_rows, write_record
from rep3d.worker import folder, protocol

ROOT = Path(__file__).resolve().parents[1]
TASK = "msd-hippocampus"
HELP_S, LAYER_S, WORKER_S = 0.5, 0.2, 6.0  # limits
PAUSE_S = 3.0  # longer than the worker takes to get ready after `hello`
LAYER = """
import sys, time, pkgutil, importlib
import numpy, vtk, slicer, vtk.util.numpy_support
sys.path[:0] = {paths!r}
start = time.perf_counter()
import Rep3DSegmentationLib
for module in pkgutil.walk_packages(Rep3DSegmentationLib.__path__, "Rep3DSegmentationLib."):
    importlib.import_module(module.name)
print(time.perf_counter() - start)
"""


class Worker:
    """A worker process; ``started`` is the time before it was started."""

    def __init__(self, environment: dict[str, str]):
        self.folder = folder.make_private_folder()
        command = [sys.executable, "-m", "rep3d.worker", "--folder", str(self.folder), "--parent", str(os.getpid())]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )

    def ask(self, method: str, params: dict[str, Any] | None = None) -> tuple[dict[str, Any], float]:
        """The result and the seconds that it took. Raises RuntimeError for an error."""
        start = time.perf_counter()
        self.process.stdin.write(protocol.request(1, method, params))
        self.process.stdin.flush()
        while True:
            reply = protocol.read_reply(self.process.stdout.readline())
            if "error" in reply:
                raise RuntimeError(f"{method}: {reply['error']['message']}")
            if "result" in reply:
                return reply["result"], time.perf_counter() - start

    def segment(self) -> tuple[dict[str, Any], float]:
        """Segment the scan: one window of the network."""
        volume = {"array": "scan.npy", "affine": np.eye(4).tolist(), "name": "scan"}
        if not (self.folder / "scan.npy").exists():
            noise = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
            np.save(self.folder / "scan.npy", np.asfortranarray(noise.cumsum(0)))
        return self.ask("segment", {"volume": volume, "task": TASK, "device": "cpu"})

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait(30)


def command(arguments: list[str], environment: dict[str, str]) -> Callable[[], dict[str, float]]:
    """Seconds from the start of a process to its end."""

    def run() -> dict[str, float]:
        start = time.perf_counter()
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        return {"": time.perf_counter() - start}

    return run


def layer() -> dict[str, float]:
    """Seconds of importing every module of the extension's MRML layer where slicer, vtk and numpy are there."""
    code = LAYER.format(paths=[str(ROOT / "Rep3DSegmentation")])
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {"": float(done.stdout.splitlines()[-1])}


def worker_at_once(environment: dict[str, str]) -> dict[str, float]:
    """`hello`, two segmentations; ``ready``: until the first has ended, less what the second took."""
    worker = Worker(environment)
    try:
        worker.ask("hello")
        hello = time.perf_counter() - worker.started
        result, first = worker.segment()
        ended = time.perf_counter() - worker.started
        again, second = worker.segment()
        assert not result["cached"] and again["cached"]
        return {
            "hello": hello,
            "ready to segment": ended - second,
            "first segment": first,
            "of it loading the model": result["timings_s"]["load"],
            "second segment": second,
        }
    finally:
        worker.close()


def worker_after_a_pause(environment: dict[str, str]) -> dict[str, float]:
    """The first segmentation where the person has looked at the scan for a moment."""
    worker = Worker(environment)
    try:
        worker.ask("hello")
        time.sleep(PAUSE_S)
        return {"first segment after a pause": worker.segment()[1]}
    finally:
        worker.close()


def measure(runs: int) -> list[dict[str, Any]]:
    """One row a contestant and part: ``best_s`` of all runs, ``first_s``."""
    python = sys.executable
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "REP3D_CACHE_DIR": cache}
        rep3d = [python, "-c", "from rep3d.cli import main; main()"]
        contestants: dict[str, Callable[[], dict[str, float]]] = {
            "python -c pass": command([python, "-c", "pass"], environment),
            "import torch": command([python, "-c", "import torch"], environment),
            "import monai": command([python, "-c", "import monai"], environment),
            "rep3d --help": command([*rep3d, "--help"], environment),
            "rep3d tasks": command([*rep3d, "tasks"], environment),
            "worker": lambda: worker_at_once(environment),
            "worker ": lambda: worker_after_a_pause(environment),
        }
        if find_spec("slicer") and find_spec("vtk"):
            contestants["MRML layer"] = layer
        else:
            print("slicer-core is not installed: the MRML layer is left out (pip install -e 'backend[slicer]')")
        worker_at_once(environment)  # the operator's choices
        for turn in range(runs):
            for name, run in contestants.items():
                for part, seconds in run().items():
                    row = rows.setdefault(f"{name.strip()}: {part}" if part else name, {"first_s": seconds})
                    row["best_s"] = min(row.get("best_s", seconds), seconds)
            print(f"turn {turn + 1} of {runs}, load {load_average()}", flush=True)
    return [{"what": name, "runs": runs, **row} for name, row in rows.items()]


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two turns")
    parser.add_argument("--runs", type=int, help="turns (5)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "startup.json")
    options = parser.parse_args()
    about = machine()
    rows = measure(options.runs or (2 if options.quick else 5))
    best = {row["what"]: row["best_s"] for row in rows}
    ratios = {
        f"{HELP_S} s limit over rep3d --help": HELP_S / best["rep3d --help"],
        f"{WORKER_S:g} s limit over the worker's start until it segments": WORKER_S / best["worker: ready to segment"],
        "import torch over rep3d --help": best["import torch"] / best["rep3d --help"],
        "import torch over rep3d tasks": best["import torch"] / best["rep3d tasks"],
        "import torch and monai over the worker's hello": (best["import torch"] + best["import monai"])
        / best["worker: hello"],
    }
    if "MRML layer" in best:
        ratios[f"{LAYER_S} s limit over importing the MRML layer"] = LAYER_S / best["MRML layer"]
    print_rows("Start-up", rows, {"what": "what", "smallest s": "best_s", "first s": "first_s", "runs": "runs"})
    print_ratios(ratios)
    print("benchmarks/editor_click.py measures a click in the editor.")
    write_record(options.out, about, rows, ratios)
    print(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
