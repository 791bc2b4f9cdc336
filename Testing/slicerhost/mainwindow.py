"""The main window: a module selector, a status bar and the panel of the selected module."""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, QtWidgets

from .widgets.base import computed


class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """Selects the module whose panel is shown, and tells modules that they are entered and left."""

    moduleSelected = QtCore.pyqtSignal(str)

    def __init__(self, window: qSlicerMainWindow, manager: Any) -> None:
        super().__init__(window)
        self._manager, self._area, self._name = manager, window._area, ""

    def selectModule(self, name: str) -> None:
        module = self._manager.module(name)
        panel = module.widgetRepresentation() if module is not None else None
        if panel is None:
            raise RuntimeError(f"There is no module '{name}' with a panel")
        if name == self._name:
            return
        self._leave()
        self._name = name
        self._area.takeWidget()
        self._area.setWidget(panel)
        panel.show()
        if hasattr(panel, "enter"):
            panel.enter()
        self.moduleSelected.emit(name)

    def _leave(self) -> None:
        old = self._manager.module(self._name)
        if old is not None and hasattr(old.widgetRepresentation(), "exit"):
            old.widgetRepresentation().exit()
        taken = self._area.takeWidget()
        if taken is not None:
            taken.setParent(None)
        self._name = ""

    selectedModule = computed(str, lambda self: self._name)


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """Window with the module panel on its left."""

    def __init__(self, manager: Any) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer")
        dock = QtWidgets.QDockWidget("", self)
        dock.setObjectName("PanelDockWidget")
        self._area = QtWidgets.QScrollArea(dock)
        self._area.setWidgetResizable(True)
        dock.setWidget(self._area)
        self.addDockWidget(QtCore.Qt.LeftDockWidgetArea, dock)
        self.setStatusBar(QtWidgets.QStatusBar(self))
        self._selector = qSlicerModuleSelectorToolBar(self, manager)
        self.addToolBar(self._selector)

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector
