"""Arrays [X, Y, Z] as volume nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..grids import as_matrix


def to_image(values_XYZ: np.ndarray) -> vtk.vtkImageData:
    """A copy as an image with spacing 1 and origin 0: VTK's place of a voxel is its index."""
    image = vtk.vtkImageData()
    image.SetDimensions(*values_XYZ.shape)
    flat = np.ascontiguousarray(values_XYZ.transpose(2, 1, 0)).ravel()  # x fastest
    scalars = numpy_to_vtk(flat, deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def fill_volume(node: Any, values_XYZ: np.ndarray, affine: np.ndarray) -> Any:
    """Give a volume node these voxels at this place (4x4, voxel to the node's RAS in mm). Returns the node."""
    node.SetIJKToRASMatrix(as_matrix(affine))
    node.SetAndObserveImageData(to_image(values_XYZ))
    return node


def new_volume(name: str) -> Any:
    """A scalar volume in the scene, with a display node."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.CreateDefaultDisplayNodes()
    return node


def show_range(node: Any, low: float, high: float, colors: Any) -> None:
    """Window the display of a volume to [low, high] and give it a colour table."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    modifying = display.StartModify()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(max(high - low, 1e-12), (high + low) / 2)
    display.SetAndObserveColorNodeID(colors.GetID())
    display.EndModify(modifying)
