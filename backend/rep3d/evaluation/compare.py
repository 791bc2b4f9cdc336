"""Compare results on the same cases: summaries with intervals, paired tests with Holm's correction, effect sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rep3d.errors import BadInput
from rep3d.evaluation.results import CONVENTIONS, EvaluationResult
from rep3d.evaluation.statistics import (
    Interval,
    MedianInterval,
    Wilcoxon,
    bootstrap_mean,
    bootstrap_median,
    differences,
    holm,
    rank_biserial,
    smallest_p,
    wilcoxon_paired,
)

MEAN = "mean"  # the row over all structures


@dataclass(frozen=True)
class Metric:
    """One metric of a comparison: ``key`` in result files, its name and unit, whether more is better."""

    key: str
    title: str
    unit: str
    higher_is_better: bool


#: Names of ``--metric``. The volume error is compared without its sign.
METRICS = {
    "dice": Metric("dice", "Dice", "", True),
    "nsd": Metric("nsd", "NSD", "", True),
    "hd95": Metric("hd95_mm", "HD95", "mm", False),
    "volume_error": Metric("volume_error_ml", "Absolute volume error", "mL", False),
}
BY = ("class", "mean")


@dataclass(frozen=True)
class CompareOptions:
    """Attributes:
    metric: a key of METRICS. reference: name of the result that all others are tested against; "": every pair.
    by: "class": a test for each structure and for their mean; "mean": for the mean alone.
    grid: of the result files: native, network or postprocessed. empty: what a class that neither label map has counts.
    level: of confidence intervals; 1 - level is the error that the tests are held to.
    """

    metric: str = "dice"
    reference: str = ""
    by: str = "class"
    grid: str = "native"
    empty: str = "ignore"
    level: float = 0.95

    def check(self) -> None:
        """Raise BadInput for a value that is none of the choices."""
        for name, value, choices in (
            ("metric", self.metric, tuple(METRICS)),
            ("by", self.by, BY),
            ("empty", self.empty, CONVENTIONS),
        ):
            if value not in choices:
                raise BadInput(f"--{name} {value!r} is none of {', '.join(choices)}.")
        if not 0.5 <= self.level < 1:
            raise BadInput(f"--level must lie between 0.5 and 1, got {self.level:g}.", "0.95 is usual.")


@dataclass(frozen=True)
class Summary:
    """One result and structure: mean with interval, quartiles over the ``cases`` in which every result has a value."""

    name: str
    structure: str
    cases: int
    mean: Interval
    quartiles: tuple[float, float, float]


@dataclass(frozen=True)
class Test:
    """One paired test of ``first`` against ``second`` on one structure; differences are first - second.

    ``p_holm`` is corrected over the comparison's whole family; ``better`` names the result that is better by it,
    "" if the difference may be chance.
    """

    __test__ = False  # not a class of tests

    structure: str
    first: str
    second: str
    wilcoxon: Wilcoxon
    difference: MedianInterval
    effect: float
    p_holm: float
    better: str


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison found.

    Attributes:
        names: of the results, in the given order. structures: label keys, then "mean".
        values: name -> [cases, structures]; nan where some result has no value. dropped: case id -> why.
        family: number of tests that Holm's correction is over. notes, warnings: sentences for the reader.
    """

    options: CompareOptions
    task_key: str
    names: tuple[str, ...]
    structures: tuple[str, ...]
    cases: tuple[str, ...]
    values: dict[str, np.ndarray]
    dropped: dict[str, str]
    summaries: tuple[Summary, ...]
    tests: tuple[Test, ...]
    family: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def metric(self) -> Metric:
        """What was compared."""
        return METRICS[self.options.metric]


