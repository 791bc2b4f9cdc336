"""What the finished runs of a study say: scores of each variant over seeds, and the contrasts the study asks about.

Two kinds of chance are kept apart. Over *cases*: scores of a case are averaged over seeds, then compared case by case
(Wilcoxon, bootstrap). Over *trainings*: the spread over seeds, and whether every seed's difference has the same sign.
A difference counts as shown only when both agree.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rep3d.evaluation.statistics import Interval, bootstrap_mean, holm, rank_biserial, wilcoxon_paired
from rep3d.experiments.execute import Setting, planned
from rep3d.experiments.studies import Study

LEVEL = 0.01  # of the adjusted p, as in the paper

Table = dict[str, dict[str, float]]  # case -> class -> Dice


@dataclass(frozen=True)
class Arm:
    """A variant's outcome. ``dice`` and ``per_class`` are means over seeds; ``sd`` over seeds, nan for one seed."""

    key: str
    title: str
    paper: float | None
    seeds: tuple[int, ...]
    parameters: int
    by_seed: tuple[float, ...]
    dice: float
    sd: float
    interval: Interval
    per_class: dict[str, float]
    seconds_per_step: float


@dataclass(frozen=True)
class Contrast:
    """``variant`` minus ``reference`` over the seeds that both have; ``agreeing`` seeds have the mean's sign."""

    variant: str
    reference: str
    seeds: tuple[int, ...]
    cases: int
    difference: Interval
    p: float
    p_holm: float
    effect: float
    agreeing: int
    verdict: str


@dataclass(frozen=True)
class Outcome:
    """All that a study's table and figure show."""

    arms: tuple[Arm, ...]
    contrasts: tuple[Contrast, ...]
    missing: tuple[tuple[str, int], ...]
    environments: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; nan as None."""
        return _plain(asdict(self))


def analyse(study: Study, setting: Setting) -> Outcome:
    """Read the finished runs; unfinished ones are listed in ``missing`` as (variant, seed)."""
    results: dict[str, dict[int, dict]] = {variant.key: {} for variant in study.variants}
    missing = []
    for variant, seed, run in planned(study, setting):
        if (result := run.result) is None:
            missing.append((variant.key, seed))
        else:
            results[variant.key][seed] = result
    arms = [_arm(study.variant(key), runs) for key, runs in results.items() if runs]
    rows = [_contrast(a, b, results) for a, b in study.contrasts]
    rows = [row for row in rows if row]
    adjusted = holm([row["p"] for row in rows])
    contrasts = [Contrast(**row, p_holm=p, verdict=_verdict(row, p)) for row, p in zip(rows, adjusted)]
    return Outcome(tuple(arms), tuple(contrasts), tuple(missing), _environments(results))


def case_table(result: dict) -> Table:
    """Dice on the scans' own grid by case and class; nan where neither label map has the class."""
    return {
        case["id"]: {k: math.nan if v is None else v for k, v in case["dice"]["native"].items()}
        for case in result["evaluation"]["cases"]
    }


def _array(table: Table, cases: list[str]) -> np.ndarray:
    """[cases, classes]"""
    return np.array([list(table[case].values()) for case in cases])


def _mean_over_seeds(results: dict[int, dict], seeds: list[int]) -> tuple[list[str], np.ndarray]:
    """Cases of all these runs, and Dice [cases, classes] averaged over the seeds."""
    tables = [case_table(results[seed]) for seed in seeds]
    cases = sorted(set.intersection(*(set(t) for t in tables)))
    return cases, np.mean([_array(t, cases) for t in tables], axis=0)


def _arm(variant: Any, runs: dict[int, dict]) -> Arm:
    seeds = sorted(runs)
    by_seed = [runs[s]["evaluation"]["summary"]["native"]["mean"] for s in seeds]
    table = _mean_over_seeds(runs, seeds)[1]
    names = list(next(iter(case_table(runs[seeds[0]]).values())))
    with np.errstate(invalid="ignore"):
        classes = [float(np.nanmean(column)) if not np.isnan(column).all() else math.nan for column in table.T]
    speeds = [run["train_seconds"] / run["config"]["steps"] for run in runs.values()]
    return Arm(
        variant.key, variant.title, variant.paper, tuple(seeds), runs[seeds[0]]["parameters"], tuple(by_seed),
        float(np.mean(by_seed)), float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else math.nan,
        bootstrap_mean(table), dict(zip(names, classes)), float(np.median(speeds)),
    )  # fmt: skip


def _contrast(variant: str, reference: str, results: dict[str, dict[int, dict]]) -> dict[str, Any] | None:
    """A contrast without what needs the others; None when the two have no seed in common."""
    seeds = sorted(set(results[variant]) & set(results[reference]))
    if not seeds:
        return None
    cases_a, a = _mean_over_seeds(results[variant], seeds)
    cases_b, b = _mean_over_seeds(results[reference], seeds)
    if cases_a != cases_b:  # runs on other data have another key, so this is a damaged result
        raise ValueError(f"{variant} and {reference} were scored on different cases")
    mine, theirs = _case_means(a), _case_means(b)
    difference = bootstrap_mean(mine - theirs)
    steps = [
        np.nanmean(_case_means(_mean_over_seeds(results[variant], [s])[1]))
        - np.nanmean(_case_means(_mean_over_seeds(results[reference], [s])[1]))
        for s in seeds
    ]
    return {
        "variant": variant,
        "reference": reference,
        "seeds": tuple(seeds),
        "cases": len(cases_a),
        "difference": difference,
        "p": wilcoxon_paired(mine, theirs).p,
        "effect": rank_biserial(mine, theirs),
        "agreeing": sum(1 for step in steps if step * difference.mean > 0),
    }


def _case_means(table_NC: np.ndarray) -> np.ndarray:
    """Mean over the classes that a case has, [cases]; nan for a case that has none."""
    counted = (~np.isnan(table_NC)).sum(1)
    return np.where(counted, np.nansum(table_NC, 1) / np.maximum(counted, 1), np.nan)


def _verdict(row: dict[str, Any], p_holm: float) -> str:
    """ "higher" or "lower" when cases and seeds agree, else that nothing has been shown."""
    if len(row["seeds"]) < 2:
        return "one seed: not judged"
    if p_holm < LEVEL and row["agreeing"] == len(row["seeds"]):
        return "higher" if row["difference"].mean > 0 else "lower"
    return "no difference shown"


def _environments(results: dict[str, dict[int, dict]]) -> tuple[dict[str, Any], ...]:
    """The different environments and versions of the program that the runs were made with."""
    seen: dict[str, dict[str, Any]] = {}
    for runs in results.values():
        for result in runs.values():
            made = result["provenance"]
            seen[str((made.get("environment"), made.get("code_sha256")))] = {
                "environment": made.get("environment"),
                "code_sha256": made.get("code_sha256"),
            }
    return tuple(seen.values())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
