"""``hello``, ``tasks``, ``unload``: what there is here."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import torch

import rep3d
from rep3d.errors import Rep3DError
from rep3d.inference.devices import resolve_device
from rep3d.tasks import Task, list_tasks
from rep3d.weights import WeightsMeta, list_weights, read_meta
from rep3d.weights_store import origin
from rep3d.worker import params, protocol
from rep3d.worker.job import Job
from rep3d.worker.warm import WarmModels


def hello(job: Job, models: WarmModels) -> dict[str, Any]:
    """Versions, devices with their memory, methods."""
    return {
        "protocol": protocol.PROTOCOL,
        "rep3d": rep3d.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": metadata.version("numpy"),
        "platform": platform.platform(),
        "pid": os.getpid(),
        "devices": devices(),
        "default_device": str(resolve_device("auto")),
        "methods": list(params.METHODS),
    }


def devices() -> list[dict[str, Any]]:
    """Every device that a run can take: name, label for people, memory in bytes (None where nobody knows)."""
    import psutil

    memory = psutil.virtual_memory()
    threads = torch.get_num_threads()
    label = f"CPU ({threads} thread{'s' if threads != 1 else ''})"
    found = [{"name": "cpu", "label": label, "memory_total": memory.total, "memory_free": memory.available}]
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        try:
            free, total = torch.cuda.mem_get_info(i)
        except RuntimeError:  # busy with exclusive access, or failing: it is there, and a run will say what is wrong
            free = total = None
        row = {"name": f"cuda:{i}", "label": torch.cuda.get_device_name(i), "memory_total": total, "memory_free": free}
        found.append(row)
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "label": "Apple GPU", "memory_total": memory.total, "memory_free": None})
    return found


def tasks(job: Job, models: WarmModels) -> dict[str, Any]:
    """Every task of the package and those of a user's own weights; what weights say of a task goes before its file."""
    installed: dict[str, dict[str, Any]] = {}
    trained: dict[str, WeightsMeta] = {}
    for path in list_weights():  # the user's come first and win, as in `find_weights`
        key = path.stem
        if key in installed:
            continue
        row: dict[str, Any] = {"path": str(path), "id": None, "origin": origin(path), "error": None}
        row |= {"demo_only": None, "expected_region": None}
        try:
            meta = read_meta(path)
        except Rep3DError as error:
            row["error"] = str(error)
        else:
            row |= {"id": meta.id, "demo_only": meta.demo_only, "expected_region": meta.expected_region}
            if meta.task.key == key:
                trained[key] = meta
            else:
                row["error"] = f"{path.name} was trained for task {meta.task.key!r}"
        installed[key] = row
    listed = {task.key: task for task in list_tasks()}
    own = {key: meta.task for key, meta in trained.items() if key not in listed}
    return {"tasks": [task_row(t, trained.get(k), installed.get(k)) for k, t in sorted({**listed, **own}.items())]}


def task_row(task: Task, trained: WeightsMeta | None, weights: dict[str, Any] | None) -> dict[str, Any]:
    """One task. Labels, grid and window are those of the installed weights where there are some: they are what runs."""
    row = {
        "key": task.key,
        "title": task.title,
        "modality": task.modality,
        "region": task.region,
        "purpose": task.purpose,
        "notes": task.notes,
        "labels": [label.to_dict() for label in (trained.task if trained else task).labels],
        "spacing_mm": list(trained.spacing_mm if trained else task.spacing_mm),
        "patch": list(trained.patch if trained else task.patch),
        "network": trained.network["name"] if trained else task.network,
        "dataset": dict(task.dataset),
        "weights": weights,
    }
    if trained:
        row["licence"] = trained.licence
    return row


def unload(job: Job, models: WarmModels) -> dict[str, Any]:
    """Forget the model and the volumes that are open."""
    models.open_volumes.clear()
    models.unload()
    return {}
