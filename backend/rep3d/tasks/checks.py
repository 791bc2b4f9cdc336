"""Small checks for values that come from a YAML file; each error names the file and the key at fault."""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from rep3d.errors import BadInput

HINT = "docs/tasks.md describes every field of a task file."
LONGEST_TEXT, LONGEST_LIST = 20_000, 1_000
_repr = reprlib.Repr()
_STRANGE = ("Cc", "Cs")  # control characters and halves of surrogate pairs
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # turn the direction of what follows
_repr.maxlevel, _repr.maxother, _repr.maxstring = 3, 100, 100


def shown(value: Any) -> str:
    """``value`` as an error shows it: whole if it is short, and never so deep or long that showing it fails."""
    text = _repr.repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


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
            raise fail(source, f"{where}{shown_key(name)}", f"unknown key; known here: {', '.join(names)}")
    for name in required:
        if name not in value:
            raise fail(source, f"{where}{name}", "missing")
    return dict(value)


def shown_key(name: Any) -> str:
    """The name of a field as an error shows it."""
    return name if isinstance(name, str) and len(name) <= 100 and name.isprintable() else shown(name)


def table(value: Any, source: str, key: str) -> dict[str, Any]:
    """``value`` as a dict from names, which may be anything short, to values that are not looked at."""
    if not isinstance(value, Mapping) or len(value) > LONGEST_LIST:
        raise fail(source, key, f"a mapping of at most {LONGEST_LIST} entries is expected, not {shown(value)}")
    for name in value:
        if not isinstance(name, str) or not 0 < len(name) <= 100:
            raise fail(source, f"{key}.{shown_key(name)}", "names of 1 to 100 letters are expected")
    return dict(value)


def text(value: Any, source: str, key: str, *, empty: bool = False) -> str:
    """``value`` as a string without control characters other than line ends, not blank unless ``empty``."""
    if not isinstance(value, str) or (not empty and not value.strip()):
        raise fail(source, key, f"text is expected, not {shown(value)}")
    if len(value) > LONGEST_TEXT:
        raise fail(source, key, f"at most {LONGEST_TEXT} letters are expected, not {len(value)}")
    strange = next((c for c in value if (unicodedata.category(c) in _STRANGE or c in _TURNS) and c not in "\n\t"), None)
    if strange is not None:
        raise fail(source, key, f"a control character (U+{ord(strange):04X}) is not allowed")
    return value.strip()


def line(value: Any, source: str, key: str, longest: int) -> str:
    """``value`` as text of one line."""
    found = text(value, source, key)
    if len(found) > longest or not found.isprintable():
        raise fail(source, key, f"one line of at most {longest} letters is expected, not {shown(value)}")
    return found


def flag(value: Any, source: str, key: str) -> bool:
    """``value`` as a bool."""
    if not isinstance(value, bool):
        raise fail(source, key, f"true or false is expected, not {shown(value)}")
    return value


def number(value: Any, source: str, key: str, low: float, high: float) -> float:
    """``value`` as a float in [low, high]."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    if not good:
        raise fail(source, key, f"a number from {low:g} to {high:g} is expected, not {shown(value)}")
    return float(value)


def whole(value: Any, source: str, key: str, low: int, high: int | None = None) -> int:
    """``value`` as an int in [low, high]."""
    good = isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high)
    if not good:
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise fail(source, key, f"a whole number {limits} is expected, not {shown(value)}")
    return value


def numbers(value: Any, source: str, key: str, count: int) -> tuple[float, ...]:
    """``value`` as ``count`` finite floats."""
    good = isinstance(value, (list, tuple)) and len(value) == count
    if good:
        good = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    if good:
        good = all(abs(v) < 1e12 for v in value)  # False for NaN and infinities too
    if not good:
        raise fail(source, key, f"{count} numbers are expected, not {shown(value)}")
    return tuple(float(v) for v in value)


def interval(value: Any, source: str, key: str) -> tuple[float, float]:
    """``value`` as (low, high) with low < high."""
    low, high = numbers(value, source, key, 2)
    if low >= high:
        raise fail(source, key, f"the first number must be smaller than the second, not {shown(value)}")
    return low, high
