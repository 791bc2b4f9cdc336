"""Score a network on one split of a data folder: every metric by case and class, on the scan's own and network grid."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rep3d.data.dataset import Case, data_list, find_dataset
from rep3d.errors import BadInput
from rep3d.evaluation.partial import Partial
from rep3d.evaluation.postprocess import PostProcess
from rep3d.evaluation.results import FORMAT, VERSION
from rep3d.evaluation.rows import DEFINITIONS, summarise
from rep3d.evaluation.scoring import Measure, score_case
from rep3d.evaluation.subject import Subject, from_checkpoint, from_weights
from rep3d.evaluation.tolerance import tolerances
from rep3d.files import sha256_file, write_text
from rep3d.inference.options import InferenceOptions
from rep3d.provenance import code_sha256, provenance
from rep3d.tasks import Task

__all__ = ["GRIDS", "Subject", "evaluate", "from_checkpoint", "from_weights"]
GRIDS = ("native", "network")


def evaluate(
    subject: Subject,
    data: Path,
    split: str = "test",
    *,
    fold: int = 0,
    overlap: float = 0.5,
    tta: bool = False,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "torch",
    remove_islands: bool | None = None,
    limit: int = 0,
    progress: Callable[[int, int, dict], None] | None = None,
    tolerance: float | str | Mapping[str, float] | None = None,
    rules: PostProcess | None = None,
    grids: tuple[str, ...] = GRIDS,
    output: Path | None = None,
    notice: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Segment every case of the split as `rep3d segment` does and compare with its label map.

    Args:
        overlap, tta, device, precision, engine: see :class:`rep3d.inference.options.InferenceOptions`; they mean what
            they mean for `rep3d segment`, whose engine is "auto" unless it is told another.
        remove_islands: the same; None: as the weights say.
        limit: only the first cases; 0: all. progress: called with (done, all, row) after each case.
        tolerance: of the NSD in mm, see :func:`rep3d.evaluation.tolerance.tolerances`.
        rules: also score with this post-processing, as grid "postprocessed".
        grids: "native" always; leaving "network" out saves a second segmentation of each case.
        output: write the result there; killed and called again, the cases that were done are not done again if
            their files, the network, the settings and the code are the same. notice: called when they are not.

    Returns:
        The content of a result file (docs/evaluation.md). ``same_data``: whether the data list is that of the
        training, so that the split is known to be the training's own.

    Raises:
        BadInput: data that do not fit; rules of another task, or that were learned on these test cases.
    """
    inference = InferenceOptions(
        overlap,
        tta,
        device,
        precision,
        engine,
        remove_islands=subject.remove_islands if remove_islands is None else remove_islands,
    ).resolved()
    task = subject.task
    dataset = find_dataset(data, task, fold)
    if limit < 0:
        raise BadInput(f"--limit must not be negative, got {limit}")
    if "native" not in grids or set(grids) - set(GRIDS):
        raise ValueError(f"grids must hold native and may hold network, got {grids}")
    available = dataset.of(split)
    chosen = available[: limit or None]
    if not chosen:
        raise BadInput(f"{data} has no case for {split!r}", "choose train, val or test")
    tolerance_mm, choice = tolerances(tolerance, task)
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    digest = data_list(dataset, task.key, hashes)[1]
    learned_here = check_rules(rules, task, split, [hashes[case.image] for case in chosen])
    measure = Measure(tolerance_mm, grids, rules)
    settings = make_settings(inference.to_dict(), measure, choice)
    partial = Partial(output, {"subject": subject.identity, "settings": settings, "code": code_sha256()})
    if partial.left and notice:
        notice(f"starting anew: {partial.left}")
    rows: list[dict] = []
    for i, case in enumerate(chosen):
        files = case_hashes(case, hashes)
        row = partial.get(case.id, **files)
        if row is None:
            row = score_case(subject, case, inference, measure, files)
            partial.add(row)
        rows.append(row)
        if progress:
            progress(i + 1, len(chosen), row)
    record = {
        **header(subject.name, subject.identity, task),
        "split": split,
        "fold": fold,
        "split_cases": len(available),
        "data_sha256": digest,
        "same_data": digest == subject.data_sha256 or _held_out_of_all(subject, data, split, chosen, hashes),
        "settings": settings,
        "postprocess": None if rules is None else {**rules.describe(), "learned_on_these_cases": learned_here},
        "summary": summarise(rows),
        "cases": rows,
        "inputs": {
            "data": str(Path(data).resolve()),
            "subject": str(subject.path.resolve()) if subject.path else None,
            "postprocess": str(rules.path.resolve()) if rules and rules.path else None,
        },
        "provenance": provenance(
            subject=subject.identity.get("sha256"), data=digest, postprocess=rules.sha256 if rules else None
        ),
    }
    if output is not None:
        write_result(output, record)
    partial.done()
    return record


def header(name: str, identity: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The first entries of every result file."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "subject": dict(identity),
        "task": task.key,
        "labels": [{"value": label.value, "key": label.key, "name": label.name} for label in task.labels],
    }


def make_settings(inference: Mapping[str, Any], measure: Measure, choice: str) -> dict[str, Any]:
    """How a result was made; the same settings, files and code give the same rows."""
    return {
        **inference,
        "grids": list(measure.grids),
        "tolerance_mm": dict(measure.tolerance_mm),
        "tolerance_choice": choice,
        "postprocess_sha256": measure.rules.sha256 if measure.rules else None,
        "definitions": DEFINITIONS,
    }


def _held_out_of_all(subject: Subject, data: Path, split: str, chosen: list[Case], hashes: Mapping[Path, str]) -> bool:
    """Whether these are the data of every member of an ensemble of folds, and the cases of ``split`` in each fold."""
    for fold, digest in subject.folds:
        if not isinstance(fold, int):
            return False
        dataset = find_dataset(data, subject.task, fold)
        held_out = {case.id for case in dataset.of(split)}
        if data_list(dataset, subject.task.key, dict(hashes))[1] != digest or not held_out.issuperset(
            case.id for case in chosen
        ):
            return False
    return bool(subject.folds)


def case_hashes(case: Case, hashes: Mapping[Path, str]) -> dict[str, str]:
    """What a row says of the case's files."""
    return {"image_sha256": hashes[case.image], "label_sha256": hashes[case.label]}


def check_rules(rules: PostProcess | None, task: Task, split: str, images: list[str]) -> int:
    """How many of these images the rules were learned on; BadInput if any is a test case, or the task is another."""
    if rules is None:
        return 0
    rules.check_task(task)
    known = len(rules.learned_on.intersection(images))
    if known and split == "test":
        raise BadInput(
            f"the rules in {rules.path} were learned on {known} of these test cases",
            "Learn them on validation cases: `rep3d postprocess learn --split val`.",
        )
    return known


def write_result(path: Path, record: Mapping[str, Any]) -> None:
    """Write a result file, atomically. Raises OutputFailed."""
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
