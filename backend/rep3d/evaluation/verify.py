"""Check a result file: are its inputs the same files, and do they give its numbers?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput, WeightsInvalid
from rep3d.evaluation.evaluate import case_hashes
from rep3d.evaluation.labelmaps import pair_hashes, pairs_of_folders, pairs_of_split, score_pair
from rep3d.evaluation.postprocess import PostProcess, read_postprocess
from rep3d.evaluation.results import EvaluationResult, read_result
from rep3d.evaluation.rows import overlap_of, summarise
from rep3d.evaluation.scoring import Measure, score_case
from rep3d.evaluation.subject import from_checkpoint, from_weights
from rep3d.files import sha256_file
from rep3d.inference.options import InferenceOptions
from rep3d.tasks import Task

#: Numbers from the same label map: nothing but the last stored digit may differ.
EXACT = 1e-6


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may differ where the network's label map is not bit for bit the recorded one.

    Another processor, number of threads or version of torch rounds otherwise, and voxels at borders change sides.
    Attributes: ``overlap`` for Dice and NSD; ``mm`` for distances; ``percent`` for volumes, of the larger one.
    """

    overlap: float = 0.005
    mm: float = 0.5
    percent: float = 1.0

    def allows(self, metric: str, a: float, b: float, volume_ml: float) -> bool:
        """Whether two values of a metric agree; ``volume_ml`` is the larger of prediction and truth."""
        if metric in ("dice", "nsd"):
            return abs(a - b) <= self.overlap
        if metric.endswith("_mm"):
            return abs(a - b) <= self.mm
        if metric.endswith("_percent"):
            return abs(a - b) <= self.percent
        return abs(a - b) <= self.percent / 100 * volume_ml + EXACT


@dataclass
class Report:
    """What was found: ``failures`` make the result wrong or unproven, ``notes`` do not."""

    checked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    cases: int = 0
    of: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


@dataclass(frozen=True)
class Inputs:
    """Where the inputs are now; None: where the result says they were."""

    data: Path | None = None
    weights: Path | None = None
    predictions: Path | None = None
    truth: Path | None = None
    postprocess: Path | None = None


