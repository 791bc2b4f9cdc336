"""Numbers in words: sizes, durations and the details lines of tasks and weights."""

from __future__ import annotations

from html import escape
from typing import Any

from slicer.i18n import tr as _


def size_text(count: float | None) -> str:
    """Bytes as a person reads them: "512 MB", "1.4 GB"; "unknown" for None."""
    if count is None:
        return _("unknown")
    if count >= 10**9:
        return _("{0:.1f} GB").format(count / 10**9)
    return _("{0:.0f} MB").format(max(1.0, count / 10**6)) if count >= 10**5 else _("{0:.0f} kB").format(count / 1000)


def duration_text(seconds: float | None) -> str:
    """Seconds as a person reads them: "8 s", "2 min 5 s", "1 h 20 min"; "unknown" for None."""
    if seconds is None:
        return _("unknown")
    whole = max(1, round(seconds))
    if whole < 60:
        return _("{0} s").format(whole)
    if whole < 3600:
        return _("{0} min {1} s").format(whole // 60, whole % 60) if whole % 60 else _("{0} min").format(whole // 60)
    return _("{0} h {1} min").format(whole // 3600, whole % 3600 // 60)


def spacing_text(spacing_mm: list[float]) -> str:
    """Voxel size such as "3.9 × 3.9 × 2.5 mm"."""
    return " × ".join(f"{value:g}" for value in spacing_mm) + " mm"


def task_title(task: dict[str, Any], weights: dict[str, Any] | None) -> str:
    """A task in the list: what must not be lost when the list is narrow comes first."""
    if weights is None:
        return _("No weights: {0}").format(task["title"])
    return _("Demo: {0}").format(task["title"]) if weights.get("demo_only") else task["title"]


def task_details(task: dict[str, Any], installed: str) -> str:
    """The lines under the task list, as rich text: title, modality, voxel size, structures, weights."""
    names = [label["name"] for label in task["labels"]]
    shown = ", ".join(names[:4]) + (_(" and {0} more").format(len(names) - 4) if len(names) > 4 else "")
    kind = _("{modality}, {spacing}. {weights}").format(
        modality=task["modality"], spacing=spacing_text(task["spacing_mm"]), weights=installed
    )
    return "<br>".join([f"<b>{escape(task['title'])}</b>", escape(shown), escape(kind)])


def weights_details(row: dict[str, Any]) -> str:
    """What is known of a weights file, as rich text."""
    if row.get("error"):
        return f"<b>{escape(row['file'])}</b><br>{escape(row['error'])}"
    shipped = row.get("origin") == "shipped"
    pairs = [
        (_("Task"), row.get("task_title") or row.get("task")),
        (_("File"), _("{0}, comes with Rep3D").format(row["file"]) if shipped else row.get("path") or row.get("url")),
        (_("Size"), size_text(row.get("bytes"))),
        (_("SHA-256"), row.get("sha256")),
        (_("Network"), network_text(row.get("network"))),
        (_("Trained"), training_text(row)),
        (_("Licence"), row.get("licence")),
        (_("For"), row.get("expected_region")),
        (_("About"), row.get("description")),
    ]
    return "<br>".join(f"<b>{escape(name)}:</b> {escape(str(value))}" for name, value in pairs if value)


def network_text(network: Any) -> str:
    """Name of a network, which the worker gives as text or as {"name", "arguments"}."""
    return str(network.get("name", "")) if isinstance(network, dict) else str(network or "")


def training_text(row: dict[str, Any]) -> str:
    """Date and the few numbers of a training summary that are plain values."""
    training = row.get("training") or {}
    facts = [f"{key} {value:g}" for key, value in training.items() if type(value) in (int, float)][:4]
    return ", ".join([str(row["created"])[:10], *facts] if row.get("created") else facts)
