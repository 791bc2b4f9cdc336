"""From a folder of scans to a trained network: find and split the cases, cache them, check the run folder, train."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rich.console import Console

from rep3d.data.cache import Cache, load_samples
from rep3d.data.dataset import find_dataset, write_data_list
from rep3d.errors import OutputFailed
from rep3d.tasks import Task
from rep3d.training.checkpoint import BEST, LAST
from rep3d.training.config import TrainConfig
from rep3d.training.loop import Progress, train

#: What a run writes into its folder, and all that --restart deletes.
RUN_FILES = (LAST, BEST, "log.jsonl", "metrics.csv", "data.json", "config.json", "tb")


def run_training(
    config: TrainConfig,
    task: Task,
    data: Path,
    run: Path,
    *,
    cache: Path | None = None,
    restart: bool = False,
    console: Console | None = None,
) -> Progress:
    """Prepare ``data`` for ``task`` and train in ``run``. Test cases are listed, never loaded.

    Raises BadInput (data, configuration, foreign checkpoint) and OutputFailed (folders that cannot be written).
    """
    console = console or Console()
    try:
        run.mkdir(parents=True, exist_ok=True)
        if restart:
            for name in RUN_FILES:
                target = run / name
                shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot write the run folder {run}: {error.strerror}", "choose another --out") from error
    dataset = find_dataset(data, task, config.fold)
    if dataset.unpaired:
        shown = ", ".join(dataset.unpaired[:5]) + (" ..." if len(dataset.unpaired) > 5 else "")
        console.print(f"{len(dataset.unpaired)} files without a partner are left out: {shown}", markup=False)
    store = Cache(cache or run / "cache", task)
    hashes = {path: store.hashes.of(path) for case in dataset.cases for path in (case.image, case.label)}
    store.hashes.save()
    digest = write_data_list(dataset, task.key, run / "data.json", hashes)
    counts = ", ".join(f"{len(dataset.of(s))} {s}" for s in ("train", "val", "test"))
    console.print(f"{task.key}: {counts}; data list {digest[:12]}", markup=False, highlight=False)
    _write_config(config, run / "config.json")
    samples = {split: load_samples(dataset.of(split), store) for split in ("train", "val")}
    return train(config, task, samples["train"], samples["val"], run, data_sha256=digest, console=console)


def _write_config(config: TrainConfig, path: Path) -> None:
    import json

    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8", newline="\n") as f:
        json.dump(config.to_dict(), f, indent=1)
    os.replace(temporary, path)