def verify(
    path: Path,
    inputs: Inputs | None = None,
    *,
    cases: int = 0,
    device: str = "auto",
    tolerance: Tolerance | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Check hashes of data, network and code, and recompute the metrics of all or of the first ``cases`` cases.

    Raises:
        BadInput: not a result of version 2; an input is not where the result says and was not given.
    """
    result = read_result(path)
    if result.version < 2:
        raise BadInput(f"{path} is of version 1 and holds no hashes", "Evaluate again to have a result to verify.")
    if cases < 0:
        raise BadInput(f"--cases must not be negative, got {cases}")
    inputs, tolerance, report = inputs or Inputs(), tolerance or Tolerance(), Report(of=len(result.cases))
    _check_summary(result, report)
    _check_code(result, report)
    rules = _rules(result, inputs, report)
    score = _labelmaps(result, inputs, rules, report) if "predictions" in result.record["subject"] else None
    score = score or _network(result, inputs, rules, report, device)
    if score is None:
        report.notes.append("The metrics were not recomputed.")
        return report
    for i, row in enumerate(result.record["cases"][: cases or None]):
        again = score(row)
        if again is not None:
            _compare(row, again, tolerance, report)
            report.cases += 1
        if progress:
            progress(i + 1, min(cases or report.of, report.of), row["id"])
    report.checked.append(f"metrics of {report.cases} of {report.of} cases recomputed")
    return report


Score = Callable[[Mapping[str, Any]], "dict[str, Any] | None"]


def _check_summary(result: EvaluationResult, report: Report) -> None:
    """The summary, and each row's Dice, follow from the rows' metrics."""
    rows = result.record["cases"]
    try:
        wrong = _differences(result.record["summary"], summarise(rows), "summary")
        for row in rows:
            part = {key: row[key] for key in ("dice", "mean")}
            wrong += _differences(part, overlap_of(row["metrics"]), f"case {row['id']}")
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{result.path} is damaged: {type(error).__name__} {error}", "Evaluate again.") from error
    report.failures += wrong
    if not wrong:
        report.checked.append("the summary follows from the cases")


def _differences(stored: Any, made: Any, where: str) -> list[str]:
    if isinstance(made, Mapping):
        if not isinstance(stored, Mapping) or stored.keys() != made.keys():
            return [f"{where}: other entries than its cases give"]
        return [text for key in made for text in _differences(stored[key], made[key], f"{where}, {key}")]
    same = stored == made
    if not same and isinstance(stored, (int, float)) and isinstance(made, (int, float)):
        same = math.isclose(stored, made, rel_tol=EXACT, abs_tol=EXACT)
    return [] if same else [f"{where}: the file says {stored}, its cases give {made}"]


def _check_code(result: EvaluationResult, report: Report) -> None:
    from rep3d.provenance import code_sha256, environment

    made = result.record.get("provenance") or {}
    if made.get("code_sha256") == code_sha256():
        report.checked.append("the same code")
    else:
        report.notes.append(f"Made by other code: {made.get('code_sha256')}, this is {code_sha256()}.")
    there, here = made.get("environment") or {}, environment()
    other = [f"{key} {there.get(key)} (here {here[key]})" for key in here if there.get(key) != here[key]]
    if other:
        report.notes.append("Made with other " + ", ".join(other) + ".")


def _locate(given: Path | None, recorded: Any, option: str, what: str) -> Path:
    path = given or (Path(recorded) if recorded else None)
    if path is None or not path.exists():
        raise BadInput(f"{what} is not at {path}", f"Say where it is: {option}.")
    return path


def _rules(result: EvaluationResult, inputs: Inputs, report: Report) -> PostProcess | None:
    expected = result.record["settings"].get("postprocess_sha256")
    if expected is None:
        return None
    recorded = result.record["inputs"].get("postprocess")
    rules = read_postprocess(_locate(inputs.postprocess, recorded, "--postprocess FILE", "the post-processing"))
    if rules.sha256 != expected:
        report.failures.append(f"{rules.path} has changed: sha256 {rules.sha256}, the result was made with {expected}")
    return rules


def _measure(result: EvaluationResult, rules: PostProcess | None) -> Measure:
    settings = result.record["settings"]
    return Measure(settings["tolerance_mm"], tuple(settings["grids"]), rules)


def _data(result: EvaluationResult, digest: str, where: Path, report: Report) -> None:
    if digest == result.data_sha256:
        report.checked.append("the same data list")
    else:
        report.failures.append(f"the data in {where} have changed: sha256 {digest}, recorded {result.data_sha256}")


def _changed(row: Mapping[str, Any], now: Mapping[str, str | None], report: Report) -> bool:
    """Whether a file of the case is another one now; says which."""
    other = [name.removesuffix("_sha256") for name, value in now.items() if row.get(name) != value]
    report.failures += [f"case {row['id']}: the {name.replace('_', ' ')} has changed" for name in other]
    return bool(other)


def _network(
    result: EvaluationResult, inputs: Inputs, rules: PostProcess | None, report: Report, device: str
) -> Score | None:
    """How to score a case again with the result's network; None when that is another file now."""
    from rep3d.data.dataset import data_list, find_dataset

    record = result.record
    file = _locate(inputs.weights, record["inputs"].get("subject"), "--weights FILE", "the network")
    folder = _locate(inputs.data, record["inputs"].get("data"), "--data FOLDER", "the data")
    expected = record["subject"].get("sha256")
    try:
        subject = (from_weights if record["subject"].get("weights") else from_checkpoint)(file)
    except (BadInput, WeightsInvalid) as error:
        report.failures.append(f"the network cannot be loaded: {error}")
        return None
    found = subject.identity["sha256"]
    if found != expected:
        report.failures.append(f"{file} is another network: sha256 {found}, the result was made with {expected}")
    else:
        report.checked.append("the same network")
    if subject.task.key != result.task_key:
        report.failures.append(f"{file} is of task {subject.task.key}, the result of {result.task_key}")
        return None
    dataset = find_dataset(folder, subject.task, record["fold"])
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    _data(result, data_list(dataset, subject.task.key, hashes)[1], folder, report)
    if found != expected:
        return None
    there = {case.id: case for case in dataset.cases}
    settings = record["settings"]
    engine = settings.get("engine", "torch")  # what there was before it could be chosen
    inference = InferenceOptions(
        settings["overlap"],
        settings["tta"],
        device,
        settings["precision"],
        engine,
        settings.get("batch", "auto"),
        settings.get("remove_islands", False),
    ).resolved()
    if inference.device != settings["device"]:
        report.notes.append(f"Made on {settings['device']}, recomputed on {inference.device}.")
    measure = _measure(result, rules)

    def score(row: Mapping[str, Any]) -> dict[str, Any] | None:
        case = there.get(row["id"])
        if case is None or case.split != result.split:
            report.failures.append(f"case {row['id']} is not in split {result.split!r} of {folder}")
            return None
        now = case_hashes(case, hashes)
        return None if _changed(row, now, report) else score_case(subject, case, inference, measure, now)

    return score


def _labelmaps(result: EvaluationResult, inputs: Inputs, rules: PostProcess | None, report: Report) -> Score:
    """How to score a pair of label maps again."""
    record = result.record
    task = Task.from_dict(record["task_definition"], str(result.path))
    was = record["inputs"]
    predictions = _locate(inputs.predictions, was.get("predictions"), "--predictions FOLDER", "the predictions")
    if inputs.truth or (was.get("truth") and not inputs.data):
        folder = _locate(inputs.truth, was.get("truth"), "--truth FOLDER", "the truth")
        found = pairs_of_folders(predictions, folder)
    else:
        folder = _locate(inputs.data, was.get("data"), "--data FOLDER", "the data")
        found = pairs_of_split(predictions, folder, task, result.split, record["fold"])
    _data(result, found.data_sha256, folder, report)
    there, measure = {pair.id: pair for pair in found.pairs}, _measure(result, rules)

    def score(row: Mapping[str, Any]) -> dict[str, Any] | None:
        pair = there.get(row["id"])
        if pair is None:
            report.failures.append(f"case {row['id']} is not in {predictions} and {folder}")
            return None
        now = pair_hashes(pair)
        return None if _changed(row, now, report) else score_pair(pair, task, measure, now)

    return score


def _compare(row: Mapping[str, Any], again: Mapping[str, Any], tolerance: Tolerance, report: Report) -> None:
    """Every number of a case: equal for the same label map, within the tolerance for another one."""
    for grid, by_label in again["metrics"].items():
        name = "network_prediction_sha256" if grid == "network" else "prediction_sha256"
        same = row.get(name) == again[name]
        if not same:
            report.notes.append(f"case {row['id']}, {grid} grid: the label map is not bit for bit the recorded one.")
        for key, values in by_label.items():
            stored = row["metrics"][grid][key]
            volume = max(values["volume_ml"], values["truth_ml"])
            for metric, value in values.items():
                if not _agree(metric, stored.get(metric), value, volume, None if same else tolerance):
                    report.failures.append(
                        f"case {row['id']}, {grid} grid, {key}, {metric}: the file says {stored.get(metric)}, "
                        f"recomputed {value}"
                    )


def _agree(metric: str, a: float | None, b: float | None, volume: float, tolerance: Tolerance | None) -> bool:
    if a is None or b is None:
        return a is b
    if tolerance is None:
        return math.isclose(a, b, rel_tol=EXACT, abs_tol=EXACT)
    return tolerance.allows(metric, a, b, volume)
