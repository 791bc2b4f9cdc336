"""What Slicer's Python reaches of the CTK, qMRML and qSlicer classes and of Qt's own: the facts of ``reach.json``.

PythonQt shows slots, invokable methods, signals and properties of such a class, not its plain public C++ methods; of
Qt's classes it shows what its generated wrappers have. ``make_reach.py`` wrote the facts from the headers of both
versions of Slicer that are supported; what only one of them has counts as not reachable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Fact:
    """One member: ``kind`` is method, signal, property, constant (a property that cannot be set), value or type.

    signatures: of a method or signal, as ``name(types)``, with the returned type in front; type: of a property.
    """

    kind: str
    signatures: tuple[str, ...] = ()
    type: str = ""


@cache
def _tables() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("reach.json").read_text(encoding="utf-8"))


@cache
def facts(name: str) -> dict[str, Fact] | None:
    """{member: fact} of a CTK, qMRML or qSlicer class with what it inherits from others; None for any other class."""
    entry = _tables()["classes"].get(name)
    if entry is None:
        return None
    found: dict[str, Fact] = {}
    for base in entry["bases"]:
        found.update(facts(base) or {})
    for kind in ("methods", "signals"):
        overloads: dict[str, list[str]] = {}
        for signature in entry[kind]:
            overloads.setdefault(re.search(r"(\w+)\(", signature)[1], []).append(signature)
        for member, signatures in overloads.items():
            known = found.get(member)
            inherited = known.signatures if known is not None else ()
            found[member] = Fact(kind[:-1], tuple(dict.fromkeys([*signatures, *inherited])))
    found.update({member: Fact("type") for member in entry["enums"]})
    found.update({"None_" if member == "None" else member: Fact("value") for member in entry["values"]})
    for text in entry["properties"]:  # last: a property hides a method of its name
        kind = "constant" if text.endswith(" const") else "property"
        type_name, _, member = text.removesuffix(" const").rpartition(" ")
        found[member] = Fact(kind, type=type_name)
    return found


@cache
def qt_base(name: str) -> str:
    """The class of Qt that a CTK, qMRML or qSlicer class derives from in the end."""
    entry = _tables()["classes"].get(name)
    return name if entry is None else qt_base(entry["bases"][0])


@cache
def derived_from(name: str) -> set[str]:
    """The CTK, qMRML and qSlicer classes that derive from a class, directly or not."""
    direct = {derived for derived, entry in _tables()["classes"].items() if name in entry["bases"]}
    return direct.union(*map(derived_from, direct))


def hidden_of_qt(class_names: Iterable[str]) -> set[str]:
    """Methods and signals of a class of Qt that PythonQt's wrapper does not have.

    Args:
        class_names: the class after its bases.
    """
    hidden: set[str] = set()
    for name in class_names:
        listed = _tables()["hidden_of_qt"].get(name, ())
        hidden -= {member[1:] for member in listed if member[0] == "+"}
        hidden |= {member for member in listed if member[0] != "+"}
    return hidden
