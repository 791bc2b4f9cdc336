"""What a demo shows: the scan (yours or a generated one), the truth where it is known, the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rep3d.data.reading import read_labelmap, read_volume
from rep3d.data.volume import Volume, same_grid
from rep3d.errors import BadInput, WeightsMissing
from rep3d.phantom.options import DEMO_OPTIONS

if TYPE_CHECKING:
    from rep3d.tasks import Label
    from rep3d.weights import Weights

#: Tasks whose labels are those of the generated abdomen.
PHANTOM_TASKS = ("phantom-abdomen", "amos-ct")


@dataclass(frozen=True)
class DemoInput:
    """The scan on its own grid, its truth on the same grid or None, and a sentence about where it comes from."""

    scan: Volume
    truth: Volume | None
    name: str
    description: str
    generated: bool


def choose_weights(scan: Path | None, task: str, weights: Path | None) -> Weights:
    """The weights to show, from ``--weights``, ``--task`` or (without a scan) those of the generated abdomen.

    Raises:
        BadInput: a scan without task, a task that does not fit the generated scan, weights of another task.
        WeightsMissing, WeightsInvalid: see `rep3d.weights`.
    """
    from rep3d.tasks import load_task
    from rep3d.weights import find_weights, load_weights

    if weights is not None:
        loaded = load_weights(weights)
        if task and load_task(task).key != loaded.meta.task.key:
            raise BadInput(
                f"{weights} was trained for {loaded.meta.task.key}, not for --task {task}", "Leave out --task."
            )
    elif task or scan is None:
        key = load_task(task or PHANTOM_TASKS[0]).key
        try:
            loaded = load_weights(find_weights(key))
        except WeightsMissing as error:
            raise WeightsMissing(str(error), f"{error.hint} {_installed()}") from error
    else:
        raise BadInput("a scan needs a task: what should be looked for?", f"Give --task. {_installed()}")
    if scan is None and loaded.meta.task.key not in PHANTOM_TASKS:
        raise BadInput(
            f"the generated scan is an abdominal CT, on which task {loaded.meta.task.key!r} makes no sense",
            "Give a scan with --scan.",
        )
    return loaded


def _installed() -> str:
    from rep3d.tasks import list_tasks
    from rep3d.weights import list_weights

    stems = {path.stem for path in list_weights()}
    known = [f"{t.key} ({t.title})" for t in list_tasks() if t.key in stems]
    return f"Tasks with installed weights: {', '.join(known)}." if known else "No weights are installed yet."


def generate_input(folder: Path, seed: int) -> DemoInput:
    """Make the abdominal CT and its truth in ``folder`` (scan.nii.gz, truth.nii.gz)."""
    from rep3d.phantom import generate
    from rep3d.phantom.files import write_phantom

    made = generate(seed, DEMO_OPTIONS)
    scan, truth = folder / "scan.nii.gz", folder / "truth.nii.gz"
    write_phantom(made, scan, truth)
    description = f"a generated abdominal CT (rep3d phantom, seed {seed}); no patient is behind it"
    # The folder is renamed when it is complete, so the files are known by their names alone.
    return DemoInput(
        replace(read_volume(scan), path=Path(scan.name)),
        replace(read_labelmap(truth), path=Path(truth.name)),
        "scan",
        description,
        True,
    )


def read_input(scan: Path, truth: Path | None, structures: tuple[Label, ...]) -> DemoInput:
    """Read a scan of one's own and, if given, its truth, in which the segments are named as ``structures``.

    Raises:
        BadInput: unreadable, or the truth is not on the scan's grid.
    """
    from rep3d.inference.batch import stem_of

    volume = read_volume(scan)
    labels = None
    if truth is not None:
        labels = read_labelmap(truth, structures)
        if not same_grid(labels, volume):
            raise BadInput(f"{truth} is not on the grid of {scan}", "Give the label map that belongs to this scan.")
    return DemoInput(volume, labels, stem_of(scan), f"the scan {scan.name}", False)


def dice_scores(labelmap: np.ndarray, truth: Volume, num_classes: int) -> list[float]:
    """Dice of every class; BadInput when the truth holds labels that the task does not know."""
    from rep3d.evaluation.metrics import dice_per_class

    if int(truth.array.max()) >= num_classes:
        raise BadInput(
            f"{truth.path}: label {int(truth.array.max())} is not one of the task's 1 to {num_classes - 1}",
            "Is this the truth for another task?",
        )
    return dice_per_class(labelmap, truth.array, num_classes)
