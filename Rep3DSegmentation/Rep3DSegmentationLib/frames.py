"""Below which transform a result lies: the volume's, or that of the node that takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from .grids import as_array, as_matrix, has_shear, is_linear, matrix_between
from .i18n import _


@dataclass(frozen=True)
class Placement:
    """A label map in the frame of the segmentation node, and what it cost."""

    image: Any
    warnings: tuple[str, ...] = ()


def take_frame_of(node, volume_node) -> None:
    """Put ``node`` below the volume's parent transform (None: in the world)."""
    transform = volume_node.GetTransformNodeID() if volume_node is not None else None
    if node.GetTransformNodeID() != transform:
        node.SetAndObserveTransformNodeID(transform)


def place(image, node, volume_node) -> Placement:
    """Bring a label map from below the volume's transform (None: the world) to below the node's.

    With the same transform, or where turning, shifting and scaling the grid does, every voxel is kept. Otherwise the
    labels are resampled to the nearest voxel, which is said in a warning.
    """
    source = volume_node.GetParentTransformNode() if volume_node is not None else None
    target = node.GetParentTransformNode()
    if source is target or (source is not None and target is not None and source.GetID() == target.GetID()):
        return Placement(image)
    if is_linear(source, target):
        relative = matrix_between(source, target)
        if np.allclose(relative, np.eye(4), rtol=0, atol=1e-12):
            return Placement(image)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        moved = relative @ as_array(matrix)
        if not has_shear(moved):
            image.SetImageToWorldMatrix(as_matrix(moved))
            return Placement(image)
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    slicer.vtkOrientedImageDataResample.TransformOrientedImage(image, transform, False, True, False)
    warning = _(
        "{name} is under another transform than the volume, so that the result was resampled to its nearest voxels. "
        "Choose a new segmentation for an exact result."
    ).format(name=node.GetName())
    return Placement(image, (warning,))
