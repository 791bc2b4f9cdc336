"""``open``, ``prepare``, ``window``, ``forget``: one volume looked at many times, as a person clicks through it.

``open`` brings the volume onto the network's grid once. ``prepare`` then segments all of it, ``window`` one patch
around a voxel; both leave a probability map (rep3d.probability_map) in the private folder, for the other side to read.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from rep3d.inference.cautions import before_run
from rep3d.inference.pipeline import describe_weights, mirror_axes_of, prepare_for, segment_prepared
from rep3d.inference.prepared import Prepared
from rep3d.inference.run import Run
from rep3d.probability_map import index_path
from rep3d.worker import volumes
from rep3d.worker.job import Job
from rep3d.worker.open_volumes import OpenVolume
from rep3d.worker.protocol import ProtocolError
from rep3d.worker.segment import run_options

if TYPE_CHECKING:
    from rep3d.worker.warm import WarmModels


def open_volume(job: Job, models: WarmModels) -> dict[str, Any]:
    """Resample and normalise a volume for weights. Raises what ``segment`` raises before its first window."""
    start = time.perf_counter()
    p = job.params
    job.progress(0.0, "preparing")
    weights = models.weights(p["task"], p["weights"])
    volume = volumes.map_volume(job, p["volume"])
    volumes.check_memory(volume, weights.meta)
    volume = volumes.finite(volume)
    prepared = prepare_for(weights, volume, run=Run(job.progress, job.cancelled))
    job.check()
    task = weights.meta.task
    cautions = before_run(weights.meta, volume.shape, volume.affine, volume)
    key = models.open_volumes.add(OpenVolume(prepared, task.key, p["weights"], weights.sha256))
    return {
        "key": key,
        "task": task.key,
        "label_info": [label.to_dict() for label in task.labels],
        "shape": list(volume.shape),
        "warnings": list(prepared.warnings),
        "cautions": [caution.to_dict() for caution in cautions],
        "weights": describe_weights(weights),
        "seconds": time.perf_counter() - start,
    }


def prepare(job: Job, models: WarmModels) -> dict[str, Any]:
    """Segment the whole of an open volume: label map and probability map."""
    opened = models.open_volumes.get(job.params["key"])
    return _run(job, models, opened, opened.prepared, labels=True)


def window(job: Job, models: WarmModels) -> dict[str, Any]:
    """Segment one patch around a voxel of an open volume: probability map. Raises BadInput for a voxel outside."""
    opened = models.open_volumes.get(job.params["key"])
    weights = models.weights(opened.task, opened.weights)
    around = opened.prepared.around(tuple(job.params["at_ijk"]), tuple(weights.meta.patch))
    return _run(job, models, opened, around, labels=False)


def forget(job: Job, models: WarmModels) -> dict[str, Any]:
    """Drop an open volume and the files that belong to it; harmless if it is not open."""
    models.open_volumes.forget(job.params["key"])
    return {}


def _run(job: Job, models: WarmModels, opened: OpenVolume, part: Prepared, labels: bool) -> dict[str, Any]:
    start = time.perf_counter()
    model = models.model(opened.task, opened.weights, job)
    if model.weights.sha256 != opened.sha256:
        raise ProtocolError("the weights have changed since the volume was opened", "Open the volume again.")
    path = job.output_path("probabilities", ".bin")
    result = segment_prepared(
        part,
        model.network,
        model.weights.meta.task,
        patch=tuple(model.weights.meta.patch),
        mirror_axes=mirror_axes_of(model.weights),
        probabilities=path,
        run=Run(job.progress, job.cancelled),
        **run_options(job.params),
    )
    answer = {
        "probabilities": path.name,
        "stats": [asdict(structure) for structure in result.stats],
        "warnings": list(result.warnings),
        "settings": result.settings,
        "cached": model.cached,
    }
    files = [path, index_path(path)]
    if labels:
        answer["labels"] = job.write_array("labels", np.asfortranarray(result.labelmap))
        opened.files += [*files, job.folder / answer["labels"]]
    else:
        opened.keep_patch(files)
    return {**answer, "seconds": time.perf_counter() - start}
