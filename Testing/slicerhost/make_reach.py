"""Write ``reach.json``, what Slicer's Python reaches, from tables of Slicer's, CTK's and PythonQt's headers.

    python Testing/slicerhost/make_reach.py FOLDER

FOLDER holds ``slicer-api-*.json``, one for each version of Slicer (slots, invokable methods, signals, properties and
enumerations of every CTK, qMRML and qSlicer class), and ``qt-pythonqt-*.json`` (what PythonQt's wrappers of Qt's own
classes offer). Kept is what every version has, for the classes that the host offers and their bases; of Qt's classes,
the names that PyQt5 has and PythonQt hides. Run it again after a class was added to the host.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets, sip

sys.path.insert(0, str(Path(__file__).parents[1]))
import slicerhost
from slicerhost import namespaces

OUT = Path(__file__).with_name("reach.json")
_OURS = ("ctk", "qMRML", "qSlicer")
# Every object has these, whatever the tables say.
_ALWAYS = {"className", "inherits", "help", "delete", "connect", "disconnect", "name", "objectName"}


def host_classes() -> set[str]:
    """Names of the CTK, qMRML and qSlicer classes that any module of the host defines."""
    for module in pkgutil.walk_packages(slicerhost.__path__, "slicerhost."):
        if ".builtin" not in module.name and not module.name.endswith(
            ("make_reach", "scripted")
        ):  # scripted needs a running host
            importlib.import_module(module.name)
    found, queue = set(), [QtCore.QObject]
    while queue:
        for cls in queue.pop().__subclasses__():
            queue.append(cls)
            if cls.__name__.startswith(_OURS):
                found.add(cls.__name__)
    return found


def methods(entry: dict[str, Any], name: str) -> set[str]:
    """Signatures of slots, invokable methods and of the methods that decorators add."""
    found = set(entry["slots"]) | set(entry["invokables"])
    for signature in entry["decorators"]:
        text = re.sub(r"PythonQtPassOwnershipTo\w+<([^>]*)>", r"\1", signature).replace(f"static_{name}_", "")
        found.add(re.sub(rf"\({name}\*(, )?", "(", text))
    return {signature for signature in found if f"new_{name}(" not in signature}


def facts(tables: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """What all versions have of a class."""
    entries = [table[name] for table in tables]
    properties = [
        {f"{p['type']} {p['name']}" + ("" if p["write"] else " const") for p in entry["properties"]}
        for entry in entries
    ]
    values = [{value for group in entry["enums"].values() for value in group} for entry in entries]
    return {
        "bases": entries[-1]["bases"],
        "methods": sorted(set.intersection(*(methods(entry, name) for entry in entries))),
        "signals": sorted(set.intersection(*(set(entry["signals"]) for entry in entries))),
        "properties": sorted(set.intersection(*properties)),
        "enums": sorted(set.intersection(*(set(entry["enums"]) for entry in entries))),
        "values": sorted(set.intersection(*values)),
    }


def hidden_of_qt(table: dict[str, Any]) -> dict[str, list[str]]:
    """{class of Qt: methods and signals that PyQt5 has and PythonQt does not}, without those of its bases; with "+"
    in front what a base hides and the class has."""
    hidden: dict[str, list[str]] = {}
    modules = (QtCore, QtGui, QtWidgets)
    found = {name: getattr(module, name) for name in table for module in modules if hasattr(module, name)}
    classes = {name: cls for name, cls in found.items() if isinstance(cls, sip.wrappertype)}
    for name, cls in sorted(classes.items(), key=lambda item: (len(item[1].__mro__), item[0])):  # bases first
        entry = table[name]
        known = _ALWAYS.union(*(entry[kind] for kind in ("methods", "signals", "properties", "values", "types")))
        lost = {n for n in namespaces.callables(cls) if n not in known and n.rstrip("_") not in known}
        for base in cls.__mro__[1:]:
            inherited = {n for n in hidden.get(base.__name__, ()) if n[0] != "+"}
            lost = (lost - inherited) | {f"+{n}" for n in inherited - lost}
        if lost:
            hidden[name] = sorted(lost)
    return hidden


def main(folder: Path) -> None:
    files = sorted(folder.glob("slicer-api-*.json"))
    raw = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    qt = json.loads(next(folder.glob("qt-pythonqt-*.json")).read_text(encoding="utf-8"))
    tables = [table["classes"] for table in raw]
    wanted, classes = host_classes(), {}
    while wanted:
        name = wanted.pop()
        if name in classes or any(name not in table for table in tables):
            continue
        classes[name] = facts(tables, name)
        wanted.update(classes[name]["bases"])
    sources = {"slicer": [table["source"] for table in raw], "qt": qt["source"]}
    parts = [f'"sources": {json.dumps(sources, indent=1)}']
    for key, part in (("classes", dict(sorted(classes.items()))), ("hidden_of_qt", hidden_of_qt(qt["classes"]))):
        rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in part.items())  # a class a line
        parts.append(f'"{key}": {{\n{rows}\n}}')
    OUT.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
