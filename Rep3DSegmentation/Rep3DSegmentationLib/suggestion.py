"""Which task a scan is probably for, from what is known of both: modality and extent. Rows are those of the worker."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from .errors import InputError
from .modality import modality_of
from .volumes import geometry

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
    try:
        modality, size = modality_of(volume_node), extent_mm(volume_node)
    except InputError:  # nothing that could be segmented
        return ""
    for task, row in ready:
        if not row.get("demo_only") and task["modality"] == modality and fits(size, row.get("extent_mm")):
            return task["key"]
    return ""


def extent_mm(volume_node: Any) -> tuple[float, ...]:
    """Size of the scan along its axes closest to right, anterior and superior, in mm. Raises InputError."""
    shape, affine = geometry(volume_node)
    matrix = np.array(affine)[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    cosines = np.abs(matrix / spacing)
    axes = max(permutations(range(3)), key=lambda order: sum(cosines[i, order[i]] for i in range(3)))
    return tuple(float(shape[a] * spacing[a]) for a in axes)


def fits(size_mm: Sequence[float], limits: Sequence[Sequence[float]] | None) -> bool:
    """Whether a scan of that size is about as large as those that the weights know; true where they do not say."""
    return not limits or all(
        low / ROOM <= size <= high * ROOM for size, (low, high) in zip(size_mm, limits, strict=True)
    )
