"""What `rep3d task check` looks at: every fault of the file, and what is right but should be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rep3d.errors import BadInput
from rep3d.planning.memory import MODELS, memory_text, training_bytes
from rep3d.planning.source import UNKNOWN
from rep3d.tasks import Task
from rep3d.tasks.findings import faults
from rep3d.tasks.store import TASK_FOLDER, find_task_file, own_folder, read_yaml


@dataclass(frozen=True)
class TaskFinding:
    """``severity`` "error" (the task cannot be used) or "note"; ``text`` is a sentence that names file and field."""

    severity: str
    text: str


def check_file(file: Path | str) -> list[TaskFinding]:
    """All findings about a task file (or the file of a key), errors first. Raises BadInput when it cannot be found."""
    path = Path(file)
    if path.suffix.lower() not in (".yaml", ".yml"):
        own = own_folder() / f"{file}.yaml"
        path = own if own.is_file() else find_task_file(str(file))
    if not path.is_file():
        raise BadInput(f"{path}: there is no such task file", "Check the path.")
    try:
        data = read_yaml(path)
    except BadInput as error:
        return [TaskFinding("error", str(error))]
    found = [TaskFinding("error", text) for text in faults(data, str(path))]
    found += _key_findings(path, data.get("key") if isinstance(data, dict) else None)
    if not any(f.severity == "error" for f in found):
        found += _network_findings(path, Task.from_dict(data, str(path)))
    return sorted(found, key=lambda f: f.severity != "error")


def _key_findings(path: Path, key: object) -> list[TaskFinding]:
    if path.resolve().parent == TASK_FOLDER.resolve():
        return []
    in_own_folder = path.resolve().parent == own_folder().resolve()
    found = []
    if isinstance(key, str) and (TASK_FOLDER / f"{key}.yaml").is_file():
        text = f"{path}: key: {key!r} is also the key of a task that comes with Rep3D"
        severity = "error" if in_own_folder else "note"  # by its path alone it can be meant
        found.append(TaskFinding(severity, text + ("" if in_own_folder else "; weights of both would have one name")))
    if in_own_folder and isinstance(key, str) and key != path.stem:
        text = f"{path}: key: the file is called {path.stem}, but its task {key}; they must agree"
        found.append(TaskFinding("error", text))
    return found


def _network_findings(path: Path, task: Task) -> list[TaskFinding]:
    """Whether the network exists and takes the patch (shapes only), its memory, and what is still to be filled in."""
    import torch

    from rep3d.networks import create_network

    found = []
    try:
        with torch.device("meta"), torch.no_grad():
            network = create_network(task.network, in_channels=1, out_channels=task.num_classes).eval()
            network(torch.empty(1, 1, *task.patch))
    except BadInput as error:
        found.append(TaskFinding("error", f"{path}: network: {task.network} with patch {list(task.patch)}: {error}"))
    else:
        if task.network in MODELS:
            needed = memory_text(training_bytes(task.network, task.patch, 4, task.num_classes))
            text = f"{path}: a training step with 2 volumes and 2 crops of each takes about {needed} in float32."
            found.append(TaskFinding("note", text))
    for name, text in task.dataset.items():
        if UNKNOWN in text:
            found.append(TaskFinding("note", f"{path}: dataset.{name} is to be filled in."))
    return found
