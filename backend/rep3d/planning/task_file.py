"""A task as a YAML file with comments that say why each value is what it is."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import yaml

from rep3d.errors import Rep3DError
from rep3d.tasks import Task

_WIDTH = 116


def task_yaml(task: Task, comments: Mapping[str, str], head: str) -> str:
    """The file's text. ``comments``: field -> why; ``head``: what stands above everything.

    What it says is read back and compared with ``task``, so that a file that is written is one that loads.
    """
    data = task.to_dict()
    lines = _comment(head)
    for name in ("key", "title", "modality", "spacing_mm", "intensity", "patch", "network", "split"):
        lines += [*_comment(comments.get(name, "")), f"{name}: {_flow(data[name])}"]
    lines += [*_comment(comments.get("dataset", "")), "dataset:"]
    lines += [f"  {part}: {_flow(data['dataset'][part])}" for part in ("source", "licence", "citation")]
    lines += [f"purpose: {_flow(data['purpose'])}"]
    lines += [f"notes: {_flow(data['notes'])}"] if data["notes"] else []
    lines += [*_comment(comments.get("labels", "")), "labels:"]
    for label in data["labels"]:
        mark = "  - "
        for part in ("value", "key", "name", "color", "category", "type", "modifier"):
            if label[part] is not None:
                lines.append(f"{mark}{part}: {_flow(label[part])}")
                mark = "    "
    text = "\n".join(lines) + "\n"
    if Task.from_dict(yaml.safe_load(text), "the task file") != task:
        raise Rep3DError(f"the file of task {task.key} would not say what was planned", "This is a fault of Rep3D.")
    return text


def _comment(text: str) -> list[str]:
    return [f"# {line}" for part in text.splitlines() for line in textwrap.wrap(part, _WIDTH)]


def _flow(value: Any) -> str:
    """A value on one line; code values, which look like numbers, come out in quotes."""
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
        .removesuffix("\n...\n")
        .strip()
    )
