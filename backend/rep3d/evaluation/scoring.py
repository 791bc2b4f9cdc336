"""One case at a time: segment it or read its label map, check it against the truth, and measure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rep3d.data.agreement import disagreement
from rep3d.data.cache import preprocess_case
from rep3d.data.dataset import Case
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.evaluation.metrics import case_metrics
from rep3d.evaluation.postprocess import PostProcess
from rep3d.evaluation.rows import Scores, labelmap_sha256, labels_of, make_row
from rep3d.evaluation.subject import Subject
from rep3d.inference.options import InferenceOptions
from rep3d.inference.result import SegmentationResult
from rep3d.tasks import Task


@dataclass(frozen=True)
class Measure:
    """What is measured: ``tolerance_mm`` by label key, on which ``grids``, with which rules of post-processing."""

    tolerance_mm: Mapping[str, float]
    grids: tuple[str, ...]
    rules: PostProcess | None = None


def segment_case(subject: Subject, case: Case, inference: InferenceOptions) -> SegmentationResult:
    """Segment one case as `rep3d segment` does."""
    from rep3d.inference.pipeline import segment_volume

    return segment_volume(
        read_volume(case.image),
        subject.network,
        subject.task,
        patch=subject.patch,
        mirror_axes=subject.mirror_axes,
        **inference.to_dict(),
    )


def score_case(
    subject: Subject, case: Case, inference: InferenceOptions, measure: Measure, hashes: Mapping[str, str]
) -> dict[str, Any]:
    """A row of a result file for one case of a network. Raises BadInput when image and label do not belong together."""
    task, scores, more = subject.task, {}, {}
    if "network" in measure.grids:
        on_network, truth_XYZ = _on_network(subject, case, inference)
        more["network_prediction_sha256"] = labelmap_sha256(on_network)
        scores["network"] = case_metrics(on_network, truth_XYZ, task.spacing_mm, labels_of(task), measure.tolerance_mm)
    start = time.perf_counter()
    result = segment_case(subject, case, inference)
    seconds = time.perf_counter() - start
    truth = read_labelmap(case.label, task.labels)
    told = check_labels(truth, task, case.label, result.volume, case.image)
    native, extra = score_labelmap(result.labelmap, truth, task, measure)
    return make_row(
        case.id,
        native | scores,
        seconds,
        {
            **hashes,
            **extra,
            **more,
            "engine": result.settings["engine"],
            "tta": result.settings["tta"],
            "warnings": told,
        },
    )


def score_labelmap(
    pred: np.ndarray, truth: Volume, task: Task, measure: Measure
) -> tuple[dict[str, Scores], dict[str, Any]]:
    """Metrics on the scan's own grid, as predicted and with the rules, and what a row says of the prediction."""
    labels, spacing = labels_of(task), truth.spacing_mm
    scores: dict[str, Scores] = {"native": case_metrics(pred, truth.array, spacing, labels, measure.tolerance_mm)}
    extra: dict[str, Any] = {"prediction_sha256": labelmap_sha256(pred)}
    if measure.rules is not None:
        voxel_ml = float(abs(np.linalg.det(truth.affine[:3, :3]))) / 1000
        changed, removed = measure.rules.apply(pred, task, voxel_ml)
        # What nothing was removed from has the same numbers.
        scores["postprocessed"] = (
            case_metrics(changed, truth.array, spacing, labels, measure.tolerance_mm) if removed else scores["native"]
        )
        extra["removed"] = removed
    return scores, extra


def check_labels(labels: Volume, task: Task, path: Path, other: Volume, other_path: Path) -> list[str]:
    """Raise BadInput, naming the file, unless ``labels`` holds the task's values on the grid of ``other``.

    Returns what reading the two has assumed, and how their grids differ where that is worth a remark.
    """
    apart = disagreement(other.grid, labels.grid)
    if apart is not None and apart.severity == "error":
        raise BadInput(
            f"{path} and {other_path} do not lie on one grid: {apart.text}",
            "Both must have one size, origin, spacing and direction.",
        )
    strange = [int(v) for v in np.unique(labels.array) if v >= task.num_classes]
    if strange:
        raise BadInput(
            f"{path} holds the values {strange[:8]}, but the task {task.key} knows 0 to {task.num_classes - 1}",
            "Check the task, or renumber the labels.",
        )
    told = [
        f"{file.name}: {text}" for file, volume in ((other_path, other), (path, labels)) for text in volume.warnings
    ]
    if apart is not None:
        told.append(f"{path.name} and {other_path.name} lie not quite on one grid: {apart.text}.")
    return list(dict.fromkeys(told))


def _on_network(subject: Subject, case: Case, inference: InferenceOptions) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true labels on the network's grid [X, Y, Z] uint8, as validation in training has them.

    That is by PyTorch and with one view of each window, whatever the options say.
    """
    from rep3d.inference.devices import autocast
    from rep3d.inference.windows import sliding_window_logits

    device = torch.device(inference.device)
    image_XYZ, label_XYZ = preprocess_case(case, subject.task)
    x_CXYZ = torch.from_numpy(image_XYZ.astype(np.float32))[None].to(device)
    with torch.inference_mode(), autocast(device, inference.precision):
        logits_CXYZ = sliding_window_logits(subject.network.to(device), x_CXYZ, subject.patch, inference.overlap)
    return logits_CXYZ.argmax(0).to(torch.uint8).cpu().numpy(), label_XYZ
