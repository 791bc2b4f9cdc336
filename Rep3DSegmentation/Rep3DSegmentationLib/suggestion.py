"""Which task a scan is probably for, from what is known of both: modality and extent. Rows are those of the worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .modality import modality_of

#: Attribute of a volume that was fetched as the sample of a task: the task's key.
SAMPLE_ATTRIBUTE = "Rep3D.SampleOf"
#: The task whose sample is generated on this computer.
GENERATED = "phantom-abdomen"
#: Times by which a scan may be larger or smaller than the training scans and still be one of theirs.
ROOM = 1.25


def suggest(tasks: Sequence[dict[str, Any]], weights: Sequence[dict[str, Any]], volume_node: Any) -> str:
    """Key of the task to begin with, "" where no installed weights fit the scan.

    Without a scan it is a task that a sample can be generated for. Weights for trying the software are proposed for
    samples alone, never for somebody's scan.
    """
    usable = {row["path"]: row for row in weights if not row.get("error")}
    ready = [(task, usable[task["weights"]["path"]]) for task in tasks if (task["weights"] or {}).get("path") in usable]
    sample = volume_node.GetAttribute(SAMPLE_ATTRIBUTE) if volume_node is not None else GENERATED
    if sample and any(task["key"] == sample for task, _row in ready):
        return sample
    if volume_node is None:
        return ready[0][0]["key"] if ready else ""
    modality, size = modality_of(volume_node), extent_mm(volume_node)
    for task, row in ready:
        if not row.get("demo_only") and task["modality"] == modality and fits(size, row.get("extent_mm")):
            return task["key"]
    return ""


def extent_mm(volume_node: Any) -> tuple[float, ...]:
    """Size of the scan along right, anterior and superior, in mm."""
    bounds = [0.0] * 6
    volume_node.GetRASBounds(bounds)
    return tuple(high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True))


def fits(size_mm: Sequence[float], limits: Sequence[Sequence[float]] | None) -> bool:
    """Whether a scan of that size is about as large as those that the weights know; true where they do not say."""
    return not limits or all(
        low / ROOM <= size <= high * ROOM for size, (low, high) in zip(size_mm, limits, strict=True)
    )
