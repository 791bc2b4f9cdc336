"""From a point in the world to a voxel of a volume, whatever transforms lie in between."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from ..grids import Grid, nearest_voxel


def world_to_ijk(volume_node, ras) -> np.ndarray:
    """Continuous index [3] into the volume's array [X, Y, Z] of a world point (RAS mm); parent transforms included."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume_node.GetParentTransformNode(), transform)
    local = transform.TransformPoint([float(v) for v in ras])
    return (np.linalg.inv(Grid.of(volume_node).affine) @ [*local, 1.0])[:3]


def ijk_to_world(volume_node, ijk) -> np.ndarray:
    """World point (RAS mm) [3] of an index into the volume's array; parent transforms included."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume_node.GetParentTransformNode(), None, transform)
    local = Grid.of(volume_node).affine @ [*ijk, 1.0]
    return np.array(transform.TransformPoint(local[:3]))


def voxel_at(volume_node, ras) -> tuple[int, int, int] | None:
    """The voxel whose box holds a world point; None outside of the volume."""
    return nearest_voxel(world_to_ijk(volume_node, ras), Grid.of(volume_node).shape)
