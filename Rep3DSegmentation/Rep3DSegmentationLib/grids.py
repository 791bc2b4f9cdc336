"""Where voxels are: the grid of a volume node, and matrices between nodes, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk


@dataclass(frozen=True)
class Grid:
    """The voxel grid of a volume node, in the coordinates of the node (before its parent transform).

    shape: voxels along i, j, k. extent_start: index of the first voxel, (0, 0, 0) but for odd images.
    ijk_to_ras: 4x4 (rows of a nested tuple), from VTK's structured coordinates to the node's RAS, mm.
    """

    shape: tuple[int, int, int]
    extent_start: tuple[int, int, int]
    ijk_to_ras: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, volume_node) -> Grid:
        """The grid of a volume node that has an image."""
        extent = volume_node.GetImageData().GetExtent()
        matrix = vtk.vtkMatrix4x4()
        volume_node.GetIJKToRASMatrix(matrix)
        shape = tuple(extent[2 * a + 1] - extent[2 * a] + 1 for a in range(3))
        return cls(shape, extent[0::2], as_tuple(as_array(matrix)))

    @property
    def extent(self) -> list[int]:
        """First and last index along i, j and k, as VTK has it."""
        return [n for a, c in zip(self.extent_start, self.shape) for n in (a, a + c - 1)]

    @property
    def affine(self) -> np.ndarray:
        """4x4 from the index in the array [X, Y, Z] to the node's RAS."""
        shift = np.eye(4)
        shift[:3, 3] = self.extent_start
        return np.array(self.ijk_to_ras) @ shift


EDGE = 1e-6  # voxels: a point on the outer face of a border voxel belongs to it, whatever the rounding


def nearest_voxel(index, shape: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """The voxel whose box holds a continuous index; None outside of the grid.

    The test is made before rounding: a voxel reaches half its size to each side of its centre, slice 0 like any other.
    """
    if any(not -0.5 - EDGE <= v <= n - 0.5 + EDGE for v, n in zip(index, shape)):
        return None
    return tuple(int(min(max(np.floor(v + 0.5), 0), n - 1)) for v, n in zip(index, shape))


def as_array(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """A VTK matrix as a 4x4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def as_matrix(array: np.ndarray) -> vtk.vtkMatrix4x4:
    """A 4x4 array as a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, float).ravel().tolist())
    return matrix


def as_tuple(array: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """A 4x4 array as nested tuples, which compare and hash."""
    return tuple(tuple(float(value) for value in row) for row in array)


def is_linear(source_node, target_node) -> bool:
    """Is the way from one parent transform to another (None: the world) a matrix?"""
    general = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source_node, target_node, general)
    return bool(slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(general))


def matrix_between(source_node, target_node) -> np.ndarray:
    """4x4 from below one parent transform to below another (None: the world). The way must be linear."""
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(source_node, target_node, matrix)
    return as_array(matrix)


def has_shear(affine: np.ndarray, tolerance: float = 1e-4) -> bool:
    """Are the axes of a grid not at right angles? ``tolerance``: largest cosine that counts as a right angle."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > tolerance)
