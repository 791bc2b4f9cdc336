"""``segment``: one volume in, its label map and what was measured in it out."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np

from rep3d.inference.pipeline import segment_with_weights
from rep3d.inference.region import Region
from rep3d.worker import volumes
from rep3d.worker.job import Job
from rep3d.worker.warm import WarmModels


def segment(job: Job, models: WarmModels) -> dict[str, Any]:
    """See docs/worker.md. Raises what ``segment_volume`` raises, and OutputFailed."""
    start = time.perf_counter()
    p = job.params
    job.progress(0.0, "preparing")
    volume = volumes.map_volume(job, p["volume"])
    model = models.model(p["task"], p["weights"], job)
    loaded = time.perf_counter()
    volumes.check_memory(volume, model.weights.meta)
    volume = volumes.finite(volume)
    read = time.perf_counter()
    result = segment_with_weights(
        volume,
        model.weights,
        model.network,
        roi=region(p["roi"]),
        structures=tuple(p["structures"]) if p["structures"] else None,
        progress=job.progress,
        cancelled=job.cancelled,
        on_caution=lambda caution: job.log(caution.message, "warning"),
        remove_islands=p["remove_islands"],
        **run_options(p),
    )
    # First axis fastest, which is how 3D Slicer keeps its voxels: both sides then copy straight through.
    name = job.write_array("labels", np.asfortranarray(result.labelmap))
    return {
        "labels": name,
        "task": result.task.key,
        "name": result.name,
        "label_info": [label.to_dict() for label in result.labels],
        "stats": [asdict(structure) for structure in result.stats],
        "warnings": list(result.warnings),
        "cautions": [caution.to_dict() for caution in result.cautions],
        "settings": result.settings,
        "timings_s": {"load": loaded - start, "read": read - loaded, **result.timings_s},
        "weights": result.weights,
        "cached": model.cached,
        "seconds": time.perf_counter() - start,
    }


def run_options(p: dict[str, Any]) -> dict[str, Any]:
    """The options that every run takes."""
    return {key: p[key] for key in ("device", "precision", "engine", "overlap", "tta", "batch")}


def region(roi: dict[str, Any] | None) -> Region | None:
    """The box of the request. Raises BadInput."""
    return None if roi is None else Region.from_box(roi["matrix"], roi["size_mm"])