def compare(results: Sequence[EvaluationResult], options: CompareOptions, names: Sequence[str] = ()) -> Comparison:
    """Compare two or more results.

    Only cases that all results have are used. A structure counts in a case if every result has a value there, so that
    all are measured on the same; the value of "mean" is the mean over those structures.

    Raises:
        BadInput: fewer than two results, other tasks or structures, one case with other files, no common case, an
            unknown name or metric.
    """
    options.check()
    names = tuple(names) or tuple(result.name for result in results)
    if len(results) < 2 or len(names) != len(results):
        raise BadInput(f"{len(results)} results with {len(names)} names cannot be compared.", "Give two or more.")
    if len(set(names)) < len(names):
        raise BadInput(f"Two results have one name: {', '.join(names)}.", "Tell them apart with --names A,B,...")
    if options.reference and options.reference not in names:
        raise BadInput(f"--reference {options.reference!r} is none of the results.", f"They are {', '.join(names)}.")
    warnings = check_same(results, names)
    tables = [_table(result, options) for result in results]
    cases, dropped = _common(results, names)
    labels = results[0].labels
    stack_MNC = np.array([[[table[case][key] for key in labels] for case in cases] for table in tables])
    stack_MNC[:, np.isnan(stack_MNC).any(0)] = math.nan
    values = {name: np.column_stack([table_NC, _row_means(table_NC)]) for name, table_NC in zip(names, stack_MNC)}
    structures = (*labels, MEAN)
    summaries = tuple(
        _summary(name, key, values[name], structures, options.level) for name in names for key in structures
    )
    tests = _tests(values, structures, options)
    family = sum(not math.isnan(test.p_holm) for test in tests)
    return Comparison(
        options, results[0].task_key, names, structures, cases, values, dropped, summaries, tests, family,
        _notes(values, structures, tests, family, options), tuple(warnings),
    )  # fmt: skip


def check_same(results: Sequence[EvaluationResult], names: Sequence[str]) -> list[str]:
    """Raise BadInput where results cannot be of the same cases; return warnings where nothing proves that they are."""
    first, warnings = results[0], []
    for result, name in zip(results[1:], names[1:], strict=True):
        if result.task_key != first.task_key:
            raise BadInput(
                f"{names[0]} is of task {first.task_key!r}, {name} of {result.task_key!r}.",
                "Results can be compared within one task.",
            )
        if set(result.labels) != set(first.labels):
            raise BadInput(
                f"{names[0]} has the structures {', '.join(first.labels)}, {name} has {', '.join(result.labels)}.",
                "Results can be compared if they have the same structures.",
            )
        if result.split != first.split:
            warnings.append(f"{names[0]} is of split {first.split!r}, {name} of {result.split!r}.")
        other = [case for case in result.cases if _files(first, case) and _files(first, case) != _files(result, case)]
        other = [case for case in other if case in first.cases and _files(result, case)]
        if other:
            raise BadInput(
                f"{names[0]} and {name} were evaluated on other files for {len(other)} cases, first {other[0]!r}.",
                "Evaluate both on the same data.",
            )
        if not first.data_sha256 or not result.data_sha256:
            warnings.append(f"{names[0]} or {name} does not say which data it is of: cases are matched by id alone.")
        elif result.data_sha256 != first.data_sha256 and not all(_files(first, case) for case in first.cases):
            warnings.append(
                f"{names[0]} and {name} are of DIFFERENT DATA LISTS (other files, or another fold): cases are matched "
                "by id alone. Compare results of one data folder and fold unless you know why they differ."
            )
    return warnings


def _files(result: EvaluationResult, case: str) -> tuple[str, str] | None:
    """SHA-256 of the case's image and label map, None where the file does not say."""
    for row in result.record["cases"]:
        if row["id"] == case:
            hashes = (row.get("image_sha256"), row.get("label_sha256"))
            return hashes if all(hashes) else None
    return None


def _table(result: EvaluationResult, options: CompareOptions) -> dict[str, dict[str, float]]:
    table = result.scores(METRICS[options.metric].key, options.grid, empty=options.empty)
    if options.metric == "volume_error":
        return {case: {key: abs(value) for key, value in row.items()} for case, row in table.items()}
    return table


