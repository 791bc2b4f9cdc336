"""``models``, ``inspect``, ``import_weights``, ``remove_weights``, ``download_weights``: the weights files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rep3d import weights_download, weights_store
from rep3d.errors import BadInput
from rep3d.weights import load_weights, user_folder
from rep3d.worker.job import Job
from rep3d.worker.warm import WarmModels


def models(job: Job, models: WarmModels) -> dict[str, Any]:
    """Installed weights, the unusable ones included, and what can be downloaded."""
    try:
        offered = [entry.to_dict() for entry in weights_store.available()]
    except BadInput as error:  # a list of one's own that is malformed must not hide what is installed
        job.log(str(error), "warning")
        offered = []
    return {"weights": weights_store.rows(), "available": offered, "folder": str(user_folder())}


def inspect(job: Job, models: WarmModels) -> dict[str, Any]:
    """One file, installed or not. Raises WeightsMissing and WeightsInvalid."""
    path = Path(job.params["path"])
    load_weights(path)  # raises where `row` would only tell
    return weights_store.row(path)


def import_weights(job: Job, models: WarmModels) -> dict[str, Any]:
    """Copy a file into the user's folder. Raises what ``import_file`` raises."""
    models.unload()  # Windows cannot replace a file that is mapped
    path = weights_store.import_file(job.params["path"], replace=job.params["replace"])
    return weights_store.row(path)


def remove_weights(job: Job, models: WarmModels) -> dict[str, Any]:
    """Delete one of the user's files. Raises what ``remove_file`` raises."""
    models.unload()
    weights_store.remove_file(job.params["path"])
    return {}


def download_weights(job: Job, models: WarmModels) -> dict[str, Any]:
    """Download and install. Raises what ``download`` raises."""
    entry = weights_store.published(job.params["id"])
    path = weights_download.download(entry, progress=job.progress, cancelled=job.cancelled)
    return weights_store.row(path)
