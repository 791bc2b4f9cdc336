"""Overlap metrics. Foreground classes only; a class that neither rater drew has no score (nan), not a perfect one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def dice_per_class(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> list[float]:
    """Dice 2|P n T| / (|P| + |T|) of the classes 1 .. num_classes-1, in that order.

    ``pred`` and ``truth`` are integer label maps of one shape. nan where a class is absent from both; 0 where it is in
    one only. Raises ValueError on different shapes.
    """
    if pred.shape != truth.shape:
        raise ValueError(f"prediction {pred.shape} and truth {truth.shape} differ in shape")
    pred, truth = np.asarray(pred).ravel().astype(np.int64), np.asarray(truth).ravel().astype(np.int64)
    in_pred = np.bincount(pred, minlength=num_classes)
    in_truth = np.bincount(truth, minlength=num_classes)
    in_both = np.bincount(pred[pred == truth], minlength=num_classes)
    total = in_pred + in_truth
    return [2 * in_both[c] / total[c] if total[c] else math.nan for c in range(1, num_classes)]


def class_means(per_case: Sequence[Sequence[float]]) -> list[float]:
    """Mean over cases of each class, cases without the class left out (nan when no case has it)."""
    table = np.asarray(per_case, dtype=float)
    if table.size == 0:
        return []
    counted = ~np.isnan(table)
    sums, counts = np.where(counted, table, 0).sum(0), counted.sum(0)
    return [float(s / n) if n else math.nan for s, n in zip(sums, counts, strict=True)]


def mean_dice(per_case: Sequence[Sequence[float]]) -> float:
    """Mean over classes of `class_means`: per-case Dice first, never a mean of running means; nan without any class."""
    means = [m for m in class_means(per_case) if not math.isnan(m)]
    return float(np.mean(means)) if means else math.nan
