"""Tasks and weights that are on this computer, told without any package: Slicer lists them before an installation.

The shipped tasks come from ``tasks/listing.json``, which is made from the task files (``python -m rep3d.catalog``), and
weights from the metadata in their files, which are looked at and not checked. Rows have the names of the worker's
answers to ``tasks`` and ``models``. Standard library only, except where a package happens to be there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rep3d.errors import Rep3DError, WeightsInvalid
from rep3d.safetensors_header import parse_json, read_header

PACKAGE = Path(__file__).parent
LISTING = PACKAGE / "tasks" / "listing.json"
SHIPPED_FOLDER = PACKAGE / "shipped"
#: What a row says of a task; the rest of a task file is of no use to a list.
TASK_FIELDS = (
    *("key", "title", "modality", "region", "purpose", "notes"),
    *("labels", "spacing_mm", "patch", "network", "dataset"),
)


def tasks() -> list[dict[str, Any]]:
    """Every task that can be listed, sorted by key, as the worker's ``tasks`` has them.

    A user's own task files are YAML: they are listed where PyYAML is installed, or where there are weights for them.
    """
    weights = {}
    for row, meta in _weights_files():
        weights.setdefault(Path(row["file"]).stem, (row, meta))  # the user's come first and win
    known = {task["key"]: task for task in (*_own_tasks(), *json.loads(LISTING.read_text(encoding="utf-8")))}
    for key, (_row, meta) in weights.items():
        if meta is not None and meta["task"]["key"] == key:
            known.setdefault(key, meta["task"])
    return [_task_row(task, *weights.get(key, (None, None))) for key, task in sorted(known.items())]


def weights() -> list[dict[str, Any]]:
    """Every weights file, the user's first, as the worker's ``models`` has them; ``sha256`` is not computed here."""
    return [row for row, _meta in _weights_files()]


def user_folder(name: str) -> Path:
    """The folder ``weights`` or ``tasks`` of this user, as ``rep3d.weights`` and ``rep3d.tasks`` know it."""
    override = os.environ.get(f"REP3D_{name.upper()}_DIR")
    if override:
        return Path(override)
    try:
        import platformdirs
    except ImportError:  # pip has a copy of its own, and is everywhere
        from pip._vendor import platformdirs
    return Path(platformdirs.user_data_dir("rep3d", appauthor=False)) / name


def read_meta(path: Path) -> dict[str, Any]:
    """What a weights file says of itself, its tensors not looked at. Raises WeightsInvalid."""
    text = read_header(path).metadata.get("rep3d")
    try:
        meta = parse_json(text, path, "its metadata")["meta"]
        texts = [meta[name] for name in ("id", "licence", "created")] + [meta["task"][key] for key in ("key", "title")]
        if not all(isinstance(text, str) for text in (*texts, meta["network"]["name"])):
            raise TypeError("text is expected")
        _task_row(meta["task"], None, meta)
        return {**meta, "expected": dict(meta.get("expected") or {})}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsInvalid(f"{path} is a safetensors file, but not one of Rep3D's") from error


def _weights_files() -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    folders = (("user", user_folder("weights")), ("shipped", SHIPPED_FOLDER))
    return [_weights_row(path, origin) for origin, folder in folders for path in sorted(folder.glob("*.safetensors"))]


def _weights_row(path: Path, origin: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    row: dict[str, Any] = {"path": str(path), "file": path.name, "bytes": None, "origin": origin, "error": None}
    names = ("id", "licence", "created", "training", "demo_only")
    row |= dict.fromkeys(
        (*names, "task", "task_title", "sha256", "network", "remove_islands", "expected_region", "extent_mm")
    )
    try:
        row["bytes"] = path.stat().st_size
        meta = read_meta(path)
    except (OSError, Rep3DError) as error:
        return row | {"error": str(error)}, None
    values = {name: meta.get(name) for name in names}
    values |= {"task": meta["task"]["key"], "task_title": meta["task"]["title"], "network": meta["network"]["name"]}
    expected = meta["expected"]
    values |= {"demo_only": bool(meta.get("demo_only")), "extent_mm": expected.get("extent_mm")}
    values["remove_islands"] = bool((meta.get("training") or {}).get("remove_islands"))
    return row | values | {"expected_region": expected.get("region") or meta["task"].get("region") or ""}, meta


def _task_row(
    task: dict[str, Any], weights: dict[str, Any] | None = None, trained: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One task. Labels, grid and window are those of the weights where there are some: they are what runs."""
    row = {name: task.get(name, "") if name == "region" else task[name] for name in TASK_FIELDS} | {"weights": None}
    if weights is not None:
        named = ("path", "id", "origin", "error", "demo_only", "expected_region")
        row["weights"] = {name: weights[name] for name in named}
    if trained is not None and trained["task"]["key"] == task["key"]:
        row |= {"labels": trained["task"]["labels"], "network": trained["network"]["name"]}
        row |= {name: trained[name] for name in ("spacing_mm", "patch", "licence")}
    return row


def _own_tasks() -> list[dict[str, Any]]:
    try:
        from rep3d.tasks.store import list_task_files
    except ImportError:  # no PyYAML yet
        return []
    return [file.task.to_dict() for file in list_task_files() if file.task is not None and file.origin == "own"]


def write_listing(path: Path = LISTING) -> None:
    """Make the list of the shipped tasks anew from their files."""
    from rep3d.files import write_text
    from rep3d.tasks import list_shipped

    rows = [{name: task.to_dict()[name] for name in TASK_FIELDS} for task in list_shipped()]
    write_text(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_listing()
