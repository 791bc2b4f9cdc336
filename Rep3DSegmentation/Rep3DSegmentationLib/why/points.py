"""Where the user points at: control points of a markups list, or the crosshair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer

from ..errors import InputError
from ..i18n import _


@dataclass(frozen=True)
class Point:
    """A place in the world. name: for node names and tables; ras: mm."""

    name: str
    ras: tuple[float, float, float]


def points_of(markups_node: Any) -> list[Point]:
    """The control points that have been placed, in the world (parent transforms included)."""
    if markups_node is None:
        return []
    found = []
    for index in range(markups_node.GetNumberOfControlPoints()):
        if markups_node.GetNthControlPointPositionStatus(index) != slicer.vtkMRMLMarkupsNode.PositionDefined:
            continue
        ras = [0.0, 0.0, 0.0]
        markups_node.GetNthControlPointPositionWorld(index, ras)
        found.append(Point(markups_node.GetNthControlPointLabel(index) or str(index + 1), tuple(ras)))
    return found


def crosshair() -> Point:
    """The crosshair's place; Shift and moving the mouse in a slice view sets it. Raises InputError without one."""
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if node is None:
        raise InputError(_("There is no crosshair."), _("Choose a list of points instead."))
    return Point(_("crosshair"), tuple(float(v) for v in node.GetCrosshairRAS()))


def place_point(markups_node: Any = None) -> Any:
    """Let the next click in a view place a point in this list, or in a new one. Returns the list."""
    scene = slicer.mrmlScene
    if markups_node is None:
        markups_node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(_("Explain")))
        markups_node.CreateDefaultDisplayNodes()
    selection = scene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    interaction = scene.GetFirstNodeByClass("vtkMRMLInteractionNode")
    selection.SetReferenceActivePlaceNodeClassName(markups_node.GetClassName())
    selection.SetActivePlaceNodeID(markups_node.GetID())
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.Place)
    return markups_node
