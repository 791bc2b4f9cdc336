"""The tolerance of the normalised surface distance: one for all structures, or one for each."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rep3d.errors import BadInput
from rep3d.tasks import Task

#: Default: 1 mm where no voxel of the task's grid is longer than this, else 2 mm.
FINE_MM = 1.25
_HINT = "e.g. --tolerance 2, or --tolerance 2,gallbladder=1 for structures that differ"


def default_tolerance(task: Task) -> float:
    """1 mm for tasks whose grid is at most 1.25 mm along every axis, 2 mm for the others."""
    return 1.0 if max(task.spacing_mm) <= FINE_MM else 2.0


def tolerances(given: float | str | Mapping[str, float] | None, task: Task) -> tuple[dict[str, float], str]:
    """label key -> tolerance in mm, and in words how it was chosen.

    Args:
        given: a number in mm; "2" or "2,liver=3" (the rest as by default or by the first number); a mapping from
            label keys; None: :func:`default_tolerance`.

    Raises:
        BadInput: no number above 0, or a structure that the task does not have.
    """
    keys = [label.key for label in task.labels]
    default = default_tolerance(task)
    chosen = f"default: {default:g} mm, because the task's grid is {max(task.spacing_mm):g} mm at its coarsest"
    if given is None or given == "":
        return dict.fromkeys(keys, default), chosen
    if isinstance(given, Mapping):
        given = ",".join(f"{key}={value}" for key, value in given.items())
    base, own = None, {}
    for part in str(given).split(","):
        name, equals, value = part.strip().rpartition("=")
        if equals and name not in keys:
            raise BadInput(f"--tolerance names {name!r}, which is no structure of {task.key}", ", ".join(keys))
        if equals:
            own[name] = _number(value)
        elif base is not None:
            raise BadInput(f"--tolerance {given!r} gives two numbers for all structures", _HINT)
        else:
            base = _number(value)
    return dict.fromkeys(
        keys, default if base is None else base
    ) | own, "given" if base is not None else f"given; {chosen}"


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise BadInput(f"--tolerance {text!r} is no length above 0 mm", _HINT)
    return value
