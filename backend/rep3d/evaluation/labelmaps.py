"""Score label maps that were made by anybody against their truth: files are matched by id, never by sort order."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rep3d.data.dataset import data_list, find_dataset, stem
from rep3d.data.layouts.base import SEGMENTATION
from rep3d.data.reading import read_labelmap
from rep3d.errors import BadInput
from rep3d.evaluation.evaluate import check_rules, header, make_settings, write_result
from rep3d.evaluation.partial import Partial
from rep3d.evaluation.postprocess import PostProcess
from rep3d.evaluation.rows import make_row, summarise
from rep3d.evaluation.scoring import Measure, check_labels, score_labelmap
from rep3d.evaluation.tolerance import tolerances
from rep3d.files import sha256_file
from rep3d.provenance import code_sha256, provenance
from rep3d.tasks import Task

_LABEL_TAIL = re.compile(r"_(seg|label|labels|pred|prediction)\Z", re.IGNORECASE)
_IMAGE_TAIL = re.compile(r"_(ct|mr|image|0000)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """A prediction and its truth; ``image_sha256`` where a data folder says which image they belong to."""

    id: str
    prediction: Path
    truth: Path
    image_sha256: str | None = None


@dataclass(frozen=True)
class Pairs:
    """All pairs in id order; ``missing``: ids of the truth without a prediction; ``others``: files without a truth."""

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    others: tuple[str, ...]
    split: str = ""
    fold: int = 0
    split_cases: int = 0
    data_sha256: str = ""


def find_labelmaps(folder: Path) -> dict[str, Path]:
    """id -> label map of every file in a folder.

    The id is the name without suffix and without a tail such as ``_seg``. Where some names have such a tail or the
    suffix ``.seg.nrrd``, only these are label maps (the others are the images).

    Raises BadInput when there is none, or two have one id.
    """
    if not folder.is_dir():
        raise BadInput(f"the folder {folder} does not exist", "Give a folder of label maps.")
    names = {p: stem(p) for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")}
    names = {path: name for path, name in names.items() if name is not None}
    marked = {p: name for p, name in names.items() if _LABEL_TAIL.search(name) or p.name.lower().endswith(SEGMENTATION)}
    names = marked or names
    found: dict[str, Path] = {}
    for path, name in names.items():
        key = _LABEL_TAIL.sub("", name)
        if key in found:
            raise BadInput(f"{path} and {found[key]} have the same id {key}", "Keep one of the two files.")
        found[key] = path
    if not found:
        raise BadInput(f"{folder} holds no label map", "NIfTI, NRRD and MHA/MHD files are read.")
    return found


def match(predictions: Path, truth: Mapping[str, Path], source: Path) -> tuple[dict[str, Path], list[str], list[str]]:
    """id of the truth -> prediction, ids without one, predictions without a truth.

    ``a_ct_seg`` and ``a_ct`` also mean ``a``, if there is no truth for ``a_ct``. Raises BadInput when two predictions
    belong to one truth, or none to any.
    """
    found: dict[str, Path] = {}
    others = []
    for key, path in find_labelmaps(predictions).items():
        short = _IMAGE_TAIL.sub("", key)
        key = key if key in truth else short
        if key not in truth:
            others.append(path.name)
        elif key in found:
            raise BadInput(f"{path} and {found[key]} are both predictions for {key}", "Keep one of the two files.")
        else:
            found[key] = path
    if not found:
        raise BadInput(
            f"no file in {predictions} belongs to a truth in {source}",
            f"Names must be equal but for tails such as _seg; there are {others[:3]} and {sorted(truth)[:3]}.",
        )
    return found, [key for key in sorted(truth) if key not in found], others


def pairs_of_folders(predictions: Path, truth: Path) -> Pairs:
    """Pairs from a folder of predictions and one of truths. ``data_sha256`` covers ids and hashes of the truths."""
    files = find_labelmaps(truth)
    found, missing, others = match(predictions, files, truth)
    content = json.dumps([[key, sha256_file(path)] for key, path in sorted(files.items())])
    pairs = tuple(Pair(key, found[key], files[key]) for key in sorted(found))
    digest = hashlib.sha256(content.encode("utf-8")).hexdigest()
    return Pairs(pairs, tuple(missing), tuple(others), split_cases=len(files), data_sha256=digest)


def pairs_of_split(predictions: Path, data: Path, task: Task, split: str, fold: int = 0) -> Pairs:
    """Pairs from a folder of predictions and one split of a data folder, as `rep3d train` reads it."""
    dataset = find_dataset(data, task, fold)
    cases = {case.id: case for case in dataset.of(split)}
    if not cases:
        raise BadInput(f"{data} has no case for {split!r}", "choose train, val or test")
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    found, missing, others = match(predictions, {key: case.label for key, case in cases.items()}, data)
    pairs = tuple(Pair(key, found[key], cases[key].label, hashes[cases[key].image]) for key in sorted(found))
    digest = data_list(dataset, task.key, hashes)[1]
    return Pairs(pairs, tuple(missing), tuple(others), split, fold, len(cases), digest)


def evaluate_labelmaps(
    task: Task,
    predictions: Path,
    *,
    truth: Path | None = None,
    data: Path | None = None,
    split: str = "test",
    fold: int = 0,
    allow_missing: bool = False,
    name: str = "",
    limit: int = 0,
    progress: Callable[[int, int, dict], None] | None = None,
    tolerance: float | str | Mapping[str, float] | None = None,
    rules: PostProcess | None = None,
    output: Path | None = None,
    notice: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Score a folder of label maps against a folder of truths, or against one split of a data folder.

    Args:
        truth, data: exactly one of them; ``split`` and ``fold`` are of ``data``.
        allow_missing: score what is there although some truths have no prediction (listed as ``missing``).
        name: for tables; default: the folder's name. The other arguments are those of
            :func:`rep3d.evaluation.evaluate.evaluate`.

    Returns:
        The content of a result file, with the grid "native" alone (and "postprocessed" with rules).

    Raises:
        BadInput: no match, a truth without a prediction, grids that differ, values that the task does not have.
    """
    if (truth is None) == (data is None):
        raise BadInput("one of --truth and --data is needed with --predictions", "e.g. --truth FOLDER")
    found = pairs_of_folders(predictions, truth) if truth else pairs_of_split(predictions, data, task, split, fold)
    if found.missing and not allow_missing:
        some = ", ".join(found.missing[:5]) + (" ..." if len(found.missing) > 5 else "")
        raise BadInput(
            f"{len(found.missing)} of {found.split_cases} cases have no prediction in {predictions}: {some}",
            "A mean over fewer cases is another number. --allow-missing takes those that are there.",
        )
    if limit < 0:
        raise BadInput(f"--limit must not be negative, got {limit}")
    chosen = found.pairs[: limit or None]
    tolerance_mm, choice = tolerances(tolerance, task)
    learned_here = check_rules(rules, task, found.split, [p.image_sha256 or "" for p in chosen])
    measure = Measure(tolerance_mm, ("native",), rules)
    settings = make_settings({}, measure, choice)
    partial = Partial(output, {"task": task.to_dict(), "settings": settings, "code": code_sha256()})
    if partial.left and notice:
        notice(f"starting anew: {partial.left}")
    rows = []
    for i, pair in enumerate(chosen):
        hashes = pair_hashes(pair)
        row = partial.get(pair.id, **hashes)
        if row is None:
            row = score_pair(pair, task, measure, hashes)
            partial.add(row)
        rows.append(row)
        if progress:
            progress(i + 1, len(chosen), row)
    together = json.dumps([[row["id"], row["prediction_file_sha256"]] for row in rows])
    sha256 = hashlib.sha256(together.encode("utf-8")).hexdigest()
    folder = predictions.resolve()
    record = {
        **header(name or folder.name, {"predictions": folder.name, "sha256": sha256}, task),
        "split": found.split,
        "fold": found.fold,
        "split_cases": found.split_cases,
        "missing": list(found.missing),
        "unmatched": list(found.others),
        "data_sha256": found.data_sha256,
        "same_data": None,
        "settings": settings,
        "postprocess": None if rules is None else {**rules.describe(), "learned_on_these_cases": learned_here},
        "summary": summarise(rows),
        "cases": rows,
        "inputs": {
            "data": str(data.resolve()) if data else None,
            "truth": str(truth.resolve()) if truth else None,
            "predictions": str(folder),
            "postprocess": str(rules.path.resolve()) if rules and rules.path else None,
        },
        "task_definition": task.to_dict(),
        "provenance": provenance(subject=sha256, data=found.data_sha256, postprocess=rules.sha256 if rules else None),
    }
    if output is not None:
        write_result(output, record)
    partial.done()
    return record


def pair_hashes(pair: Pair) -> dict[str, str | None]:
    """What a row says of the pair's files."""
    return {
        "image_sha256": pair.image_sha256,
        "label_sha256": sha256_file(pair.truth),
        "prediction_file_sha256": sha256_file(pair.prediction),
    }


def score_pair(pair: Pair, task: Task, measure: Measure, hashes: Mapping[str, str | None]) -> dict[str, Any]:
    """A row of a result file for one prediction. Raises BadInput, naming the file, when the two do not fit."""
    truth, pred = (read_labelmap(path, task.labels) for path in (pair.truth, pair.prediction))
    check_labels(truth, task, pair.truth, truth, pair.truth)
    told = check_labels(pred, task, pair.prediction, truth, pair.truth)
    native, extra = score_labelmap(pred.array, truth, task, measure)
    return make_row(pair.id, native, 0.0, {**hashes, **extra, "warnings": told})
