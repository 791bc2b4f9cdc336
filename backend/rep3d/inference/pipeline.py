"""Segment one volume: network grid, intensities, crop, windows, and back to exactly the native grid."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rep3d.data.preprocess import closest_axes, normalise, reorient, to_network_grid
from rep3d.data.volume import Volume
from rep3d.errors import BadInput, Cancelled, WeightsInvalid
from rep3d.inference import checks
from rep3d.inference.devices import autocast, describe_device, memory_errors, resolve_device, resolve_precision
from rep3d.inference.mapping import AxisMap, LabelMapper
from rep3d.inference.result import SegmentationResult, measure
from rep3d.inference.tta import mirrored, shifted
from rep3d.inference.windows import Patch, Predictor, iterate_slabs

if TYPE_CHECKING:
    from rep3d.tasks import Intensity, Label, Task
    from rep3d.weights import Weights

Progress = Callable[[float, str], None]  # fraction 0..1 of the run, name of the stage
Maps = tuple[AxisMap, AxisMap, AxisMap]
Roi = tuple[float, float, float, float, float, float]


class _Run:
    """Progress, cancelling and the clock of one run."""

    def __init__(self, progress: Progress | None, cancelled: Callable[[], bool] | None):
        self.progress, self.cancelled = progress, cancelled
        self.timings: dict[str, float] = {}

    def report(self, fraction: float, stage: str) -> None:
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("The segmentation was cancelled.")
        if self.progress is not None:
            self.progress(fraction, stage)

    @contextmanager
    def clock(self, stage: str):
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start


def segment_volume(
    volume: Volume,
    predictor: Predictor,
    task: Task,
    *,
    patch: Patch | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    intensity: Intensity | None = None,
    overlap: float = 0.5,
    tta: bool = False,
    mirror_axes: tuple[int, ...] = (),
    roi: Roi | None = None,
    structures: tuple[str, ...] | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> SegmentationResult:
    """Segment ``volume`` and return labels on exactly its grid.

    Args:
        predictor: module or function [1, 1, *patch] -> logits [1, task.num_classes, *patch].
        patch, spacing_mm, intensity: what the weights were trained with; default: the task's.
        overlap: of neighbouring windows, 0 to 0.9.
        tta: average mirrored copies along ``mirror_axes``, or slightly shifted ones if there are none (see tta.py).
        roi: only look inside (R0, R1, A0, A1, S0, S1) in RAS millimetres.
        structures: keys of the labels to keep; default: all.
        progress: called with (fraction, stage); cancelled: asked often, a true answer ends the run with Cancelled.

    Raises:
        BadInput, OutOfMemory, DeviceUnavailable, WeightsInvalid, Cancelled.
    """
    run = _Run(progress, cancelled)
    patch, spacing_mm = patch or task.patch, spacing_mm or task.spacing_mm
    labels = choose_labels(task, structures)
    torch_device = resolve_device(str(device))
    precision = resolve_precision(precision, torch_device)
    warnings = [*volume.warnings, *checks.modality_warnings(volume, task)]
    network_size = [max(1.0, n * s / m) for n, s, m in zip(*_ras_size(volume), spacing_mm)]
    what = f"{volume.path or 'The volume'}: segmenting {' x '.join(map(str, volume.shape))} voxels"
    labels_bytes = int(np.prod(volume.shape)) * (1 if task.num_classes <= 256 else 2)
    checks.check_memory(checks.prepare_bytes(_ras_size(volume)[0], tuple(network_size)) + labels_bytes, what)

    with memory_errors(torch_device):
        run.report(0.0, "preparing")
        with run.clock("prepare"):
            grid = to_network_grid(volume, spacing_mm)
            x_XYZ = _normalised(grid, intensity or task.intensity)
            grid = replace(grid, array=x_XYZ)
            box = checks.body_box(x_XYZ, patch)
            if roi is not None:
                box = checks.roi_box(roi, grid.affine, grid.shape, patch)
            network_grid, network_spacing = grid.shape, grid.spacing_mm
            x_CDHW = torch.from_numpy(np.ascontiguousarray(x_XYZ[tuple(slice(*b) for b in box)])).unsqueeze(0)
            del grid, x_XYZ  # the cropped copy is all that is needed from here on
            need = checks.window_bytes(tuple(x_CDHW.shape[1:]), patch, task.num_classes) + labels_bytes
            checks.check_memory(need, what)  # before the first window, for what is left after cropping
            maps = _way_back(volume, network_grid, network_spacing, box)
        predict = _predictor(predictor, torch_device, precision, tta, mirror_axes, task)
        dtype = np.uint8 if task.num_classes <= 256 else np.uint16
        labelmap = np.zeros(volume.shape, dtype, order="F")  # x first, as in the file
        _predict_labels(x_CDHW, maps, reorient(labelmap, *closest_axes(volume.affine)), predict, patch, overlap, run)
        run.report(0.98, "measuring")
        with run.clock("measure"):
            if roi is not None:
                checks.clear_outside_roi(labelmap, volume.affine, roi)
            if len(labels) < len(task.labels):
                keep = np.zeros(task.num_classes, dtype)
                keep[[label.value for label in labels]] = [label.value for label in labels]
                labelmap = keep[labelmap]
            voxel_mm3 = float(abs(np.linalg.det(volume.affine[:3, :3])))
            stats = measure(labelmap, volume.array, labels, voxel_mm3)
    if not labelmap.any():
        warnings.append("Nothing was found: no voxel was given to any structure.")
    run.report(1.0, "done")
    settings: dict[str, Any] = {
        "device": describe_device(torch_device),
        "precision": precision,
        "overlap": overlap,
        "tta": ("mirror" if mirror_axes else "shift") if tta else None,
        "roi_mm_ras": list(roi) if roi else None,
        "structures": [label.key for label in labels],
        "patch": list(patch),
        "spacing_mm": list(spacing_mm),
        "network_grid": list(network_grid),
        "network_box": [list(b) for b in box],
    }
    return SegmentationResult(
        volume, labelmap, task, labels, tuple(stats), tuple(dict.fromkeys(warnings)), settings, dict(run.timings)
    )


def segment_with_weights(
    volume: Volume, weights: Weights, net: nn.Module | None = None, **options: Any
) -> SegmentationResult:
    """Segment with loaded weights: their network, task, patch, spacing and intensities. ``options``: segment_volume's.

    ``net`` is ``weights.build_network()``, to be given when many volumes are segmented in a row.
    """
    meta = weights.meta
    result = segment_volume(
        volume,
        net if net is not None else weights.build_network(),
        meta.task,
        patch=tuple(meta.patch),
        spacing_mm=tuple(meta.spacing_mm),
        intensity=meta.intensity,
        mirror_axes=tuple(meta.training.get("mirror_axes") or ()),
        **options,
    )
    described = {"id": meta.id, "sha256": weights.sha256, "file": str(weights.path), "licence": meta.licence}
    return replace(result, weights=described)


def _normalised(grid: Volume, intensity: Intensity) -> np.ndarray:
    try:
        return normalise(grid.array, intensity)
    except BadInput as error:
        raise BadInput(f"{grid.path or 'The volume'}: {error}", error.hint) from error


def choose_labels(task: Task, structures: tuple[str, ...] | None) -> tuple[Label, ...]:
    """The task's labels with these keys, in the task's order; all of them for None."""
    if structures is None:
        return tuple(task.labels)
    known = {label.key for label in task.labels}
    unknown = [key for key in structures if key not in known]
    if unknown or not structures:
        raise BadInput(
            f"The task {task.key} has no structure {', '.join(unknown) or '(none given)'}.",
            "It has: " + ", ".join(sorted(known)) + ".",
        )
    return tuple(label for label in task.labels if label.key in structures)


def _ras_size(volume: Volume) -> tuple[list[int], list[float]]:
    axes, _ = closest_axes(volume.affine)
    return [volume.shape[a] for a in axes], [volume.spacing_mm[a] for a in axes]


def _predictor(
    predictor: Predictor, device: torch.device, precision: str, tta: bool, mirror_axes: tuple[int, ...], task: Task
) -> Callable[[Tensor], Tensor]:
    if isinstance(predictor, nn.Module):
        predictor = predictor.to(device).eval()

    def predict(x_BCDHW: Tensor) -> Tensor:
        with autocast(device, precision):
            logits = predictor(x_BCDHW.to(device))
        if logits.shape[1] != task.num_classes:
            raise WeightsInvalid(
                f"The network has {logits.shape[1]} classes, the task {task.key} has {task.num_classes}.",
                "The weights do not belong to this task.",
            )
        return logits

    if not tta:
        return predict
    return mirrored(predict, mirror_axes) if mirror_axes else shifted(predict)


def _way_back(volume: Volume, size: tuple[int, ...], spacing_mm: tuple[float, ...], box: checks.Box) -> Maps:
    """From ``box`` of the network grid to each axis of the native grid in RAS order."""
    sizes, spacings = _ras_size(volume)
    return tuple(AxisMap.build(sizes[a], size[a], spacings[a] / spacing_mm[a], box[a]) for a in range(3))


def _predict_labels(
    x_CDHW: Tensor,
    maps: Maps,
    labels_XYZ: np.ndarray,
    predict: Callable[[Tensor], Tensor],
    patch: Patch,
    overlap: float,
    run: _Run,
) -> None:
    """Run the windows over the cropped network grid and fill ``labels_XYZ`` (native, RAS view) slab by slab."""
    padded = [max(n, p) for n, p in zip(x_CDHW.shape[1:], patch)]
    axis = min(range(3), key=lambda a: patch[a] * padded[(a + 1) % 3] * padded[(a + 2) % 3])
    mapper = LabelMapper(labels_XYZ, maps, axis)

    def on_window(done: int, total: int) -> None:
        run.report(0.02 + 0.96 * done / total, f"segmenting (window {done} of {total})")

    with torch.inference_mode():
        slabs = iterate_slabs(predict, x_CDHW, patch, overlap, axis=axis, on_window=on_window, cancelled=run.cancelled)
        while True:
            with run.clock("network"):
                _, slab = next(slabs, (0, None))
            if slab is None:
                break
            with run.clock("map back"):
                mapper.add(slab)
    if not mapper.finished():
        raise RuntimeError("rows of the native grid were left without labels")
