"""Effects written in Python: the adaptor that calls them, and the factory that editors copy effects from."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import slicer
from PyQt5 import QtCore, QtGui, QtWidgets

from . import errors
from .segment_editor_effect import qSlicerSegmentEditorAbstractEffect
from .widgets.base import computed
from .wrapping import unwrap, wrap

# What the adaptor looks for in the Python class when it is made; methods that are added later are not seen.
_METHODS = (
    "icon",
    "helpText",
    "clone",
    "activate",
    "deactivate",
    "setupOptionsFrame",
    "createCursor",
    "processInteractionEvents",
    "processViewNodeEvents",
    "setMRMLDefaults",
    "referenceGeometryChanged",
    "sourceVolumeNodeChanged",
    "masterVolumeNodeChanged",
    "layoutChanged",
    "interactionNodeModified",
    "updateGUIFromMRML",
    "updateMRMLFromGUI",
    "cleanup",
)


class qSlicerSegmentEditorScriptedEffect(qSlicerSegmentEditorAbstractEffect):
    """Calls an effect class of a Python file. An exception in it is recorded, and the default is done instead."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._python: Any = None
        self._methods: dict[str, Any] = {}
        self._source = ""

    pythonSource = computed(str, lambda self: self._source, lambda self, path: self.setPythonSource(path))

    def setPythonSource(self, path: str) -> bool:
        """Make an object of the class <file name>(Effect) of the file; False (and a recorded error) where it fails.

        The module gets the name of the file's folder. Where a module of this name already has the class, the file is
        not read again: so an effect in a package is best exported by the package's ``__init__.py``.
        """
        file = Path(path)
        if file.suffix not in (".py", ".pyc"):
            return False
        name = file.stem if file.stem.endswith("Effect") else file.stem + "Effect"
        try:
            self._python = _effect_class(file, name)(wrap(self))
        except BaseException as error:  # the application only prints it
            errors.log.record(f"setPythonSource({file.name})", error)
            return False
        self._methods = {key: getattr(self._python, key) for key in _METHODS if hasattr(self._python, key)}
        self._source = str(path)
        setattr(slicer, file.parent.name, self._python)
        return True

    def self(self) -> Any:
        return self._python

    def _call(self, name: str, *args: Any) -> tuple[bool, Any]:
        """Call a Python method: (whether it exists and did not raise, its result)."""
        method = self._methods.get(name)
        if method is None:
            return False, None
        try:
            return True, unwrap(method(*[wrap(arg) for arg in args]))
        except BaseException as error:  # called by the editor
            errors.log.record(f"{self.name}.{name}", error)
            return False, None

    def _icon(self) -> QtGui.QIcon:
        _done, icon = self._call("icon")
        return icon if isinstance(icon, QtGui.QIcon) else QtGui.QIcon()

    def helpText(self) -> str:
        done, text = self._call("helpText")
        if done and not isinstance(text, str):
            errors.log.complain(f"{self.name}.helpText", "is expected to return a string")
        return text if isinstance(text, str) else ""

    def _clone(self) -> qSlicerSegmentEditorAbstractEffect | None:
        done, clone = self._call("clone")
        if isinstance(clone, qSlicerSegmentEditorAbstractEffect):
            return clone
        errors.log.complain(f"{self.name}.clone", f"must return a new effect, not {clone!r}" if done else "failed")
        return None

    def activate(self) -> None:
        super().activate()
        self._call("activate")

    def deactivate(self) -> None:
        super().deactivate()
        self._call("deactivate")

    def createCursor(self, view: Any) -> QtGui.QCursor:
        done, cursor = self._call("createCursor", view)
        return cursor if done and isinstance(cursor, QtGui.QCursor) else super().createCursor(view)

    def updateGUIFromMRML(self) -> None:
        if self._active:
            self._call("updateGUIFromMRML")

    def updateMRMLFromGUI(self) -> None:
        self._call("updateMRMLFromGUI")

    def cleanup(self) -> None:
        self._call("cleanup")

    def _setup_options_frame(self) -> None:
        self._call("setupOptionsFrame")

    def _set_defaults(self) -> None:
        self._call("setMRMLDefaults")

    def _notify(self, name: str) -> None:
        """referenceGeometryChanged, sourceVolumeNodeChanged, masterVolumeNodeChanged or layoutChanged."""
        self._call(name)

    def _process(self, interactor: Any, event: int, view: QtWidgets.QWidget) -> bool:
        """Whether the effect took an event of a view, so that nobody else gets it."""
        done, taken = self._call("processInteractionEvents", interactor, event, view)
        if done and not isinstance(taken, bool):
            errors.log.complain(f"{self.name}.processInteractionEvents", f"must return a bool, not {taken!r}")
        return taken is True

    def _process_view_node(self, node: Any, event: int, view: QtWidgets.QWidget) -> None:
        self._call("processViewNodeEvents", node, event, view)

    def _interaction_node_modified(self, node: Any) -> None:
        if not self._call("interactionNodeModified", node)[0]:
            super()._interaction_node_modified(node)


class qSlicerSegmentEditorScriptedLabelEffect(qSlicerSegmentEditorScriptedEffect):
    """The adaptor for effects that derive from AbstractScriptedSegmentEditorLabelEffect."""


class qSlicerSegmentEditorEffectFactory(QtCore.QObject):
    """The registered effects. Editors never use them, but clones of them."""

    effectRegistered = QtCore.pyqtSignal(str)
    _made: qSlicerSegmentEditorEffectFactory | None = None

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._effects: list[qSlicerSegmentEditorScriptedEffect] = []

    @staticmethod
    def instance() -> qSlicerSegmentEditorEffectFactory:
        cls = qSlicerSegmentEditorEffectFactory
        if cls._made is None:
            cls._made = cls()
        return cls._made

    def registerEffect(self, effect: qSlicerSegmentEditorScriptedEffect) -> bool:
        """Offer an effect to all editors; False where one of this name is registered already."""
        if effect is None or not effect.name:
            errors.log.complain("effect factory", "an effect without a name cannot be registered")
            return False
        if effect.name in [known.name for known in self._effects]:
            return False
        self._effects.append(effect)
        self.effectRegistered.emit(effect.name)
        return True

    def _copy(self, known: list[qSlicerSegmentEditorScriptedEffect]) -> list[qSlicerSegmentEditorScriptedEffect]:
        """Clones of the effects whose names are not among the known ones."""
        names = {effect.name for effect in known}
        clones = [effect._clone() for effect in self._effects if effect.name not in names]
        return [clone for clone in clones if clone is not None]

    def _forget(self, name: str) -> None:
        """Remove an effect, which the application never does: for tests that load several of one name."""
        self._effects = [effect for effect in self._effects if effect.name != name]


def _effect_class(file: Path, name: str) -> type:
    """The class of an effect; its module is loaded under the name of the folder. Raises what the file raises."""
    module_name = file.parent.name
    module = sys.modules.setdefault(module_name, types.ModuleType(module_name))
    if not hasattr(module, name):
        spec = importlib.util.spec_from_file_location(module_name, file)
        # As the application does: the file becomes this very module, which afterwards is no package, so that
        # relative imports in it fail.
        module.__spec__, module.__file__, module.__package__ = spec, str(file), spec.parent
        spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise RuntimeError(f"class {name} was not found in {file}")
    return getattr(module, name)
