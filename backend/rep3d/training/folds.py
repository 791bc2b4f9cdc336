"""Cross-validation in one command: one run a fold, one after the other, and a table of their validation scores."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from rep3d.data.dataset import find_dataset
from rep3d.errors import BadInput
from rep3d.files import write_text
from rep3d.tasks import Task
from rep3d.training.checkpoint import BEST, load_checkpoint
from rep3d.training.config import TrainConfig
from rep3d.training.ranks import is_first_process
from rep3d.training.run import run_training

SUMMARY = "folds.json"


def parse_folds(text: str, data: Path, task: Task) -> list[int]:
    """ "all" or "0,2" as fold numbers, sorted. Raises BadInput when the data have no folds, or not these."""
    policy = find_dataset(data, task).policy
    count = int(policy.get("folds", 1))  # an own split file (`rep3d prepare --splits`) may have folds too
    if count < 2:
        raise BadInput(f"--folds does not apply: the cases in {data} have one split", "leave --folds out")
    if text == "all":
        return list(range(count))
    try:
        folds = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise BadInput(f"--folds {text!r} is neither all nor a list of numbers", "write it as 0,2") from None
    if wrong := [fold for fold in folds if not 0 <= fold < count]:
        raise BadInput(f"--folds {text}: there is no fold {wrong[0]}", f"there are 0 to {count - 1}")
    return folds


def train_folds(
    config: TrainConfig,
    task: Task,
    data: Path,
    out: Path,
    folds: Sequence[int],
    *,
    init: Path | None = None,
    cache: Path | None = None,
    restart: bool = False,
    console: Console | None = None,
) -> dict:
    """Train every fold in ``out/fold-N``, with one cache, and write ``out/folds.json`` and ``out/folds.txt``.

    Started again, it continues at the fold where it was stopped. Returns the content of folds.json. Raises what
    `run_training` raises.
    """
    console = console or Console(quiet=not is_first_process())
    shared = cache or find_dataset(data, task).cache or out / "cache"
    for number, fold in enumerate(folds, 1):
        console.print(f"fold {fold} ({number} of {len(folds)})", markup=False, highlight=False)
        run = out / f"fold-{fold}"
        run_training(replace(config, fold=fold), task, data, run, init=init, cache=shared, restart=restart)
    content = summarise(out, folds, task)
    if is_first_process():
        write_text(out / SUMMARY, json.dumps(content, indent=1, ensure_ascii=False))
        write_text(out / "folds.txt", as_text(content))
    console.print(as_text(content), markup=False, highlight=False, soft_wrap=True, end="")
    return content


def summarise(out: Path, folds: Sequence[int], task: Task) -> dict:
    """Validation Dice of the best step of every fold, as in folds.json.

    For the mean and for each structure: mean and standard deviation (n - 1) over folds of the fold's mean, and over all
    validation cases of all folds. A structure that is in neither prediction nor truth of a case does not count there.
    """
    keys = [label.key for label in task.labels]
    rows, scores = [], {key: [] for key in keys}
    for fold in folds:
        saved = load_checkpoint(out / f"fold-{fold}" / BEST)
        cases = {name: dict(zip(keys, row, strict=True)) for name, row in saved["best_cases"].items()}
        for row in cases.values():
            for key in keys:
                scores[key] += [] if row[key] is None else [row[key]]
        per_class = {key: _mean([row[key] for row in cases.values() if row[key] is not None]) for key in keys}
        rows.append(
            {
                "fold": fold,
                "best_step": saved["best"]["step"],
                "dice": _number(saved["best"]["dice"]),
                "per_class": per_class,
                "cases": cases,
            }
        )
    structures = {
        key: {"folds": _spread([row["per_class"][key] for row in rows]), "cases": _spread(scores[key])} for key in keys
    }
    return {
        "format": "rep3d-folds",
        "version": 1,
        "task": task.key,
        "split": "val",
        "grid": "network",
        "metric": "dice",
        "mean": _spread([row["dice"] for row in rows]),
        "structures": structures,
        "folds": rows,
    }


def as_text(content: dict) -> str:
    """The table of folds.txt: a line a structure and one for the mean; SD over folds, SD over cases."""
    width = max(len(key) for key in [*content["structures"], "structure"])
    shown = ", ".join(str(row["fold"]) for row in content["folds"])
    lines = [
        f"{content['task']}: validation Dice at each fold's best step, on the network's grid (folds {shown})",
        f"{'structure':<{width}}  mean over folds (SD)   mean over cases (SD), cases",
    ]
    for key, spread in content["structures"].items():
        folds, cases = spread["folds"], spread["cases"]
        lines.append(f"{key:<{width}}  {_shown(folds):<21}  {_shown(cases)}, {cases['count']}")
    lines.append(f"{'mean':<{width}}  {_shown(content['mean'])}")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float | None]) -> dict:
    known = [v for v in values if v is not None]
    sd = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {"mean": _mean(known), "sd": sd, "count": len(known)}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(spread: dict) -> str:
    if spread["mean"] is None:
        return "-"
    return f"{spread['mean']:.4f}" + ("" if spread["sd"] is None else f" ({spread['sd']:.4f})")
