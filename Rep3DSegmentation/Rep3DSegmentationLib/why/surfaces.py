"""Where most of a receptive field lies: levels that hold a share of it, and surfaces at these levels."""

from __future__ import annotations

import numpy as np
import vtk

from ..grids import as_matrix
from .images import to_image

#: Standard deviation of the smoothing before surfaces are drawn, in voxels: single gradients are noisy.
SIGMA = 1.5


def smoothed(values_XYZ: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    """Gaussian smoothing, float64; nothing comes from outside the array."""
    reach = max(1, int(np.ceil(3 * sigma)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    values = np.asarray(values_XYZ, np.float64)
    for axis in range(3):
        padded = np.pad(values, [(reach, reach) if a == axis else (0, 0) for a in range(3)])
        count = values.shape[axis]
        values = sum(
            w * np.take(padded, range(shift, shift + count), axis=axis) for shift, w in enumerate(weights)
        )  # fmt: skip
    return values


def level_holding(values_XYZ: np.ndarray, fraction: float, order_XYZ: np.ndarray | None = None) -> float:
    """The highest level such that voxels at or above it hold ``fraction`` of the sum of ``values_XYZ``.

    Args:
        values_XYZ: contributions, not negative. order_XYZ: what the level refers to; default: the values themselves.

    Raises:
        ValueError: all values are zero.
    """
    values = np.asarray(values_XYZ, np.float64).ravel()
    order = values if order_XYZ is None else np.asarray(order_XYZ, np.float64).ravel()
    if not values.sum() > 0:
        raise ValueError("the field is zero everywhere, so no level holds a part of it")
    falling = np.argsort(-order, kind="stable")
    cumulative = np.cumsum(values[falling])
    index = int(np.searchsorted(cumulative, fraction * cumulative[-1] * (1 - 1e-12)))
    return float(order[falling[min(index, len(falling) - 1)]])


def surface_at(values_XYZ: np.ndarray, level: float, affine: np.ndarray) -> vtk.vtkPolyData:
    """The closed surface around all voxels above ``level``, in the coordinates that ``affine`` (4x4) leads to, mm.

    At the rim of the array the surface is closed half a voxel outside at most.
    """
    image = to_image(np.pad(np.asarray(values_XYZ, np.float32), 1))
    image.SetOrigin(-1, -1, -1)
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, level)
    contour.ComputeNormalsOff()
    contour.ComputeGradientsOff()
    contour.ComputeScalarsOff()
    transform = vtk.vtkTransform()
    transform.SetMatrix(as_matrix(affine))
    place = vtk.vtkTransformPolyDataFilter()
    place.SetInputConnection(contour.GetOutputPort())
    place.SetTransform(transform)
    normals = vtk.vtkPolyDataNormals()  # also turns triangles that a left-handed grid has turned inside out
    normals.SetInputConnection(place.GetOutputPort())
    normals.ConsistencyOn()
    normals.AutoOrientNormalsOn()
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()
