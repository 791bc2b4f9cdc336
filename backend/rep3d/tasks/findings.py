"""Everything that is wrong with a task file at once, by the very checks that refuse it one fault at a time.

Each field is put by itself into a task that is right in everything else; what is refused then is that field's fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rep3d.errors import BadInput
from rep3d.tasks.tasks import Label, Task

_CODE = ["123037004", "SCT", "Anatomical Structure"]
_SOUND_LABEL = {"value": 1, "key": "a", "name": "A", "color": [0, 0, 0], "category": _CODE, "type": _CODE}
_COUNTS = {"seed": 0, "train": 1, "val": 1, "test": 1}
_RULE = {"every": 2, "at": 0}
_SOUND_SPLITS: dict[str, dict[str, Any]] = {
    "folders": {"kind": "folders", "train": "train", "val": "val", "test": "test"},
    "modulo": {"kind": "modulo", "test": _RULE, "val": _RULE},
    "counts": {"kind": "counts", **_COUNTS},
    "folds": {"kind": "folds", **_COUNTS, "folds": 2},
}
_SOUND = {
    "key": "a",
    "title": "A",
    "modality": "CT",
    "labels": [_SOUND_LABEL],
    "spacing_mm": [1, 1, 1],
    "intensity": "mr-percentiles",
    "patch": [96, 96, 96],
    "network": "a",
    "split": _SOUND_SPLITS["counts"],
    "dataset": {"source": "a", "licence": "a", "citation": "a"},
    "purpose": "A",
}


def faults(data: Any, source: str) -> list[str]:
    """Sentences on every fault of ``data`` (a parsed task file), each with ``source`` and the field; [] if right."""
    found: list[str] = []

    def attempt(check: Callable[[], Any]) -> bool:
        try:
            check()
        except BadInput as error:
            if str(error) not in found:
                found.append(str(error))
            return False
        return True

    def as_task(**changes: Any) -> Callable[[], Task]:
        return lambda: Task.from_dict({**_SOUND, **changes}, source)

    if not isinstance(data, Mapping):
        attempt(lambda: Task.from_dict(data, source))
        return found
    for name in _SOUND:
        if name not in data:
            attempt(lambda name=name: Task.from_dict({k: v for k, v in _SOUND.items() if k != name}, source))
    for name, value in data.items():
        if name == "labels" and isinstance(value, (list, tuple)) and value:
            # What labels have in common (values in order, names of their own) is looked at when each one is right.
            if all([_label_is_right(item, f"labels[{i}]", source, attempt) for i, item in enumerate(value)]):
                attempt(as_task(labels=value))
        elif name == "dataset" and isinstance(value, Mapping):
            for part in {**_SOUND["dataset"], **value}:
                attempt(as_task(dataset=_with(_SOUND["dataset"], part, value)))
        elif name == "split" and isinstance(value, Mapping) and str(value.get("kind")) in _SOUND_SPLITS:
            sound = _SOUND_SPLITS[value["kind"]]
            if all([attempt(as_task(split=_with(sound, part, value))) for part in {**sound, **value}]):
                attempt(as_task(split=value))
        else:
            attempt(as_task(**{str(name): value}))
    if not found:
        attempt(lambda: Task.from_dict(data, source))
    return found


def _label_is_right(item: Any, key: str, source: str, attempt: Callable[[Callable[[], Any]], bool]) -> bool:
    if not isinstance(item, Mapping):
        return attempt(lambda: Label.from_value(item, source, key))
    parts = {**_SOUND_LABEL, **item}
    return all([attempt(lambda p=p: Label.from_value(_with(_SOUND_LABEL, p, item), source, key)) for p in parts])


def _with(sound: Mapping[str, Any], name: Any, given: Mapping[Any, Any]) -> dict[Any, Any]:
    """``sound`` with the field ``name`` as in ``given``, or without it where ``given`` lacks it."""
    rest = {key: value for key, value in sound.items() if key != name}
    return {**rest, name: given[name]} if name in given else rest
