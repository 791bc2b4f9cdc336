"""Segment one volume: network grid, intensities, crop, windows, and back to exactly the native grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rep3d import conformance
from rep3d.data.volume import Volume
from rep3d.errors import BadInput, WeightsInvalid
from rep3d.inference import checks
from rep3d.inference.cautions import Caution, after_run, before_run
from rep3d.inference.devices import autocast, describe_device, memory_errors, resolve_device, resolve_precision
from rep3d.inference.engines import check_engine, choose_engine
from rep3d.inference.feeder import Feeder, Predictor, check_batch
from rep3d.inference.islands import remove_islands as take_islands
from rep3d.inference.labelling import predict_labels
from rep3d.inference.prepared import Prepared, describe, labels_bytes, prepare
from rep3d.inference.region import Bounds, Region, as_region
from rep3d.inference.result import SegmentationResult, measure
from rep3d.inference.run import Progress, Run
from rep3d.inference.tta import mirrored, shifted
from rep3d.inference.windows import Patch, count_windows
from rep3d.probability_map import ProbabilityWriter

if TYPE_CHECKING:
    from rep3d.tasks import Intensity, Label, Task
    from rep3d.weights import Weights


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
    roi: Region | Bounds | None = None,
    structures: tuple[str, ...] | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
    engine: str = "torch",
    batch: int | str = "auto",
    skip_empty: bool = True,
    remove_islands: bool | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    probabilities: Path | None = None,
) -> SegmentationResult:
    """Segment ``volume`` and return labels on exactly its grid.

    Args:
        predictor: module or function [b, 1, *patch] -> logits [b, task.num_classes, *patch].
        patch, spacing_mm, intensity: what the weights were trained with; default: the task's.
        overlap: of neighbouring windows, 0 to 0.9.
        tta: average mirrored copies along ``mirror_axes``, or slightly shifted ones if there are none (see tta.py).
        roi: only look inside (R0, R1, A0, A1, S0, S1) in RAS millimetres, or inside a box turned any way (Region).
        structures: keys of the labels to keep; default: all.
        engine: "torch", "openvino" (on the CPU; prepared at its first use), or "auto": the faster of them here.
        batch: windows at once, or "auto": as many as a CUDA GPU holds; elsewhere 1, or 2 small ones (see Feeder).
        skip_empty: do not compute windows of one value (air) again and again; the labels are the same.
        remove_islands: take away small parts of each structure (see islands.py); None: no.
        progress: called with (fraction, stage); cancelled: asked often, a true answer ends the run with Cancelled.
        probabilities: see :func:`segment_prepared`.

    Raises:
        BadInput, OutOfMemory, DeviceUnavailable, WeightsInvalid, OutputFailed, Cancelled.
    """
    run, patch = Run(progress, cancelled), patch or task.patch
    check_batch(batch)
    check_engine(engine)
    choose_labels(task, structures)  # refused before any work is done, like an unknown device or precision
    torch_device = resolve_device(str(device))
    resolve_precision(precision, torch_device)
    with memory_errors(torch_device):
        prepared = prepare(
            volume,
            task,
            patch=patch,
            spacing_mm=spacing_mm or task.spacing_mm,
            intensity=intensity or task.intensity,
            roi=as_region(roi),
            run=run,
        )
    return segment_prepared(
        prepared,
        predictor,
        task,
        patch=patch,
        overlap=overlap,
        tta=tta,
        mirror_axes=mirror_axes,
        structures=structures,
        device=torch_device,
        precision=precision,
        engine=engine,
        batch=batch,
        skip_empty=skip_empty,
        remove_islands=bool(remove_islands),
        probabilities=probabilities,
        run=run,
    )


def segment_prepared(
    prepared: Prepared,
    predictor: Predictor,
    task: Task,
    *,
    patch: Patch,
    overlap: float = 0.5,
    tta: bool = False,
    mirror_axes: tuple[int, ...] = (),
    structures: tuple[str, ...] | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
    engine: str = "torch",
    batch: int | str = "auto",
    skip_empty: bool = True,
    remove_islands: bool = False,
    probabilities: Path | None = None,
    run: Run | None = None,
) -> SegmentationResult:
    """Segment a volume that was prepared before, or one patch of it (:meth:`Prepared.around`).

    Args:
        overlap, tta, mirror_axes, structures, device, precision, engine, batch, skip_empty, remove_islands: see
            :func:`segment_volume`.
        probabilities: also write the classes' probabilities there (see rep3d.probability_map), whatever
            ``structures`` and the region say; the file must not exist yet and is removed if the run fails.

    Raises:
        BadInput, OutOfMemory, DeviceUnavailable, WeightsInvalid, OutputFailed, Cancelled.
    """
    run = run or Run()
    volume, labels = prepared.volume, choose_labels(task, structures)
    torch_device = resolve_device(str(device))
    precision = resolve_precision(precision, torch_device)
    conformance.require(torch_device, precision)
    with run.clock("engine"):
        shape = (1, len(prepared.x_CDHW), *patch)
        count = count_windows(tuple(prepared.x_CDHW.shape[1:]), patch, overlap)
        chosen = choose_engine(
            engine, predictor, torch_device, precision, shape, count, lambda stage: run.report(0.02, stage)
        )
    predict = _predictor(chosen.predictor, torch_device, precision, tta, mirror_axes, task, run)
    feeder = Feeder(predict, torch_device, batch, skip_constant=skip_empty, patch=patch)
    # Before the first window, for what is left after cropping.
    at_once = feeder.size if torch_device.type == "cpu" else 1  # a GPU has memory of its own
    need = checks.window_bytes(tuple(prepared.x_CDHW.shape[1:]), patch, task.num_classes, at_once)
    need += labels_bytes(volume, task)
    checks.check_memory(need, describe(volume))
    dtype = np.uint8 if task.num_classes <= 256 else np.uint16
    writer = None if probabilities is None else ProbabilityWriter(probabilities, volume.shape, task.num_classes)
    try:
        with memory_errors(torch_device):
            labelmap = np.zeros(volume.shape, dtype, order="F")  # x first, as in the file
            predict_labels(prepared, labelmap, feeder, patch, overlap, run, writer)
            run.report(0.98, "measuring")
            with run.clock("measure"):
                if prepared.region is not None:
                    prepared.region.clear_outside(labelmap, volume.affine)
                if len(labels) < len(task.labels):
                    keep = np.zeros(task.num_classes, dtype)
                    keep[[label.value for label in labels]] = [label.value for label in labels]
                    labelmap = keep[labelmap]
                voxel_mm3 = float(abs(np.linalg.det(volume.affine[:3, :3])))
                removed = take_islands(labelmap, labels, voxel_mm3) if remove_islands else None
                stats = measure(labelmap, volume.array, labels, voxel_mm3)
        if writer is not None:
            writer.close()
        run.report(1.0, "done")
    except BaseException:
        if writer is not None:
            writer.discard()
        raise
    warnings = list(prepared.warnings)
    if feeder.too_many:
        warnings.append(
            f"{feeder.too_many} windows at once did not fit the memory of {torch_device}: {feeder.size} were run."
        )
    if not labelmap.any():
        warnings.append("Nothing was found: no voxel was given to any structure.")
    settings: dict[str, Any] = {
        "device": describe_device(torch_device),
        "precision": precision,
        "engine": str(chosen),
        "engine_reason": chosen.reason,
        "batch": feeder.size,
        "windows": feeder.windows,
        "windows_skipped": feeder.skipped,
        "overlap": overlap,
        "tta": ("mirror" if mirror_axes else "shift") if tta else None,
        "roi_mm_ras": prepared.region.to_setting() if prepared.region else None,
        "structures": [label.key for label in labels],
        "islands": removed,  # by structure, what was taken away; None: not asked for
        "patch": list(patch),
        "spacing_mm": list(prepared.asked_mm),
        "network_grid": list(prepared.grid),
        "network_box": [list(b) for b in prepared.box],
    }
    return SegmentationResult(
        volume, labelmap, task, labels, tuple(stats), tuple(dict.fromkeys(warnings)), settings, dict(run.timings)
    )


def segment_with_weights(
    volume: Volume,
    weights: Weights,
    net: nn.Module | None = None,
    *,
    on_caution: Callable[[Caution], None] | None = None,
    remove_islands: bool | None = None,
    **options: Any,
) -> SegmentationResult:
    """Segment with loaded weights: their network, task, patch, spacing and intensities. ``options``: segment_volume's.

    Args:
        net: ``weights.build_network()``, to be given when many volumes are segmented in a row.
        on_caution: called before the first window with what the user must know of this run (rep3d.inference.cautions);
            the result holds these cautions and those that the labels give cause for.
        remove_islands: default: what the weights' validation says.
    """
    meta = weights.meta
    cautions = before_run(meta, volume.shape, volume.affine, volume, as_region(options.get("roi")))
    for caution in cautions if on_caution is not None else ():
        on_caution(caution)
    result = segment_volume(
        volume,
        net if net is not None else weights.build_network(),
        meta.task,
        patch=tuple(meta.patch),
        spacing_mm=tuple(meta.spacing_mm),
        intensity=meta.intensity,
        mirror_axes=mirror_axes_of(weights),
        remove_islands=weights.meta.remove_islands if remove_islands is None else remove_islands,
        **options,
    )
    return with_cautions(result, weights, cautions)


def with_cautions(result: SegmentationResult, weights: Weights, before: tuple[Caution, ...]) -> SegmentationResult:
    """The result with what made it and all cautions; a warning that is one of them is not said twice."""
    said = " ".join(caution.message for caution in before)
    return replace(
        result,
        weights=describe_weights(weights),
        cautions=(*before, *after_run(weights.meta, result)),
        warnings=tuple(text for text in result.warnings if text not in said),
    )


def prepare_for(weights: Weights, volume: Volume, *, region: Region | None = None, run: Run | None = None) -> Prepared:
    """Prepare ``volume`` as these weights need it, to be segmented more than once. Raises as :func:`prepare`."""
    meta = weights.meta
    return prepare(
        volume,
        meta.task,
        patch=tuple(meta.patch),
        spacing_mm=tuple(meta.spacing_mm),
        intensity=meta.intensity,
        roi=region,
        run=run,
    )


def mirror_axes_of(weights: Weights) -> tuple[int, ...]:
    """Axes along which the weights were trained with mirrored images."""
    return tuple(weights.meta.training.get("mirror_axes") or ())


def describe_weights(weights: Weights) -> dict[str, Any]:
    """What a result records of the weights it was made with."""
    meta = weights.meta
    what = {"id": meta.id, "sha256": weights.sha256, "file": str(weights.path), "licence": meta.licence}
    what["demo_only"] = meta.demo_only
    members = meta.training.get("members")  # of an ensemble
    return what | ({"members": members, "average": meta.training["average"]} if members else {})


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


def _predictor(
    predictor: Predictor,
    device: torch.device,
    precision: str,
    tta: bool,
    mirror_axes: tuple[int, ...],
    task: Task,
    run: Run,
) -> Callable[[Tensor], Tensor]:
    """What the windows go to: [b, 1, *patch] on ``device`` -> [b, K, *patch], for every view that ``tta`` asks for."""
    if isinstance(predictor, nn.Module):
        predictor = predictor.to(device).eval()

    def predict(x_BCDHW: Tensor) -> Tensor:
        run.check()  # here too: one window of many views takes as long as many windows
        with autocast(device, precision):
            logits = predictor(x_BCDHW)
        if logits.shape[1] != task.num_classes:
            raise WeightsInvalid(
                f"The network has {logits.shape[1]} classes, the task {task.key} has {task.num_classes}.",
                "The weights do not belong to this task.",
            )
        return logits

    if not tta:
        return predict
    return mirrored(predict, mirror_axes) if mirror_axes else shifted(predict)
