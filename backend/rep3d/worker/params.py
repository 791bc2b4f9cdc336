"""What each method takes: names, types, ranges and defaults. Checked before a request is queued; standard library only.

Wrong types, missing and unknown names are ``bad_request``. Whether a value makes sense for the volume or the weights
(an overlap of 0.95, a structure that the task lacks) is found by the method itself and is ``bad_input``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rep3d.worker.protocol import ProtocolError, is_id

Check = Callable[[Any, str], Any]
REQUIRED = object()


@dataclass(frozen=True)
class Field:
    """One parameter: ``check`` returns the value to use or raises ProtocolError; no ``default`` means required."""

    check: Check
    default: Any = REQUIRED


def text(value: Any, name: str) -> str:
    """Non-empty text without a zero byte, at most 4096 characters."""
    if not isinstance(value, str) or not value or "\0" in value or len(value) > 4096:
        raise wrong(name, "text", value)
    return value


def absolute_path(value: Any, name: str) -> str:
    """An absolute path of this system."""
    if not os.path.isabs(text(value, name)):
        raise wrong(name, "an absolute path", value)
    return value


def flag(value: Any, name: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise wrong(name, "true or false", value)
    return value


def number(value: Any, name: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise wrong(name, "a number", value)
    return float(value)


def whole(value: Any, name: str) -> int:
    """A whole number that fits 32 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 31:
        raise wrong(name, "a whole number", value)
    return value


def windows_at_once(value: Any, name: str) -> int | str:
    """A whole number, or "auto"."""
    return value if value == "auto" else whole(value, name)


def identity(value: Any, name: str) -> Any:
    """The id of a request."""
    if not is_id(value):
        raise wrong(name, "the id of a request", value)
    return value


def optional(check: Check) -> Check:
    """``check``, or null."""
    return lambda value, name: None if value is None else check(value, name)


def list_of(check: Check, count: int | None = None, most: int = 100_000) -> Check:
    """A list whose items pass ``check``: exactly ``count``, or between 1 and ``most``."""

    def run(value: Any, name: str) -> list[Any]:
        if not isinstance(value, list) or not (len(value) == count if count else 1 <= len(value) <= most):
            raise wrong(name, f"a list of {count}" if count else "a list that is not empty", value)
        return [check(item, f"{name}[{i}]") for i, item in enumerate(value)]

    return run


def mapping(**fields: Field) -> Check:
    """A JSON object with exactly these fields."""
    return lambda value, name: _fields(fields, value, name)


MATRIX = list_of(list_of(number, 4), 4)
VOLUME = mapping(array=Field(text), affine=Field(MATRIX), name=Field(optional(text), None))
GRID = mapping(
    shape=Field(list_of(whole, 3)),
    affine=Field(MATRIX),
    array=Field(optional(text), None),
    name=Field(optional(text), None),
)
ROI = mapping(matrix=Field(MATRIX), size_mm=Field(list_of(number, 3)))
_TASK = {"task": Field(optional(text), None), "weights": Field(optional(absolute_path), None)}
_RUN = {
    "device": Field(text, "auto"),
    "precision": Field(text, "auto"),
    "engine": Field(text, "auto"),
    "overlap": Field(number, 0.5),
    "tta": Field(flag, False),
    "batch": Field(windows_at_once, "auto"),
}
_STRUCTURES = {"structures": Field(optional(list_of(text)), None)}
_ISLANDS = {"remove_islands": Field(optional(flag), None)}  # None: as the weights say
_ROI = {"roi": Field(optional(ROI), None)}

METHODS: dict[str, dict[str, Field]] = {
    "ping": {},
    "cancel": {"target": Field(identity)},
    "shutdown": {},
    "hello": {},
    "tasks": {},
    "models": {},
    "inspect": {"path": Field(absolute_path)},
    "import_weights": {"path": Field(absolute_path), "replace": Field(flag, False)},
    "remove_weights": {"path": Field(absolute_path)},
    "download_weights": {"id": Field(text)},
    "estimate": {"volume": Field(GRID), **_TASK, **_RUN, **_ISLANDS, **_ROI},
    "segment": {"volume": Field(VOLUME), **_TASK, **_RUN, **_ISLANDS, **_ROI, **_STRUCTURES},
    "segment_files": {
        "inputs": Field(list_of(absolute_path)),
        "output": Field(absolute_path),
        "format": Field(text, "nii.gz"),
        "overwrite": Field(flag, False),
        **_TASK,
        **_RUN,
        **_ISLANDS,
        **_STRUCTURES,
    },
    "masks": {**_TASK, "arrays": Field(flag, True), "kernels": Field(flag, False)},
    "erf": {
        "volume": Field(VOLUME),
        **_TASK,
        "at_ijk": Field(list_of(whole, 3)),
        "class": Field(optional(whole), None),
        "device": Field(text, "auto"),
    },
    "open": {"volume": Field(VOLUME), **_TASK},
    "prepare": {"key": Field(text), **_RUN},
    "window": {"key": Field(text), "at_ijk": Field(list_of(whole, 3)), **_RUN},
    "forget": {"key": Field(text)},
    "unload": {},
}


def check(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The params with defaults filled in. Raises ProtocolError for an unknown method or params that do not fit it."""
    if method not in METHODS:
        raise ProtocolError(f"there is no method {method[:100]!r}", "Methods: " + ", ".join(METHODS) + ".")
    values = _fields(METHODS[method], params, "")
    if {"task", "weights"} <= METHODS[method].keys() and values["task"] is None and values["weights"] is None:
        raise ProtocolError(f"{method} needs a task or a weights file")
    return values


def paths(method: str, values: dict[str, Any]) -> list[str]:
    """All paths among checked params."""
    names = [name for name in METHODS[method] if name in ("path", "weights", "inputs", "output")]
    found = [values[name] for name in names if values[name] is not None]
    return [path for value in found for path in (value if isinstance(value, list) else [value])]


def _fields(fields: dict[str, Field], value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(name, "an object", value)
    prefix = f"{name}." if name else ""
    unknown = sorted(set(value) - set(fields))
    if unknown:
        known = ", ".join(prefix + key for key in fields) or "no params"
        raise ProtocolError(f"unknown parameter {prefix}{unknown[0][:100]}", f"Known here: {known}.")
    missing = [key for key, field in fields.items() if field.default is REQUIRED and key not in value]
    if missing:
        raise ProtocolError(f"parameter {prefix}{missing[0]} is missing")
    return {k: f.check(value[k], prefix + k) if k in value else f.default for k, f in fields.items()}


def wrong(name: str, expected: str, value: Any) -> ProtocolError:
    """The error for a value of the wrong kind."""
    shown = repr(value)
    return ProtocolError(f"{name} must be {expected}, not {shown if len(shown) <= 80 else shown[:77] + '...'}")
