"""qMRMLSegmentSelectorWidget: a segmentation and one of its segments."""

from __future__ import annotations

from typing import Any

import slicer
from PyQt5 import QtCore, QtWidgets

from .base import computed
from .mrml import qMRMLWidget
from .node_combo_box import qMRMLNodeComboBox
from .observing import Observers


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Two combo boxes; the second follows the segmentation that the first shows."""

    vtk_slots = ("setCurrentNode(vtkMRMLNode*)",)
    vtk_signals = ("currentNodeChanged(vtkMRMLNode*)",)
    currentNodeChanged = QtCore.pyqtSignal(object)
    currentSegmentChanged = QtCore.pyqtSignal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._nodes, self._segments = qMRMLNodeComboBox(self), QtWidgets.QComboBox(self)
        self._nodes.setNodeTypes(["vtkMRMLSegmentationNode"])
        self._nodes.setAddEnabled(False)
        self._nodes.setRemoveEnabled(False)
        layout.addWidget(self._nodes)
        layout.addWidget(self._segments)
        self._observers = Observers(self)
        self._nodes.currentNodeChanged[object].connect(self._on_node)
        self._segments.currentIndexChanged.connect(
            lambda _row: self.currentSegmentChanged.emit(self.currentSegmentID())
        )
        self.mrmlSceneChanged.connect(self._nodes.setMRMLScene)

    def _on_node(self, node: Any) -> None:
        self._observers.clear()
        if node is not None:
            for event in (slicer.vtkSegmentation.SegmentAdded, slicer.vtkSegmentation.SegmentRemoved):
                self._observers.add(node.GetSegmentation(), event, type(self)._fill)
        self._fill()
        self.currentNodeChanged.emit(node)

    def _fill(self) -> None:
        chosen = self.currentSegmentID()
        segmentation = self.currentNode().GetSegmentation() if self.currentNode() is not None else None
        with QtCore.QSignalBlocker(self._segments):
            self._segments.clear()
            for segment_id in segmentation.GetSegmentIDs() if segmentation is not None else ():
                self._segments.addItem(segmentation.GetSegment(segment_id).GetName(), segment_id)
            self._segments.setCurrentIndex(max(self._segments.findData(chosen), min(0, self._segments.count() - 1)))
        if self.currentSegmentID() != chosen:
            self.currentSegmentChanged.emit(self.currentSegmentID())

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def setCurrentNode(self, node: Any) -> None:
        self._nodes.setCurrentNode(node)

    def currentNodeID(self) -> str:
        return self._nodes.currentNodeID

    def setCurrentNodeID(self, node_id: str) -> None:
        self._nodes.setCurrentNodeID(node_id)

    def currentSegmentID(self) -> str:
        return self._segments.currentData() or ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._segments.setCurrentIndex(self._segments.findData(segment_id))

    def setNoneEnabled(self, enabled: bool) -> None:
        self._nodes.setNoneEnabled(enabled)

    def setSegmentationNodeSelectorVisible(self, visible: bool) -> None:
        self._nodes.setVisible(visible)

    noneEnabled = computed(bool, lambda self: self._nodes.noneEnabled, setNoneEnabled)
    segmentationNodeSelectorVisible = computed(
        bool, lambda self: not self._nodes.isHidden(), setSegmentationNodeSelectorVisible
    )
