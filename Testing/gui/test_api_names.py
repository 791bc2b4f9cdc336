"""Every name of Slicer, VTK, Qt and CTK that the extension uses exists, and each layer imports only what it may.

The extension is read, not run: a name in a branch that no test reaches is found too. Names are looked up in Slicer's
own core (the wheel `slicer-core`, with VTK and Slicer's `util.py`) and in Qt; what only the desktop application has
stands in DESKTOP_ONLY, with the file of its public source that has it.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.parent for path in ROOT.glob("*/CMakeLists.txt"))
FILES = sorted(path for folder in MODULES for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
LIBRARY = [path for path in FILES if ROOT / "Rep3DSegmentation" / "Rep3DSegmentationLib" in path.parents]
OWN = {path.stem for folder in MODULES for path in folder.iterdir()}
"""Packages and modules of the extension, as they are imported."""
ROOTS = ("slicer", "qt", "ctk", "vtk")

SLICER = "https://github.com/Slicer/Slicer/blob/main/"
EDITOR = SLICER + "Modules/Loadable/Segmentations/"
CTK = "https://github.com/commontk/CTK/blob/master/"
DESKTOP_ONLY = {
    "slicer.app": SLICER + "Base/QTGUI/qSlicerApplication.h",
    "slicer.i18n": SLICER + "Base/Python/slicer/i18n.py",
    "slicer.modules": SLICER + "Base/QTCore/qSlicerModuleFactoryManager.h",
    "slicer.packaging": SLICER + "Base/Python/slicer/packaging.py",
    "slicer.qMRMLSegmentationShow3DButton": EDITOR + "Widgets/qMRMLSegmentationShow3DButton.h",
    "slicer.qMRMLSegmentEditorWidget": EDITOR + "Widgets/qMRMLSegmentEditorWidget.h",
    "slicer.qSlicerSegmentEditorAbstractEffect": EDITOR + "EditorEffects/qSlicerSegmentEditorAbstractEffect.h",
    "slicer.qSlicerSegmentEditorScriptedEffect": EDITOR + "EditorEffects/qSlicerSegmentEditorScriptedEffect.h",
    "slicer.ScriptedLoadableModule": SLICER + "Base/Python/slicer/ScriptedLoadableModule.py",
}
# What an object of the desktop application is, where the wheel has its class.
CLASS_OF = {"slicer.mrmlScene": "vtkMRMLScene"}
LIGHT = {"numpy"} | sys.stdlib_module_names
"""What modules of rep3d may import if Slicer's process is to import them; all else belongs to the worker's process."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(node: ast.AST) -> str | None:
    """`slicer.util.loadUI` of an attribute's node; None where it does not begin with a name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def used_names(path: Path) -> set[str]:
    """Dotted names below the four roots: attributes, and what `from slicer.x import y` brings."""
    names = set()
    inner = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            name = dotted(node)
            if name and name.split(".")[0] in ROOTS:
                names.add(name)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module.split(".")[0] in ROOTS:
                names.update(
                    node.module if alias.name == "*" else f"{node.module}.{alias.name}" for alias in node.names
                )
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.split(".")[0] in ROOTS and "." in alias.name)
    return names


def all_names(root: str) -> dict[str, list[str]]:
    """{dotted name: files that use it}"""
    found: dict[str, list[str]] = {}
    for path in FILES:
        for name in used_names(path):
            if name.split(".")[0] == root:
                found.setdefault(name, []).append(path.name)
    return found


def has(value: Any, parts: list[str]) -> bool:
    """Follow attributes as far as modules and classes go; what a class's member is, only its use shows."""
    for part in parts:
        if not isinstance(value, (ModuleType, type)):
            return True
        if not hasattr(value, part):
            return isinstance(value, ModuleType) and importlib.util.find_spec(f"{value.__name__}.{part}") is not None
        value = getattr(value, part)
    return True


