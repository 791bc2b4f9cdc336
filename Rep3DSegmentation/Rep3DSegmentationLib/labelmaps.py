"""A label array as the oriented image that Slicer's segments hold."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .grids import Grid, as_matrix


def labelmap_image(labels_XYZ: np.ndarray, grid: Grid) -> slicer.vtkOrientedImageData:
    """The labels on exactly the volume's grid, cropped to the voxels that are used, as Slicer does.

    The crop is in the extent, the origin stays that of the grid. Without any voxel the image is empty.
    """
    image = slicer.vtkOrientedImageData()
    labels_KJI = labels_XYZ.transpose(2, 1, 0)  # x fastest, as VTK stores it
    box = used_box(labels_KJI)
    if box is None:
        image.SetExtent(0, -1, 0, -1, 0, -1)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    else:
        cropped = np.ascontiguousarray(labels_KJI[box])
        extent = []
        for axis, start in zip((2, 1, 0), grid.extent_start):
            extent += [start + box[axis].start, start + box[axis].stop - 1]
        image.SetExtent(extent)
        scalars = numpy_to_vtk(cropped.ravel(), deep=True)
        scalars.SetName("ImageScalars")
        image.GetPointData().SetScalars(scalars)
    image.SetImageToWorldMatrix(as_matrix(np.array(grid.ijk_to_ras)))
    return image


def used_box(array: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds all that is not zero; None when all is."""
    box = []
    for axis in range(array.ndim):
        others = tuple(a for a in range(array.ndim) if a != axis)
        used = np.flatnonzero(array.any(axis=others))
        if used.size == 0:
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
        array = array[tuple([slice(None)] * axis + [box[-1]])]  # the next axes need not look outside
    return tuple(box)


def used_values(image) -> set[int]:
    """The label values that occur in an image of :func:`labelmap_image`."""
    scalars = image.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        return set()
    values = vtk_to_numpy(scalars)
    counts = np.zeros(int(np.iinfo(values.dtype).max) + 1, np.int64)
    for part in np.array_split(values, values.size // 1_000_000 + 1):  # bincount makes 64-bit copies
        counts += np.bincount(part, minlength=counts.size)
    return set(np.flatnonzero(counts).tolist())
