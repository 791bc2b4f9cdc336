"""Score a network on one split of a data folder: Dice per case and class, on the scan's own and on the network grid."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rep3d.data.cache import preprocess_case
from rep3d.data.dataset import Case, data_list, find_dataset
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.errors import BadInput
from rep3d.evaluation.metrics import class_means, dice_per_class, mean_dice
from rep3d.files import sha256_file
from rep3d.tasks import Task

GRIDS = ("native", "network")


@dataclass(frozen=True)
class Subject:
    """What is scored: a network with its task and patch, and where it came from (``identity``: JSON-able)."""

    network: nn.Module
    task: Task
    patch: tuple[int, int, int]
    data_sha256: str
    identity: dict[str, Any]


def from_weights(path: Path) -> Subject:
    """A deployed weights file. Raises WeightsMissing, WeightsInvalid."""
    from dataclasses import replace

    from rep3d.weights import load_weights

    weights = load_weights(path)
    meta = weights.meta
    task = replace(meta.task, patch=tuple(meta.patch), spacing_mm=tuple(meta.spacing_mm), intensity=meta.intensity)
    identity = {"weights": meta.id, "sha256": weights.sha256, "network": meta.network["name"]}
    return Subject(weights.build_network(), task, task.patch, meta.data_sha256, identity)


def from_checkpoint(path: Path) -> Subject:
    """A training checkpoint, with its averaged weights where it has them. Raises BadInput."""
    from rep3d.training.checkpoint import load_checkpoint, trained_network

    checkpoint = load_checkpoint(path)
    network = trained_network(checkpoint, path)
    task = Task.from_dict(checkpoint["task"], str(path))
    identity = {
        "checkpoint": path.name,
        "step": checkpoint["step"],
        "network": checkpoint["network"]["name"],
        "config": checkpoint["config"],
    }
    patch = tuple(checkpoint["config"]["patch"])
    return Subject(network.requires_grad_(False), task, patch, checkpoint["data_sha256"], identity)


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
    limit: int = 0,
    progress: Callable[[int, int, dict], None] | None = None,
) -> dict[str, Any]:
    """Segment every case of the split as `rep3d segment` does and compare with its label map.

    Returns a JSON-able dict: ``cases`` (Dice by grid and label key, None where neither has the class), ``summary``
    (mean over cases by class, mean over classes, by grid), settings, ``split_cases`` (how many the split has),
    and ``same_data``: whether the data list is that of the training, so that the split is known to be the training's
    own. Raises BadInput for data that do not fit.
    """
    from rep3d.inference.devices import autocast, resolve_device, resolve_precision
    from rep3d.inference.pipeline import segment_volume
    from rep3d.inference.windows import sliding_window_logits

    task = subject.task
    dataset = find_dataset(data, task, fold)
    if limit < 0:
        raise BadInput(f"--limit must not be negative, got {limit}")
    available = dataset.of(split)
    chosen = available[: limit or None]
    if not chosen:
        raise BadInput(f"{data} has no case for {split!r}", "choose train, val or test")
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    digest = data_list(dataset, task.key, hashes)[1]
    torch_device = resolve_device(device)
    precision = resolve_precision(precision, torch_device)
    network = subject.network.to(torch_device)
    rows: list[dict] = []
    scores: dict[str, list[list[float]]] = {grid: [] for grid in GRIDS}
    for i, case in enumerate(chosen):
        image_XYZ, label_XYZ = preprocess_case(case, task)  # checks that image and label belong together
        x_CXYZ = torch.from_numpy(image_XYZ.astype(np.float32))[None].to(torch_device)
        with torch.inference_mode(), autocast(torch_device, precision):
            logits_CXYZ = sliding_window_logits(network, x_CXYZ, subject.patch, overlap)
        on_network = logits_CXYZ.argmax(0).to(torch.uint8).cpu().numpy()
        start = time.perf_counter()
        result = segment_volume(
            read_volume(case.image), network, task, patch=subject.patch, overlap=overlap, tta=tta,
            device=device, precision=precision,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        scores["network"].append(dice_per_class(on_network, label_XYZ, task.num_classes))
        scores["native"].append(dice_per_class(result.labelmap, read_labelmap(case.label).array, task.num_classes))
        rows.append(_row(case, task, {grid: scores[grid][-1] for grid in GRIDS}, seconds))
        if progress:
            progress(i + 1, len(chosen), rows[-1])
    return {
        "subject": subject.identity,
        "task": task.key,
        "split": split,
        "split_cases": len(available),
        "data_sha256": digest,
        "same_data": digest == subject.data_sha256,
        "settings": {"overlap": overlap, "tta": tta, "precision": precision, "device": str(torch_device)},
        "summary": {grid: _summary(scores[grid], task) for grid in GRIDS},
        "cases": rows,
    }


def _by_key(values: list[float], task: Task) -> dict[str, float | None]:
    """label key -> value; None instead of nan, which JSON does not have."""
    pairs = zip(task.labels, values, strict=True)
    return {label.key: None if math.isnan(v) else round(float(v), 5) for label, v in pairs}


def _row(case: Case, task: Task, scores: dict[str, list[float]], seconds: float) -> dict:
    dice = {grid: _by_key(values, task) for grid, values in scores.items()}
    return {
        "id": case.id,
        "dice": dice,
        "mean": {g: _finite(mean_dice([v])) for g, v in scores.items()},
        "seconds": seconds,
    }


def _summary(scores: list[list[float]], task: Task) -> dict[str, Any]:
    """Mean over classes of the mean over cases; the spread over cases of each case's own mean."""
    means = np.array([m for m in (mean_dice([row]) for row in scores) if not math.isnan(m)])
    spread = {"sd": float(means.std(ddof=1))} if len(means) > 1 else {"sd": None}
    extremes = {"lowest": float(means.min()), "median": float(np.median(means))} if len(means) else {}
    return {
        "mean": _finite(mean_dice(scores)),
        "per_class": _by_key(class_means(scores), task),
        "cases": len(scores),
        **spread,
        **extremes,
    }


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
