"""The layout manager: which slice views there are, and a record of requests to reset views."""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore

from .widgets.base import computed


class qMRMLSliceWidget(QtCore.QObject):
    """One slice view: its node and its logic. The picture itself is rendered by ``host.render_slice``."""

    def __init__(self, node: Any, logic: Any) -> None:
        super().__init__()
        self._node, self._logic = node, logic

    def mrmlSliceNode(self) -> Any:
        return self._node

    def sliceLogic(self) -> Any:
        return self._logic

    def fitSliceToBackground(self) -> None:
        if self._logic is not None:
            self._logic.FitSliceToBackground()


class qSlicerLayoutManager(QtCore.QObject):
    """The views of the scene; the host has no windows for them."""

    layoutChanged = QtCore.pyqtSignal(int)

    def __init__(self, core: Any) -> None:
        super().__init__()
        self._core = core
        self._layout = 0
        self._resets: list[str] = []

    def mrmlSliceLogics(self) -> Any:
        return self._core.app_logic.GetSliceLogics()

    def _slice_nodes(self) -> list[Any]:
        scene = self._core.scene
        return [
            scene.GetNthNodeByClass(i, "vtkMRMLSliceNode")
            for i in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode"))
        ]

    def sliceViewNames(self) -> list[str]:
        return [node.GetLayoutName() for node in self._slice_nodes()]

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        for node in self._slice_nodes():
            if node.GetLayoutName() == name:
                return qMRMLSliceWidget(node, self._core.app_logic.GetSliceLogic(node))
        return None

    def resetThreeDViews(self) -> None:
        self._resets.append("3D")

    def resetSliceViews(self) -> None:
        self._resets.append("slices")

    def setLayout(self, layout: int) -> None:
        if layout != self._layout:
            self._layout = layout
            self.layoutChanged.emit(layout)

    layout = computed(int, lambda self: self._layout, setLayout)
    threeDViewCount = computed(int, lambda self: 0)
    tableViewCount = computed(int, lambda self: 0)
    plotViewCount = computed(int, lambda self: 0)
