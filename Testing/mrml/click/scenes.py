"""Random scenes for clicks: a volume on any grid, a segmentation on another, transforms on either or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from vtk.util.numpy_support import numpy_to_vtk


def affines(draw, spacing=(0.4, 4.0)):
    """A 4x4 voxel-to-RAS matrix: any orientation, any handedness, anisotropic, oblique."""
    permutation = np.eye(3)[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    rotation = Rotation.from_rotvec(draw(st.tuples(*[st.floats(-0.7, 0.7)] * 3))).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ permutation * draw(st.tuples(*[st.floats(*spacing)] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-100, 100)] * 3))
    return affine


@st.composite
def linear(draw):
    """A 4x4 linear transform (rigid, or scaling along world axes, which shears turned grids), or None."""
    if draw(st.booleans()):
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(draw(st.tuples(*[st.floats(-1, 1)] * 3))).as_matrix()
    if draw(st.booleans()):
        matrix[:3, :3] = np.diag(draw(st.tuples(*[st.floats(0.6, 1.6)] * 3))) @ matrix[:3, :3]
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-50, 50)] * 3))
    return matrix


@dataclass
class Scene:
    """What a test clicks in."""

    volume: Any
    affine_world: np.ndarray
    shape: tuple[int, int, int]


def add_transform(matrix):
    """A linear transform node, or None for None."""
    if matrix is None:
        return None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def add_volume(array_XYZ, affine, transform=None):
    """A scalar volume with this voxel-to-RAS matrix, below a transform node."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*array_XYZ.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(np.asfortranarray(array_XYZ).ravel(order="F"), deep=True))
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    if transform is not None:
        node.SetAndObserveTransformNodeID(transform.GetID())
    return node


@st.composite
def volumes(draw):
    """(array shape, affine, linear transform or None)."""
    return draw(st.tuples(*[st.integers(3, 14)] * 3)), affines(draw), draw(linear())
