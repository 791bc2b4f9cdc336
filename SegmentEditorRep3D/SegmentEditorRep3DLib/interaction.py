"""Where in the world the mouse is, from an event in a slice view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

TAKE, ADD, REMOVE = "take", "add", "remove"


@dataclass(frozen=True)
class ClickPoint:
    """A point that was clicked. ``ras``: world, mm. ``normal``: of the view's plane (unit, world), None: no view.

    ``action``: "take" (add to the segment and name it), "add" (add only) or "remove".
    """

    ras: tuple[float, float, float]
    action: str = TAKE
    normal: tuple[float, float, float] | None = None


def is_slice_view(view_widget: Any) -> bool:
    """Can be clicked: the effect does nothing in 3D views."""
    return view_widget.className() == "qMRMLSliceWidget"


def point_of(interactor: Any, view_widget: Any) -> ClickPoint:
    """The point under the cursor, in double precision: a click at the edge of a voxel must not fall into the next."""
    action = REMOVE if interactor.GetControlKey() else ADD if interactor.GetShiftKey() else TAKE
    return point_at(interactor.GetEventPosition(), action, view_widget.mrmlSliceNode())


def point_at(xy: Sequence[int], action: str, slice_node: slicer.vtkMRMLSliceNode) -> ClickPoint:
    """The point that a view shows at a pixel now."""
    ras = slice_node.GetXYToRAS().MultiplyPoint((float(xy[0]), float(xy[1]), 0.0, 1.0))
    return ClickPoint(tuple(float(v) for v in ras[:3]), action, normal_of(slice_node))


def normal_of(slice_node: slicer.vtkMRMLSliceNode) -> tuple[float, float, float]:
    """Unit normal (world) of a slice view's plane."""
    matrix: vtk.vtkMatrix4x4 = slice_node.GetSliceToRAS()
    normal = np.array([matrix.GetElement(row, 2) for row in range(3)])
    return tuple(float(v) for v in normal / np.linalg.norm(normal))
