"""Table nodes from columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import vtk


def new_table(name: str) -> Any:
    """An empty table node in the scene."""
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)


def fill_table(node: Any, columns: Sequence[tuple[str, str, Sequence[Any]]]) -> Any:
    """Fill a table node with columns (title, unit, values), all of one length. Text or numbers; None is nan."""
    modifying = node.StartModify()
    node.RemoveAllColumns()
    for title, unit, values in columns:
        array = vtk.vtkStringArray() if any(isinstance(v, str) for v in values) else vtk.vtkDoubleArray()
        array.SetName(title)
        for value in values:
            array.InsertNextValue(float("nan") if value is None else value)
        node.AddColumn(array)
        if unit:
            node.SetColumnUnitLabel(title, unit)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    node.EndModify(modifying)
    return node


def rows_of(node: Any) -> list[dict[str, str]]:
    """What a table node shows, row by row."""
    titles = [node.GetColumnName(column) for column in range(node.GetNumberOfColumns())]
    return [
        {title: node.GetCellText(row, column) for column, title in enumerate(titles)}
        for row in range(node.GetNumberOfRows())
    ]
