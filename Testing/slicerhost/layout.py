"""The layout manager: the slice views Red, Green and Yellow, and a record of requests to reset views."""

from __future__ import annotations

from typing import Any

import slicer
from PyQt5 import QtCore

from .slice_views import qMRMLSliceWidget
from .widgets.base import computed

_VIEWS = {"Red": ("Axial", "R"), "Green": ("Coronal", "G"), "Yellow": ("Sagittal", "Y")}


class qSlicerLayoutManager(QtCore.QObject):
    """The views of the scene. There is no 3D view."""

    layoutChanged = QtCore.pyqtSignal(int)

    def __init__(self, core: Any) -> None:
        super().__init__()
        self._core = core
        self._layout = 0
        self._resets: list[str] = []
        self._slices = {name: self._make_slice(name, *rest) for name, rest in _VIEWS.items()}

    def _make_slice(self, name: str, orientation: str, label: str) -> qMRMLSliceWidget:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._core.app_logic)
        logic.SetMRMLScene(self._core.scene)
        node = logic.AddSliceNode(name)
        node.SetLayoutLabel(label)
        node.SetOrientation(orientation)
        self._core.app_logic.GetSliceLogics().AddItem(logic)
        widget = qMRMLSliceWidget(node, logic)
        widget.setMRMLScene(self._core.scene)
        return widget

    def mrmlSliceLogics(self) -> Any:
        return self._core.app_logic.GetSliceLogics()

    def sliceViewNames(self) -> list[str]:
        return list(self._slices)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._slices.get(name)

    def resetThreeDViews(self) -> None:
        self._resets.append("3D")

    def resetSliceViews(self) -> None:
        self._resets.append("slices")
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def setLayout(self, layout: int) -> None:
        if layout != self._layout:
            self._layout = layout
            self.layoutChanged.emit(layout)

    layout = computed(int, lambda self: self._layout, setLayout)
    threeDViewCount = computed(int, lambda self: 0)
    tableViewCount = computed(int, lambda self: 0)
    plotViewCount = computed(int, lambda self: 0)
