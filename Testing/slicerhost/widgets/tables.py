"""qMRMLTableView: a table node as a spreadsheet."""

from __future__ import annotations

from typing import Any

import vtk
from PyQt5 import QtCore, QtGui, QtWidgets

from .base import stored
from .observing import Observers


class qMRMLTableView(QtWidgets.QTableView):
    """Shows a vtkMRMLTableNode and follows it. Without a locked first row the header shows letters."""

    vtk_signals = ("mrmlSceneChanged(vtkMRMLScene*)",)
    vtk_slots = (
        "setMRMLScene(vtkMRMLScene*)",
        "setMRMLTableNode(vtkMRMLNode*)",
        "setMRMLTableNode(vtkMRMLTableNode*)",
    )
    mrmlSceneChanged = QtCore.pyqtSignal(object)
    selectionChangedSignal = QtCore.pyqtSignal(name="selectionChanged")

    transposed, setTransposed = stored(bool, "transposed", False, "_fill")
    firstRowLocked, setFirstRowLocked = stored(bool, "firstRowLocked", False, "_fill")
    firstColumnLocked, setFirstColumnLocked = stored(bool, "firstColumnLocked", False, "_fill")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._table: Any = None
        self._observers = Observers(self)
        self.setModel(QtGui.QStandardItemModel(self))

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlTableNode(self) -> Any:
        return self._table

    def setMRMLTableNode(self, node: Any) -> None:
        self._observers.clear()
        self._table = node
        if node is not None:
            self._observers.add(node, vtk.vtkCommand.ModifiedEvent, type(self)._fill)
        self._fill()

    def tableModel(self) -> QtGui.QStandardItemModel:
        return self.model()

    def _fill(self) -> None:
        model = self.model()
        model.clear()
        table = self._table.GetTable() if self._table is not None else None
        if table is None:
            return
        names = [table.GetColumnName(column) or "" for column in range(table.GetNumberOfColumns())]
        rows = [
            [_text(table.GetValue(row, column)) for column in range(len(names))]
            for row in range(table.GetNumberOfRows())
        ]
        grid = rows if self.firstRowLocked or self._table.GetUseColumnTitleAsColumnHeader() else [names, *rows]
        if self.transposed:
            grid = [list(column) for column in zip(*grid)]
        for row in grid:
            model.appendRow([QtGui.QStandardItem(text) for text in row])
        if self._table.GetUseColumnTitleAsColumnHeader() and not self.transposed:
            model.setHorizontalHeaderLabels([_title(self._table, name) for name in names])
        elif self.firstRowLocked and not self.transposed:
            model.setHorizontalHeaderLabels(names)


def _text(value: vtk.vtkVariant) -> str:
    return f"{value.ToDouble():.6g}" if value.IsFloat() or value.IsDouble() else value.ToString()


def _title(node: Any, name: str) -> str:
    return node.GetColumnTitle(name) if hasattr(node, "GetColumnTitle") else name
