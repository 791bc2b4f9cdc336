"""Volumes and intensities of the structures as a table node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import slicer
import vtk

from .i18n import _


def table(stats: Sequence[Mapping[str, Any]], name: str, unit: str = "", table_node=None):
    """A vtkMRMLTableNode with a row for each structure: name, volume in mL, voxels, mean and SD of the intensity.

    Args:
        stats: rows of the protocol's ``segment``; mean and sd are None, in the table nan, for one without a voxel.
        unit: of the intensities, such as "HU"; "" where they have none.
        table_node: filled instead of a new one.
    """
    if table_node is None:
        table_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    modifying = table_node.StartModify()
    table_node.RemoveAllColumns()
    suffix = f" ({unit})" if unit else ""
    columns = [
        (_("Structure"), vtk.vtkStringArray, "name", "", _("Name of the structure")),
        (_("Volume (mL)"), vtk.vtkDoubleArray, "volume_ml", "mL", _("Voxels times the volume of a voxel")),
        (_("Voxels"), vtk.vtkLongLongArray, "voxels", "voxel", _("Number of voxels")),
        (_("Mean") + suffix, vtk.vtkDoubleArray, "mean", unit, _("Mean intensity of the input volume")),
        (
            _("SD") + suffix,
            vtk.vtkDoubleArray,
            "sd",
            unit,
            _("Standard deviation of the intensity of the input volume"),
        ),
    ]
    if any("frame" in row for row in stats):
        columns.insert(0, (_("Frame"), vtk.vtkStringArray, "frame", "", _("Index value of the frame in its sequence")))
    for title, array_class, key, unit, description in columns:
        array = array_class()
        array.SetName(title)
        for row in stats:
            value = row.get(key)
            array.InsertNextValue(float("nan") if value is None else value)
        table_node.AddColumn(array)
        table_node.SetColumnDescription(title, description)
        if unit:
            table_node.SetColumnUnitLabel(title, unit)
    table_node.SetUseColumnTitleAsColumnHeader(True)
    table_node.SetLocked(True)
    table_node.EndModify(modifying)
    return table_node
