"""``slicer.modules`` and what is found there: modules with a C++ logic, and scripted modules loaded from a file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets

from .widgets.base import stored
from .widgets.mrml import qSlicerScriptedLoadableModuleWidget, qSlicerWidget
from .wrapping import wrap

# Names that are not the capitalised name of their attribute.
_TITLES = {
    "subjecthierarchy": "SubjectHierarchy",
    "cropvolume": "CropVolume",
    "volumerendering": "VolumeRendering",
    "viewcontrollers": "ViewControllers",
}


class Modules:
    """``slicer.modules``: module objects by lower-case name, and <Name>Widget and <Name>Instance of scripted ones."""


class qSlicerAbstractCoreModule(QtCore.QObject):
    """A module as the application knows it."""

    title, setTitle = stored(str, "title", "")
    path, setPath = stored(str, "path", "")
    helpText, setHelpText = stored(str, "helpText", "")
    acknowledgementText, setAcknowledgementText = stored(str, "acknowledgementText", "")
    categories, setCategories = stored("QStringList", "categories", [])
    contributors, setContributors = stored("QStringList", "contributors", [])
    dependencies, setDependencies = stored("QStringList", "dependencies", [])
    associatedNodeTypes, setAssociatedNodeTypes = stored("QStringList", "associatedNodeTypes", [])
    hidden, setHidden = stored(bool, "hidden", False)
    index, setIndex = stored(int, "index", -1)
    widgetRepresentationCreationEnabled, setWidgetRepresentationCreationEnabled = stored(
        bool, "widgetRepresentationCreationEnabled", True
    )
    icon, setIcon = stored(QtGui.QIcon, "icon", None)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self._panel: Any = None

    def widgetRepresentation(self) -> Any:
        """The module's panel, made at the first call; None where the module has none."""
        if self._panel is None and self.widgetRepresentationCreationEnabled:
            self._panel = self.createNewWidgetRepresentation()
        return self._panel


class qSlicerLoadableModule(qSlicerAbstractCoreModule):
    """A module with a C++ logic; its panel is empty."""

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__(name)
        self._logic = logic
        self.setTitle(name)

    def logic(self) -> Any:
        return self._logic

    def createNewWidgetRepresentation(self) -> QtWidgets.QWidget:
        return qSlicerWidget()


class qSlicerScriptedLoadableModule(qSlicerAbstractCoreModule):
    """A module written in Python."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.stem)
        self.setPath(str(path))
        self._logic: Any = None

    def logic(self) -> Any:
        """The logic of the scripted module's widget, if its file has one: scripted modules have no C++ logic."""
        return self._logic

    def createNewWidgetRepresentation(self) -> QtWidgets.QWidget | None:
        if not hasattr(sys.modules[self.objectName()], f"{self.objectName()}Widget"):
            return None  # a hidden module that only registers something
        panel = qSlicerScriptedLoadableModuleWidget()
        panel.setObjectName(f"{self.objectName()}ModuleWidget")
        panel._module = self
        self.fill(panel)
        return panel

    def fill(self, panel: qSlicerScriptedLoadableModuleWidget) -> None:
        """Make the module's widget class for this panel and set it up."""
        import slicer

        name = self.objectName()
        widget_class = getattr(sys.modules[name], f"{name}Widget")
        panel._python = widget_class(wrap(panel))
        setattr(slicer.modules, f"{name}Widget", panel._python)
        try:
            panel._python.setup()
        except Exception:
            self._forget(panel)
            raise
        panel.setMRMLScene(slicer.mrmlScene)

    def _forget(self, panel: qSlicerScriptedLoadableModuleWidget) -> None:
        """Undo what a widget class connected before its ``setup()`` failed."""
        import slicer

        listener = getattr(panel._python, "_onModuleAboutToBeUnloaded", None)
        if listener is not None:
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", listener)


class qSlicerModuleFactoryManager(QtCore.QObject):
    """The list of modules."""

    def __init__(self, manager: qSlicerModuleManager) -> None:
        super().__init__(manager)
        self._manager = manager

    def loadedModuleNames(self) -> list[str]:
        return sorted(self._manager.known)

    def isLoaded(self, name: str) -> bool:
        return name in self._manager.known


class qSlicerModuleManager(QtCore.QObject):
    """Loads modules and announces them."""

    moduleLoaded = QtCore.pyqtSignal(str)
    moduleAboutToBeUnloaded = QtCore.pyqtSignal(str)
    moduleUnloaded = QtCore.pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, qSlicerAbstractCoreModule] = {}
        self._factory = qSlicerModuleFactoryManager(self)

    def module(self, name: str) -> Any:
        return self.known.get(name)

    def modulesNames(self) -> list[str]:
        return sorted(self.known)

    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return self._factory

    def _register(self, module: qSlicerAbstractCoreModule) -> None:
        import slicer

        name = module.objectName()
        self.known[name] = module
        setattr(slicer.modules, name.lower(), wrap(module))
        self.moduleLoaded.emit(name)

    def _load_logics(self, logics: dict[str, Any]) -> None:
        for name, logic in logics.items():
            self._register(qSlicerLoadableModule(_TITLES.get(name, name.capitalize()), logic))

    def _load_scripted(self, path: Path) -> qSlicerScriptedLoadableModule:
        """Import a module's file and make its module object, as the application does at its start."""
        import slicer

        name = path.stem
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(name, path)
        python = importlib.util.module_from_spec(spec)
        sys.modules[name] = python
        spec.loader.exec_module(python)
        module = qSlicerScriptedLoadableModule(path)
        instance = getattr(python, name)(wrap(module))
        setattr(slicer.modules, f"{name}Instance", instance)
        if hasattr(instance, "setup"):
            instance.setup()
        self._register(module)
        return module

    def _unload(self, name: str) -> None:
        """Forget a scripted module: its widget is cleaned up, its panel deleted."""
        import slicer

        self.moduleAboutToBeUnloaded.emit(name)
        module = self.known.pop(name)
        for attribute in (name.lower(), f"{name}Widget", f"{name}Instance"):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)
        sys.modules.pop(name, None)
        if module._panel is not None:
            module._panel._python = None
            module._panel.deleteLater()
            module._panel = None
        self.moduleUnloaded.emit(name)
