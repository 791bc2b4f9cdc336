"""Rows of a result file (one a case) and their summary: means, bootstrap intervals, counts of what is undefined."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rep3d.evaluation.metrics import class_means, mean_dice
from rep3d.evaluation.results import CONVENTIONS, METRICS, OVERLAP_METRICS
from rep3d.evaluation.statistics import bootstrap_mean
from rep3d.tasks import Task

Scores = Mapping[str, Mapping[str, float]]  # label key -> metric -> value, nan where undefined
#: Decimals of a stored metric: below any rounding that matters, above that between processors.
DECIMALS = 7
LEVEL, RESAMPLES = 0.95, 2000

#: How each metric is defined, for readers of the file; formulas in docs/evaluation.md.
DEFINITIONS = {
    "dice": "2 |P n T| / (|P| + |T|), voxels",
    "nsd": "normalised surface distance: share of both surfaces' area within the tolerance of the other surface",
    "hd95_mm": "larger of the two directed 95th percentiles of surface distance, by area",
    "asd_mm": "mean surface distance over both surfaces, by area",
    "volume_error_ml": "prediction minus truth",
    "surface": "marching-cubes elements of 2x2x2 neighbourhoods, closed at the volume's border",
    "ignore": "a class that neither label map has is not counted; one that only one has scores Dice and NSD 0",
    "one": "a class that neither label map has scores Dice and NSD 1; one that only one has scores 0",
    "undefined": "cases where exactly one label map has the class: no distance there (null), not counted in its mean",
    "absent": "cases where neither label map has the class",
}


def make_row(case_id: str, scores: Mapping[str, Scores], seconds: float, hashes: Mapping[str, str]) -> dict[str, Any]:
    """One case of a result file.

    Args:
        scores: grid -> label key -> metric -> value. seconds: of the segmentation on the scan's own grid.
        hashes: ``image_sha256``, ``label_sha256``, ``prediction_sha256`` ...
    """
    metrics = {
        grid: {key: {m: finite(v) for m, v in values.items()} for key, values in by_label.items()}
        for grid, by_label in scores.items()
    }
    return {"id": case_id, **overlap_of(metrics), "seconds": round(seconds, 3), **hashes, "metrics": metrics}


def overlap_of(metrics: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> dict[str, Any]:
    """``dice`` by grid and label key and its ``mean`` by grid, as they stood in files of version 1."""
    dice = {grid: {key: values["dice"] for key, values in by.items()} for grid, by in metrics.items()}
    return {
        "dice": {g: {k: None if v is None else round(v, 5) for k, v in row.items()} for g, row in dice.items()},
        "mean": {
            g: finite(mean_dice([[math.nan if v is None else v for v in row.values()]])) for g, row in dice.items()
        },
    }


def finite(value: float) -> float | None:
    """Rounded to DECIMALS; None instead of nan, which JSON does not have."""
    return None if math.isnan(value) else round(float(value), DECIMALS)


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By grid: mean Dice over classes of the mean over cases, its spread over cases, and every metric with intervals.

    ``metrics`` holds metric -> convention ("ignore", and "one" for Dice and NSD) -> ``mean``, ``low``, ``high``
    (bootstrap over cases of the mean over classes of each class's mean), ``cases`` (that count in it), and
    ``per_class`` with the same and how many cases are ``undefined`` or ``absent``.
    """
    return {grid: _summarise(rows, grid) for grid in (rows[0]["metrics"] if rows else ())}


def _summarise(rows: Sequence[Mapping[str, Any]], grid: str) -> dict[str, Any]:
    keys = list(rows[0]["metrics"][grid])
    dice = _table(rows, grid, "dice", keys)
    means = np.array([m for m in (mean_dice([row]) for row in dice) if not math.isnan(m)])
    extremes = {"lowest": float(means.min()), "median": float(np.median(means))} if len(means) else {}
    metrics = {}
    for metric in METRICS:
        table = _table(rows, grid, metric, keys)
        metrics[metric] = {
            convention: _block(table if convention == "ignore" else _filled(table, rows, grid, keys), rows, grid, keys)
            for convention in (CONVENTIONS if metric in OVERLAP_METRICS else CONVENTIONS[:1])
        }
    return {
        "mean": finite(mean_dice(dice)),
        "per_class": {k: None if math.isnan(v) else round(v, 5) for k, v in zip(keys, class_means(dice), strict=True)},
        "cases": len(rows),
        "sd": float(means.std(ddof=1)) if len(means) > 1 else None,
        **extremes,
        "metrics": metrics,
    }


def _table(rows: Sequence[Mapping[str, Any]], grid: str, metric: str, keys: Sequence[str]) -> np.ndarray:
    """[cases, classes], nan where undefined."""
    values = [[row["metrics"][grid][key][metric] for key in keys] for row in rows]
    return np.array([[math.nan if v is None else v for v in row] for row in values], dtype=float)


def _present(rows: Sequence[Mapping[str, Any]], grid: str, keys: Sequence[str]) -> np.ndarray:
    """[2, cases, classes] bool: whether the prediction and the truth have the class."""
    return np.stack([_table(rows, grid, side, keys) > 0 for side in ("volume_ml", "truth_ml")])


def _filled(table: np.ndarray, rows: Sequence[Mapping[str, Any]], grid: str, keys: Sequence[str]) -> np.ndarray:
    return np.where(_present(rows, grid, keys).any(0), table, 1.0)


def _block(table: np.ndarray, rows: Sequence[Mapping[str, Any]], grid: str, keys: Sequence[str]) -> dict[str, Any]:
    pred, truth = _present(rows, grid, keys)
    per_class = {
        key: {
            **_interval(table[:, i]),
            "cases": int((~np.isnan(table[:, i])).sum()),
            "undefined": int((pred[:, i] != truth[:, i]).sum()),
            "absent": int((~pred[:, i] & ~truth[:, i]).sum()),
        }
        for i, key in enumerate(keys)
    }
    return {**_interval(table), "cases": int((~np.isnan(table)).any(1).sum()), "per_class": per_class}


def _interval(values: np.ndarray) -> dict[str, float | None]:
    found = bootstrap_mean(values, level=LEVEL, resamples=RESAMPLES)
    return {"mean": finite(found.mean), "low": finite(found.low), "high": finite(found.high)}


def labelmap_sha256(labelmap: np.ndarray) -> str:
    """SHA-256 of a label map's size and values (uint16, little-endian, x fastest), whatever its type and file."""
    digest = hashlib.sha256(np.asarray(labelmap.shape, "<i8").tobytes())
    for z in range(labelmap.shape[2]):
        digest.update(labelmap[..., z].astype("<u2").tobytes(order="F"))
    return digest.hexdigest()


def labels_of(task: Task) -> dict[str, int]:
    """label key -> value of a task's structures."""
    return {label.key: label.value for label in task.labels}
