"""Go through a study's runs, seed by seed, so that an interrupted study has all variants at the same seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rep3d.experiments.recipes import Recipe, config_of
from rep3d.experiments.runs import Run, finish, make_run
from rep3d.experiments.studies import Study, Variant
from rep3d.tasks import Task


@dataclass(frozen=True)
class Setting:
    """What a study is run on; ``fold`` is that of a task with a k-fold split."""

    task: Task
    data: Path
    root: Path
    recipe: Recipe
    seeds: tuple[int, ...]
    split: str = "test"
    fold: int = 0
    device: str = "auto"


def planned(study: Study, setting: Setting, variants: Sequence[str] = ()) -> list[tuple[Variant, int, Run]]:
    """(variant, seed, run) of all or the named variants, seed by seed. Raises BadInput for an unknown variant."""
    chosen = [study.variant(key) for key in variants] or list(study.variants)
    made = []
    for seed in setting.seeds:
        for variant in chosen:
            config = config_of(variant, setting.recipe, setting.task, seed, fold=setting.fold, device=setting.device)
            made.append((variant, seed, make_run(setting.root, config, setting.split, setting.recipe.overlap)))
    return made


def execute(study: Study, setting: Setting, console: Console, variants: Sequence[str] = ()) -> int:
    """Finish every run that is not; the number that other processes are at.

    The same command started twice, also at the same time, shares the work. Raises BadInput, and what training raises:
    a run that diverges ends the study with its own error, and the others can be run with ``variants``.
    """
    runs = planned(study, setting, variants)
    elsewhere = 0
    for number, (variant, seed, run) in enumerate(runs, 1):
        name = f"[{number}/{len(runs)}] {study.name}: {variant.key}, seed {seed}"
        if run.result is not None:
            console.print(f"{name}: done", markup=False, highlight=False)
            continue
        console.print(f"{name} ({run.folder.name})", markup=False, highlight=False)
        start = time.monotonic()
        done = finish(
            run, setting.task, setting.data, setting.root / "cache" / setting.task.key,
            split=setting.split, overlap=setting.recipe.overlap, console=console,
        )  # fmt: skip
        if not done:
            console.print(f"{name}: another process is at it", markup=False, highlight=False)
            elsewhere += 1
            continue
        dice = run.result["evaluation"]["summary"]["native"]["mean"]
        shown = "none" if dice is None else f"{dice:.4f}"
        seconds = time.monotonic() - start
        console.print(f"{name}: Dice {shown} in {seconds:.0f} s", markup=False, highlight=False)
    return elsewhere
