"""Metrics of one case by class: overlap, surfaces, volumes. nan where a metric is undefined, never a stand-in number.

Foreground classes only; a class that neither label map holds has no score (nan), not a perfect one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import ndimage

from rep3d.evaluation.surface import Surface, Triple, extract_surface, surface_distances

#: Voxels that are counted at a time: counting needs 8 bytes a voxel.
CHUNK = 4_000_000


def overlap_counts(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels of each class in the prediction, in the truth and in both, each [num_classes] (int64).

    ``pred`` and ``truth`` are label maps of one shape with values from 0; those from ``num_classes`` on are left out.
    Raises ValueError on different shapes.
    """
    if pred.shape != truth.shape:
        raise ValueError(f"prediction {pred.shape} and truth {truth.shape} differ in shape")
    counts = np.zeros((3, num_classes), np.int64)
    for p, t in _chunks(np.asarray(pred), np.asarray(truth)):
        for row, values in zip(counts, (p, t, p[p == t]), strict=True):
            row += np.bincount(values, minlength=num_classes)[:num_classes]
    return counts[0], counts[1], counts[2]


def _chunks(pred: np.ndarray, truth: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The voxels of both in one order, CHUNK at a time, without a copy where both lie in memory alike."""
    order = "F" if pred.flags.f_contiguous and truth.flags.f_contiguous else "C"
    p, t = pred.ravel(order=order), truth.ravel(order=order)
    for start in range(0, p.size, CHUNK):
        part = slice(start, start + CHUNK)
        yield p[part].astype(np.int64), t[part].astype(np.int64)


def dice_per_class(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> list[float]:
    """Dice 2|P n T| / (|P| + |T|) of the classes 1 .. num_classes-1, in that order.

    ``pred`` and ``truth`` are integer label maps of one shape. nan where a class is absent from both; 0 where it is in
    one only. Raises ValueError on different shapes.
    """
    in_pred, in_truth, in_both = overlap_counts(pred, truth, num_classes)
    total = in_pred + in_truth
    return [2 * in_both[c] / total[c] if total[c] else math.nan for c in range(1, num_classes)]


def case_metrics(
    pred: np.ndarray,
    truth: np.ndarray,
    spacing_mm: Triple,
    labels: Mapping[str, int],
    tolerance_mm: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    """All metrics of one case by label key.

    Args:
        pred, truth: integer label maps [X, Y, Z] of one shape and grid.
        spacing_mm: voxel size along each array axis. labels: key -> value in the maps, from 1.
        tolerance_mm: key -> tolerance of the NSD.

    Returns:
        For each key ``dice``, ``nsd`` (nan: in neither; 0: in one only), ``hd95_mm``, ``asd_mm`` (nan unless in both),
        ``volume_ml`` of the prediction, ``truth_ml``, ``volume_error_ml`` (prediction minus truth) and
        ``volume_error_percent`` of the truth (nan where the truth is empty).

    Raises:
        ValueError: different shapes.
    """
    classes = max(labels.values()) + 1
    in_pred, in_truth, in_both = overlap_counts(pred, truth, classes)
    boxes = [ndimage.find_objects(array, max_label=classes - 1) for array in (pred, truth)]
    voxel_ml = math.prod(spacing_mm) / 1000
    found = {}
    for key, value in labels.items():
        p, t = int(in_pred[value]), int(in_truth[value])
        scores = {
            "dice": 2 * int(in_both[value]) / (p + t) if p + t else math.nan,
            "nsd": 0.0 if p + t else math.nan,
            "hd95_mm": math.nan,
            "asd_mm": math.nan,
            "volume_ml": p * voxel_ml,
            "truth_ml": t * voxel_ml,
            "volume_error_ml": (p - t) * voxel_ml,
            "volume_error_percent": 100 * (p - t) / t if t else math.nan,
        }
        if p and t:
            sides = [_surface(a, box[value - 1], value, spacing_mm) for a, box in zip((pred, truth), boxes)]
            distances = surface_distances(*sides)
            scores |= {
                "nsd": distances.nsd(tolerance_mm[key]),
                "hd95_mm": distances.hausdorff(95),
                "asd_mm": distances.average(),
            }
        found[key] = scores
    return found


def _surface(array: np.ndarray, box: tuple[slice, ...], value: int, spacing_mm: Triple) -> Surface:
    """The surface of one class, from its bounding box alone."""
    return extract_surface(array[box] == value, spacing_mm, tuple(s.start for s in box))


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
