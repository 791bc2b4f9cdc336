"""Widgets that hold a scene and pass it on: qMRMLWidget, qSlicerWidget, qMRMLCollapsibleButton."""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, QtWidgets

from .base import computed
from .collapsible import ctkCollapsibleButton


class _HoldsScene:
    vtk_signals = ("mrmlSceneChanged(vtkMRMLScene*)",)
    vtk_slots = ("setMRMLScene(vtkMRMLScene*)",)
    _scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLWidget(_HoldsScene, QtWidgets.QWidget):
    """A widget that tells its children when it is given a scene."""

    mrmlSceneChanged = QtCore.pyqtSignal(object)


class qSlicerWidget(_HoldsScene, QtWidgets.QWidget):
    """The same, as modules of the application use it."""

    mrmlSceneChanged = QtCore.pyqtSignal(object)


class qMRMLCollapsibleButton(_HoldsScene, ctkCollapsibleButton):
    """A collapsible section that passes a scene on."""

    mrmlSceneChanged = QtCore.pyqtSignal(object)


class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """The panel of a scripted module; ``self()`` is its Python class. The host fills it."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        QtWidgets.QVBoxLayout(self)
        self._python: Any = None
        self._module: Any = None
        self._entered = False

    isEntered = computed(bool, lambda self: self._entered)

    def self(self) -> Any:
        return self._python

    def module(self) -> Any:
        return self._module

    def reload(self) -> None:
        """Make the Python class anew from the module's current source and set it up in this panel."""
        self._module.fill(self)

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._python, "exit"):
            self._python.exit()
