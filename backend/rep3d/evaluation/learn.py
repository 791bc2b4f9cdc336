"""Learn post-processing on validation cases: a rule for a structure only where it raises Dice there.

Each case is segmented once. For every structure the sizes of the components and their overlap with the truth are kept;
the Dice of any rule follows from these counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from rep3d.data.dataset import data_list, find_dataset
from rep3d.data.reading import read_labelmap
from rep3d.errors import BadInput
from rep3d.evaluation.partial import Partial
from rep3d.evaluation.postprocess import CONNECTIVITY, FORMAT, LEARNABLE, VERSION, Rule
from rep3d.evaluation.rows import finite
from rep3d.evaluation.scoring import check_labels, segment_case
from rep3d.evaluation.statistics import bootstrap_mean
from rep3d.evaluation.subject import Subject
from rep3d.files import sha256_file, write_text
from rep3d.inference.islands import components
from rep3d.inference.options import InferenceOptions
from rep3d.provenance import code_sha256, provenance
from rep3d.tasks import Task

#: Volumes below which components may be removed.
CANDIDATES_ML = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class LearnConfig:
    """When a rule is taken.

    Attributes:
        margin: the mean gain in Dice must be above it, and so must the lower end of its bootstrap interval.
        level: of that interval over cases. resamples: of the bootstrap.
        min_ml: volumes in ml below which components may be removed; () tries the largest component only.
    """

    margin: float = 0.0
    level: float = 0.95
    resamples: int = 2000
    min_ml: tuple[float, ...] = CANDIDATES_ML

    def __post_init__(self) -> None:
        if self.margin < 0 or not 0 < self.level < 1 or self.resamples < 100 or any(v <= 0 for v in self.min_ml):
            raise BadInput(
                f"margin {self.margin:g}, level {self.level:g}, resamples {self.resamples}, sizes {self.min_ml}",
                "The margin must not be negative, the level lie between 0 and 1, resamples be at least 100, sizes "
                "above 0 ml.",
            )


def learn_postprocess(
    subject: Subject,
    data: Path,
    split: str = "val",
    *,
    config: LearnConfig | None = None,
    inference: InferenceOptions | None = None,
    fold: int = 0,
    output: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Segment the cases of a split, choose a rule for each structure, and write them to ``output``.

    Killed and called again with the same ``output``, it goes on after the last case that was done.

    Returns the file's content. Raises BadInput for the test split, or data that do not fit.
    """
    if split not in LEARNABLE:
        raise BadInput(
            f"post-processing is never learned on {split!r}",
            "Rules that are chosen on test cases make their own score there; use --split val.",
        )
    config, inference = config or LearnConfig(), (inference or InferenceOptions(engine="torch")).resolved()
    task = subject.task
    dataset = find_dataset(data, task, fold)
    chosen = dataset.of(split)
    if not chosen:
        raise BadInput(f"{data} has no case for {split!r}", "choose val or train")
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    digest = data_list(dataset, task.key, hashes)[1]
    if digest != subject.data_sha256 and notice:
        notice(f"warning: this is not the data list of the training: cases of {split} may have been trained on")
    unseen = {hashes[case.image] for case in dataset.of("test")}
    identity = {"subject": subject.identity, "inference": inference.to_dict(), "code": code_sha256(), "learn": True}
    partial = Partial(output, identity)
    if partial.left and notice:
        notice(f"starting anew: {partial.left}")
    rows = []
    for i, case in enumerate(chosen):
        files = {"image_sha256": hashes[case.image], "label_sha256": hashes[case.label]}
        if files["image_sha256"] in unseen:
            raise BadInput(f"the image of {case.id} is a test case too ({case.image})", "one case may be in one split")
        row = partial.get(case.id, **files)
        if row is None:
            truth = read_labelmap(case.label, task.labels)
            result = segment_case(subject, case, inference)
            check_labels(truth, task, case.label, result.volume, case.image)
            voxel_ml = float(abs(np.linalg.det(truth.affine[:3, :3]))) / 1000
            row = {"id": case.id, **files, "voxel_ml": voxel_ml, "classes": count(result.labelmap, truth.array, task)}
            partial.add(row)
        rows.append(row)
        if progress:
            progress(i + 1, len(chosen), case.id)
    record = {
        "format": FORMAT,
        "version": VERSION,
        "task": task.key,
        "connectivity": CONNECTIVITY,
        "classes": {label.key: choose(rows, label.key, config) for label in task.labels},
        "choice": {
            "margin": config.margin, "level": config.level, "resamples": config.resamples,
            "min_ml": list(config.min_ml),
            "rule": "the largest mean gain in Dice among rules whose interval's lower end is above the margin; a "
            "structure in neither label map counts as 1",
        },
        "learned_on": {
            "split": split,
            "fold": fold,
            "data_sha256": digest,
            "same_data": digest == subject.data_sha256,
            "subject": {k: v for k, v in subject.identity.items() if k != "config"},
            "inference": inference.to_dict(),
            "cases": [{key: row[key] for key in ("id", "image_sha256", "label_sha256")} for row in rows],
        },
        "provenance": provenance(subject=subject.identity.get("sha256")),
    }  # fmt: skip
    if output is not None:
        write_text(output, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    partial.done()
    return record


def count(pred: np.ndarray, truth: np.ndarray, task: Task) -> dict[str, dict[str, Any]]:
    """By label key: voxels of the ``truth``; ``sizes`` of the predicted components and their ``hits`` in the truth."""
    last = len(task.labels)
    boxes = ndimage.find_objects(pred, max_label=last)
    voxels = np.bincount(truth.ravel(), minlength=last + 1)
    found = {}
    for label in task.labels:
        sizes = hits = np.zeros(0, np.int64)
        box = boxes[label.value - 1]
        if box is not None:
            parts, sizes = components(pred[box] == label.value)
            hits = np.bincount(parts[truth[box] == label.value], minlength=len(sizes) + 1)[1:]
        found[label.key] = {"truth": int(voxels[label.value]), "sizes": sizes.tolist(), "hits": hits.tolist()}
    return found


def dice_of(row: Mapping[str, Any], key: str, rule: Rule) -> float:
    """Dice of one structure of a case after a rule; 1 where then neither label map has it."""
    counts = row["classes"][key]
    sizes, hits = np.asarray(counts["sizes"], np.int64), np.asarray(counts["hits"], np.int64)
    kept = rule.keeps(sizes, row["voxel_ml"])
    total = int(sizes[kept].sum()) + counts["truth"]
    return 2 * int(hits[kept].sum()) / total if total else 1.0


def choose(rows: Sequence[Mapping[str, Any]], key: str, config: LearnConfig) -> dict[str, Any]:
    """The rule for one structure, with the evidence for every candidate: mean Dice before and after, gain, cases."""
    before = np.array([dice_of(row, key, Rule()) for row in rows])
    best, best_gain, tried = Rule(), config.margin, []
    for rule in (Rule(largest=True), *(Rule(min_ml=v) for v in sorted(config.min_ml))):
        after = np.array([dice_of(row, key, rule) for row in rows])
        gain = bootstrap_mean(after - before, level=config.level, resamples=config.resamples)
        tried.append(
            {
                "rule": str(rule),
                "dice": finite(float(after.mean())),
                "gain": {"mean": finite(gain.mean), "low": finite(gain.low), "high": finite(gain.high)},
                "changed_cases": int((after != before).sum()),
            }
        )
        if gain.low > config.margin and gain.mean > best_gain + 1e-12:
            best, best_gain = rule, gain.mean
    return {
        "largest_component": best.largest,
        "min_ml": best.min_ml,
        "dice_before": finite(float(before.mean())),
        "cases": len(rows),
        "tried": tried,
    }