@cache
def slicer_util() -> set[str]:
    """Names that Slicer's own util.py defines."""
    import slicer

    defined = ast.parse((Path(slicer.__file__).parent / "util.py").read_text(encoding="utf-8")).body
    names = {node.name for node in defined if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return names | {target.id for node in defined if isinstance(node, ast.Assign) for target in node.targets}


def in_wheel(name: str) -> bool:
    """True if Slicer's core has the name."""
    import slicer_core  # noqa: F401 - fails early where only a test's stand-in is there
    from slicer import slicer_core as core

    parts = name.split(".")[1:]
    if parts[0] == "util":
        return len(parts) == 1 or parts[1] in slicer_util()
    for dotted_name, class_name in CLASS_OF.items():
        if name == dotted_name or name.startswith(dotted_name + "."):
            return has(getattr(core, class_name), parts[1:])
    return hasattr(core, parts[0]) and has(getattr(core, parts[0]), parts[1:])


def listed(name: str) -> str | None:
    """The entry of DESKTOP_ONLY that covers a name."""
    return next((entry for entry in DESKTOP_ONLY if name == entry or name.startswith(entry + ".")), None)


def test_something_is_found():
    """The reader works: names that are certainly used."""
    assert "slicer.util.loadUI" in all_names("slicer") and all_names("qt") and all_names("vtk")
    assert len(LIBRARY) > 10


@pytest.mark.parametrize(
    "name", ["vtkMRMLScen", "vtkMRMLScene.AddNodes", "mrmlScene.AddNodes", "util.loadUi", "nothing"]
)
def test_a_mistaken_name_is_noticed(name):
    pytest.importorskip("slicer_core", reason="slicer-core is not installed")
    assert not in_wheel(f"slicer.{name}") and not listed(f"slicer.{name}")


def test_slicer_names_exist():
    pytest.importorskip("slicer_core", reason="slicer-core is not installed")
    unknown = {n: files for n, files in all_names("slicer").items() if not in_wheel(n) and not listed(n)}
    assert not unknown, unknown


def test_desktop_only_list_is_needed_and_sourced():
    pytest.importorskip("slicer_core", reason="slicer-core is not installed")
    used = {listed(name) for name in all_names("slicer") | all_names("ctk")} | dynamic_imports()
    for entry, source in DESKTOP_ONLY.items():
        assert entry in used, f"{entry} is listed, but not used"
        assert source.startswith((SLICER, CTK)) and "." in source.rsplit("/", 1)[1]
        if entry.startswith("slicer."):
            assert not in_wheel(entry), f"{entry} is in the wheel"


def test_vtk_names_exist():
    vtk = pytest.importorskip("vtk", reason="vtk is not installed")
    unknown = {n: files for n, files in all_names("vtk").items() if not has(vtk, n.split(".")[1:])}
    assert not unknown, unknown


def test_qt_names_exist_in_qt():
    pytest.importorskip(
        "PyQt5.QtWidgets", reason="PyQt5 is not installed, or a system library of Qt", exc_type=ImportError
    )
    from PyQt5 import QtCore, QtGui, QtNetwork, QtWidgets

    sources = (QtCore, QtGui, QtWidgets, QtNetwork)
    unknown = {
        name: files
        for name, files in all_names("qt").items()
        if not any(has(source, name.split(".")[1:]) for source in sources if hasattr(source, name.split(".")[1]))
    }
    assert not unknown, unknown


def test_qt_and_ctk_names_are_in_the_host(slicer_host):
    """So that the tests of the panels really run them; the host refuses what Qt or CTK do not have."""
    import ctk
    import qt

    for root, module in (("qt", qt), ("ctk", ctk)):
        unknown = {n: files for n, files in all_names(root).items() if not hasattr(module, n.split(".")[1])}
        assert not unknown, unknown


def vtk_style_calls() -> Iterator[tuple[str, str]]:
    """(method, file) of calls such as `node.GetDisplayNode()`; not of classes of ours or of Python's modules."""
    sources = [*FILES, *(ROOT / "backend" / "rep3d").rglob("*.py")]
    own = {node.name for path in sources for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)}
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name, module = node.func.attr, (dotted(node.func) or "").split(".")[0]
                foreign = (
                    module in sys.stdlib_module_names | {"qt", "ctk", "SampleData"} or name == "SpecifierSet"
                )  # of `packaging`
                if name[0].isupper() and name not in own and not foreign:
                    yield name, path.name


