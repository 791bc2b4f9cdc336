"""One run of a study: train, score, keep the result. Runs are shared by studies, resumable, and safe to start twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from rep3d.errors import BadInput
from rep3d.files import write_text
from rep3d.tasks import Task
from rep3d.training.config import FREE_ON_RESUME, TrainConfig

RESULT, LOCK = "result.json", "lock.json"


@dataclass(frozen=True)
class Run:
    """A configuration with its folder, ``ROOT/runs/KEY``; the key is a hash of all that decides the result."""

    config: TrainConfig
    folder: Path

    @property
    def result(self) -> dict[str, Any] | None:
        """The finished run's result, or None. A damaged file counts as none: the run is scored again."""
        try:
            return json.loads((self.folder / RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def make_run(root: Path, config: TrainConfig, split: str, overlap: float) -> Run:
    """The run of a configuration, scored on ``split``. Settings at their defaults do not count, so that one that a
    later version adds does not make old results unknown.
    """
    values = config.to_dict()
    plain = TrainConfig(task=config.task, network=config.network, patch=config.patch).to_dict()
    named = ("task", "network", "patch")
    deciding = {k: v for k, v in values.items() if k not in FREE_ON_RESUME and (k in named or v != plain[k])}
    text = json.dumps({"config": deciding, "split": split, "overlap": overlap}, sort_keys=True)
    return Run(config, root / "runs" / hashlib.sha256(text.encode()).hexdigest()[:12])


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Whether this process may work in the folder: True, or False when a living process has it.

    A lock of a process of this machine that has ended is taken over; one of another machine is respected, and can be
    deleted by hand when that machine is known to be gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    mine = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": platform.node()}
    if not _take(lock, mine):
        if not _abandoned(lock):
            yield False
            return
        with contextlib.suppress(OSError):
            lock.unlink()
        if not _take(lock, mine):  # another process was quicker
            yield False
            return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()


def _take(lock: Path, mine: dict[str, Any]) -> bool:
    try:
        with open(lock, "x", encoding="utf-8") as stream:
            json.dump(mine, stream)
    except FileExistsError:
        return False
    return True


def _abandoned(lock: Path) -> bool:
    """Whether the lock's process has ended. One that holds nothing readable is of a process killed as it began."""
    try:
        owner = json.loads(lock.read_text(encoding="utf-8"))
        if owner["host"] != platform.node():
            return False
        return abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) > 1
    except (psutil.NoSuchProcess, FileNotFoundError, ValueError, KeyError, TypeError):
        return True


def finish(run: Run, task: Task, data: Path, cache: Path, *, split: str, overlap: float, console: Console) -> bool:
    """Train to the end and score the run; False when another process is at it. What is done already is kept.

    The optimiser's state is deleted once the result is there. Raises BadInput when the folder holds a run on other
    data; what training raises.
    """
    from rep3d.evaluation.evaluate import evaluate, from_checkpoint
    from rep3d.provenance import provenance
    from rep3d.training.run import run_training

    with claim(run.folder) as free:
        if not free:
            return False
        if run.result is not None:
            return True
        progress = run_training(run.config, task, data, run.folder, cache=cache, console=console)
        checkpoint = run.folder / "best.ckpt"
        subject = from_checkpoint(checkpoint)
        scored = evaluate(
            subject, data, split, fold=run.config.fold, overlap=overlap, device=run.config.device, precision="float32",
            grids=("native",),
        )  # fmt: skip
        if not scored["same_data"]:
            raise BadInput(f"the files in {data} have changed since {run.folder} was trained", "Use another --out.")
        network = subject.network
        content = {
            "format": "rep3d-experiment-run",
            "version": 1,
            "config": run.config.to_dict(),
            "network": network.spec,
            "parameters": sum(p.numel() for p in network.parameters()),
            "best": {"dice": progress.best_dice, "step": progress.best_step},
            "train_seconds": progress.seconds,
            "evaluation": scored,
            "provenance": provenance(data_sha256=scored["data_sha256"]),
        }
        write_text(run.folder / RESULT, json.dumps(content, indent=1, ensure_ascii=False))
        with contextlib.suppress(OSError):
            (run.folder / "last.ckpt").unlink()
    return True
