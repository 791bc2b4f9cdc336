"""Small checks for values that come from a YAML file; each error names the file and the key at fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rep3d.errors import BadInput

HINT = "docs/tasks.md describes every field of a task file."


def fail(source: str, key: str, problem: str) -> BadInput:
    """The error for ``key`` of the task that came from ``source``."""
    return BadInput(f"{source}: {key}: {problem}" if key else f"{source}: {problem}", hint=HINT)


def mapping(value: Any, source: str, key: str, allowed: Iterable[str], required: Iterable[str] = ()) -> dict[str, Any]:
    """``value`` as a dict whose keys are all in ``allowed`` and include ``required``; unknown keys are refused."""
    if not isinstance(value, Mapping):
        raise fail(source, key, f"a mapping is expected, not {type(value).__name__}")
    where = f"{key}." if key else ""
    names = list(allowed)
    for name in value:
        if name not in names:
            raise fail(source, f"{where}{name}", f"unknown key; known here: {', '.join(names)}")
    for name in required:
        if name not in value:
            raise fail(source, f"{where}{name}", "missing")
    return dict(value)


def text(value: Any, source: str, key: str, *, empty: bool = False) -> str:
    """``value`` as a string, not blank unless ``empty``."""
    if not isinstance(value, str) or (not empty and not value.strip()):
        raise fail(source, key, f"text is expected, not {value!r}")
    return value.strip()


def whole(value: Any, source: str, key: str, low: int, high: int | None = None) -> int:
    """``value`` as an int in [low, high]."""
    good = isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high)
    if not good:
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise fail(source, key, f"a whole number {limits} is expected, not {value!r}")
    return value


def numbers(value: Any, source: str, key: str, count: int) -> tuple[float, ...]:
    """``value`` as ``count`` finite floats."""
    good = isinstance(value, (list, tuple)) and len(value) == count
    if good:
        good = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    if good:
        good = all(abs(float(v)) < 1e12 for v in value)  # False for NaN and infinities too
    if not good:
        raise fail(source, key, f"{count} numbers are expected, not {value!r}")
    return tuple(float(v) for v in value)


def interval(value: Any, source: str, key: str) -> tuple[float, float]:
    """``value`` as (low, high) with low < high."""
    low, high = numbers(value, source, key, 2)
    if low >= high:
        raise fail(source, key, f"the first number must be smaller than the second, not {value!r}")
    return low, high