def test_methods_in_the_style_of_vtk_exist_in_some_class():
    """Objects' types are not known from reading, but a method that no class has is a mistake."""
    vtk = pytest.importorskip("vtk", reason="vtk is not installed")
    pytest.importorskip("slicer_core", reason="slicer-core is not installed")
    from slicer import slicer_core as core

    known: set[str] = set()
    for module in (vtk, core):
        for name in dir(module):
            if name.startswith("vtk"):
                known.update(dir(getattr(module, name)))
    unknown = {(name, file) for name, file in vtk_style_calls() if name not in known}
    assert not unknown, sorted(unknown)


def imports(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
    return found


def dynamic_imports() -> set[str]:
    """Modules that are imported by name: strings that are, or look like, an argument of import_module."""
    found = set()
    for path in FILES:
        if "import_module" in path.read_text(encoding="utf-8"):
            texts = (node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant))
            found.update(text for text in texts if isinstance(text, str) and text.startswith("slicer."))
    return found


def backend_imports(name: str) -> set[str]:
    """What importing a module of rep3d imports at once, with its packages and what of rep3d these import in turn."""
    found, queue, seen = set(), [name], set()
    while queue:
        parts = queue.pop().split(".")
        for length in range(1, len(parts) + 1):
            stem = ROOT / "backend" / Path(*parts[:length])
            path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
            if path in seen or not path.is_file():  # a name in a module is not a module
                continue
            seen.add(path)
            for node in tree(path).body:
                if isinstance(node, ast.Import):
                    names = {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    package = parts[: len(parts[:length]) - node.level + (path.name == "__init__.py")]
                    base = ".".join([*package, node.module or ""]).strip(".") if node.level else node.module
                    names = {base, *(f"{base}.{alias.name}" for alias in node.names)}
                else:
                    continue
                queue += [item for item in names if item.split(".")[0] == "rep3d"]
                found |= {item.split(".")[0] for item in names} - {"rep3d"}
    return found


def test_nothing_heavy_is_imported_in_slicers_process():
    """Of rep3d only modules that need the standard library and numpy."""
    ours = set()
    for path in FILES:
        ours |= {name for name in imports(path) if name.split(".")[0] == "rep3d"}
    ours |= {"rep3d.worker.protocol", "rep3d.worker.folder", "rep3d.catalog"}
    for name in ours:
        assert backend_imports(name) <= LIGHT, name
    assert "torch" in backend_imports("rep3d.inference.devices")  # the reader works


def test_mrml_layer_imports_no_qt():
    """Layer 2: slicer, vtk, numpy, the standard library and the protocol; nothing else."""
    allowed = {"slicer", "vtk", "vtkmodules", "rep3d"} | LIGHT
    for path in LIBRARY:
        assert {name.split(".")[0] for name in imports(path)} <= allowed, path.name
        assert not {name for name in used_names(path) if name.split(".")[0] in ("qt", "ctk")}, path.name


def test_panels_import_only_their_layers():
    allowed = {"slicer", "qt", "ctk", "vtk", "SegmentEditorEffects", "SampleData"} | OWN | LIGHT
    for path in set(FILES) - set(LIBRARY):
        assert {name.split(".")[0] for name in imports(path)} <= allowed, path.name


def test_qt_is_called_without_keywords():
    """PythonQt takes no keyword arguments."""
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and node.keywords:
                name = dotted(node.func) or ""
                assert name.split(".")[0] not in ("qt", "ctk"), f"{path.name}:{node.lineno}"


def test_no_qt_signal_is_defined_in_python():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "pyqtSignal" not in text and "PyQt5" not in text and "PySide" not in text, path.name