def _common(results: Sequence[EvaluationResult], names: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Cases that all have, in the first's order, and why each other one was dropped."""
    everything = dict.fromkeys(case for result in results for case in result.cases)
    missing = {c: [n for n, r in zip(names, results, strict=True) if c not in r.cases] for c in everything}
    cases = tuple(case for case in everything if not missing[case])
    if not cases:
        raise BadInput("The results have no case in common.", "Evaluate the same split of the same data.")
    return cases, {case: f"not in {', '.join(without)}" for case, without in missing.items() if without}


def _row_means(table_NC: np.ndarray) -> np.ndarray:
    counted = ~np.isnan(table_NC)
    counts = counted.sum(1)
    return np.where(counts > 0, np.where(counted, table_NC, 0).sum(1) / np.maximum(counts, 1), math.nan)


def _summary(name: str, key: str, table: np.ndarray, structures: tuple[str, ...], level: float) -> Summary:
    """For "mean": the mean over structures of their mean over cases, as in result files; quartiles are of cases."""
    column = table[:, structures.index(key)]
    column = column[~np.isnan(column)]
    interval = bootstrap_mean(table[:, :-1] if key == MEAN else column, level=level)
    quartiles = np.quantile(column, [0.25, 0.5, 0.75]) if len(column) else [math.nan] * 3
    return Summary(name, key, len(column), interval, tuple(float(q) for q in quartiles))


def _tests(values: dict[str, np.ndarray], structures: tuple[str, ...], options: CompareOptions) -> tuple[Test, ...]:
    names = tuple(values)
    pairs = (
        [(name, options.reference) for name in names if name != options.reference]
        if options.reference
        else list(combinations(names, 2))
    )
    tested = structures if options.by == "class" else (MEAN,)
    higher = METRICS[options.metric].higher_is_better
    made = []
    for key in tested:
        column = structures.index(key)
        for first, second in pairs:
            a, b = values[first][:, column], values[second][:, column]
            test, effect = wilcoxon_paired(a, b), rank_biserial(a, b)
            made.append((key, first, second, test, bootstrap_median(differences(a, b), level=options.level), effect))
    corrected = holm([test.p for _, _, _, test, _, _ in made])
    tests = []
    for (key, first, second, test, difference, effect), p in zip(made, corrected, strict=True):
        better = (first if (effect > 0) == higher else second) if p < 1 - options.level else ""
        tests.append(Test(key, first, second, test, difference, effect, p, better))
    return tuple(tests)


def _notes(
    values: dict[str, np.ndarray],
    structures: tuple[str, ...],
    tests: tuple[Test, ...],
    family: int,
    options: CompareOptions,
) -> tuple[str, ...]:
    """What a reader has to know to read the numbers right."""
    alpha, table = 1 - options.level, next(iter(values.values()))
    notes = [
        f"Two-sided Wilcoxon signed-rank tests of paired cases; Holm's correction over {family} tests "
        f"({'every structure and the mean' if options.by == 'class' else 'the mean'}, "
        f"{'each against ' + options.reference if options.reference else 'each pair'}); "
        f"effect: rank-biserial correlation, 1 if the first is larger in every case.",
        f"Intervals: {100 * options.level:g} % percentile bootstrap over cases.",
    ]
    few = sorted({test.wilcoxon.differing for test in tests if test.wilcoxon.pairs})
    if few and smallest_p(few[0]) * family > alpha:
        n, least = few[0], smallest_p(few[0])
        text = f"n = {n} differing pairs: the smallest p possible is {least:.2g}"
        if family > 1:
            text += f", {min(1, least * family):.2g} after correction over {family} tests"
        notes.append(text + f". Such a test cannot fall below {alpha:.2g}, however large the difference.")
    if any(test.wilcoxon.method == "normal" for test in tests):
        notes.append("p of tests with many pairs is the normal approximation; the others are exact.")
    undefined = int(np.isnan(table[:, :-1]).sum())
    if undefined:
        notes.append(
            f"{undefined} of {table[:, :-1].size} values are undefined in some result (a class that is absent) and "
            "left out of all."
        )
    notes.append(
        "A p above the limit does not show that two results are equal. The tests speak of new cases like these, not "
        "of new trainings: another seed may change the order."
    )
    return tuple(notes)
