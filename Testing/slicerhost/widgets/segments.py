"""Widgets about segmentations: the table of segments and "Show 3D"."""

from __future__ import annotations

from typing import Any

import slicer
from PyQt5 import QtCore, QtGui, QtWidgets

from .base import computed, stored
from .choices import ctkMenuButton
from .mrml import qMRMLWidget
from .observing import Observers

_SURFACE = "Closed surface"
_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")


def _segmentation_events() -> list[int]:
    return [getattr(slicer.vtkSegmentation, name) for name in _EVENTS]


class qMRMLSegmentsTableView(qMRMLWidget):
    """Visibility, colour and name of every segment; a click in the first column shows or hides one."""

    vtk_slots = ("setSegmentationNode(vtkMRMLNode*)",)
    selectionChanged = QtCore.pyqtSignal(QtCore.QItemSelection, QtCore.QItemSelection)

    selectionMode, setSelectionMode = stored(int, "selectionMode", 3, "_apply")
    headerVisible, setHeaderVisible = stored(bool, "headerVisible", True, "_apply")
    visibilityColumnVisible, setVisibilityColumnVisible = stored(bool, "visibilityColumnVisible", True, "_apply")
    colorColumnVisible, setColorColumnVisible = stored(bool, "colorColumnVisible", True, "_apply")
    opacityColumnVisible, setOpacityColumnVisible = stored(bool, "opacityColumnVisible", True)
    statusColumnVisible, setStatusColumnVisible = stored(bool, "statusColumnVisible", False)
    layerColumnVisible, setLayerColumnVisible = stored(bool, "layerColumnVisible", False)
    filterBarVisible, setFilterBarVisible = stored(bool, "filterBarVisible", False)
    readOnly, setReadOnly = stored(bool, "readOnly", False)
    textFilter, setTextFilter = stored(str, "textFilter", "", "_fill")
    jumpToSelectedSegmentEnabled, setJumpToSelectedSegmentEnabled = stored(bool, "jumpToSelectedSegmentEnabled", False)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._ids: list[str] = []
        self._hidden: list[str] = []
        self._observers = Observers(self)
        self._table = QtWidgets.QTableWidget(0, 3, self)
        self._table.setHorizontalHeaderLabels(["", "", "Name"])
        self._table.verticalHeader().hide()
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setColumnWidth(0, 28)
        self._table.setColumnWidth(1, 28)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.itemChanged.connect(self._edited)
        self._table.selectionModel().selectionChanged.connect(self.selectionChanged.emit)

    def _apply(self) -> None:
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(self.selectionMode))
        self._table.horizontalHeader().setVisible(self.headerVisible)
        self._table.setColumnHidden(0, not self.visibilityColumnVisible)
        self._table.setColumnHidden(1, not self.colorColumnVisible)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._observers.clear()
        self._node = node
        if node is not None:
            for event in _segmentation_events():
                self._observers.add(node, event, type(self)._fill)  # the display node is up to date by then
            self._observers.add(node, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, type(self)._fill)
        self._fill()

    def _fill(self) -> None:
        segmentation = self._node.GetSegmentation() if self._node is not None else None
        ids = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
        named = [(i, segmentation.GetSegment(i)) for i in ids if i not in self._hidden]
        named = [(i, s) for i, s in named if self.textFilter.lower() in s.GetName().lower()]
        self._ids = [i for i, _segment in named]
        display = self._node.GetDisplayNode() if self._node is not None else None
        with QtCore.QSignalBlocker(self._table):
            self._table.setRowCount(len(named))
            for row, (segment_id, segment) in enumerate(named):
                visible = display is None or display.GetSegmentVisibility(segment_id)
                eye = QtWidgets.QTableWidgetItem()
                eye.setCheckState(QtCore.Qt.Checked if visible else QtCore.Qt.Unchecked)
                colour = QtWidgets.QTableWidgetItem()
                colour.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
                name = QtWidgets.QTableWidgetItem(segment.GetName())
                for column, item in enumerate((eye, colour, name)):
                    self._table.setItem(row, column, item)

    def _edited(self, item: QtWidgets.QTableWidgetItem) -> None:
        segment_id = self._ids[item.row()]
        if item.column() == 0 and self._node.GetDisplayNode() is not None:
            shown = item.checkState() == QtCore.Qt.Checked
            self._node.GetDisplayNode().SetSegmentVisibility(segment_id, shown)
        elif item.column() == 2 and not self.readOnly:
            self._node.GetSegmentation().GetSegment(segment_id).SetName(item.text())

    def tableWidget(self) -> QtWidgets.QTableWidget:
        return self._table

    segmentCount = computed(int, lambda self: len(self._ids))

    def displayedSegmentIDs(self) -> list[str]:
        return list(self._ids)

    def rowForSegmentID(self, segment_id: str) -> int:
        return self._ids.index(segment_id) if segment_id in self._ids else -1

    def segmentIDForRow(self, row: int) -> str:
        return self._ids[row] if 0 <= row < len(self._ids) else ""

    def selectedSegmentIDs(self) -> list[str]:
        return [self._ids[index.row()] for index in self._table.selectionModel().selectedRows()]

    def setSelectedSegmentIDs(self, ids: list[str]) -> None:
        self._table.clearSelection()
        for segment_id in ids:
            self._table.selectRow(self.rowForSegmentID(segment_id))

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def setHideSegments(self, ids: list[str]) -> None:
        self._hidden = list(ids)
        self._fill()

    def hideSegments(self) -> list[str]:
        return list(self._hidden)


class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """Makes or removes the closed surface of a segmentation."""

    vtk_slots = ("setSegmentationNode(vtkMRMLSegmentationNode*)", "setSegmentationNode(vtkMRMLNode*)")
    locked, setLocked = stored(bool, "locked", False, "_update")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._observers = Observers(self)
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        self.toggled.connect(self._toggled)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._observers.clear()
        self._node = node
        if node is not None:
            for event in (slicer.vtkSegmentation.ContainedRepresentationNamesModified, *_segmentation_events()):
                self._observers.add(node.GetSegmentation(), event, type(self)._update)
        self._update()

    def _update(self) -> None:
        segmentation = self._node.GetSegmentation() if self._node is not None else None
        self.setEnabled(segmentation is not None and segmentation.GetNumberOfSegments() > 0 and not self.locked)
        with QtCore.QSignalBlocker(self):
            self.setChecked(segmentation is not None and segmentation.ContainsRepresentation(_SURFACE))

    def _toggled(self, shown: bool) -> None:
        if self._node is None:
            return
        if shown:
            self._node.CreateClosedSurfaceRepresentation()
            display = self._node.GetDisplayNode()
            if display is not None:
                display.SetVisibility(True)
                display.SetVisibility3D(True)
                display.SetPreferredDisplayRepresentationName3D(_SURFACE)
        else:
            self._node.RemoveClosedSurfaceRepresentation()
