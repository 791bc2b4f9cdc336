"""A picked mask on the grid that the segment editor edits, in the segmentation's own coordinates."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..frames import place
from ..grids import Grid, as_matrix
from .picking import Pick

SAME_MM = 1e-3  # grids whose corners differ by less than this, in mm, are the same


def to_modifier(
    pick: Pick, volume_node, segmentation_node, reference: slicer.vtkOrientedImageData, click_ras=None
) -> tuple[slicer.vtkOrientedImageData, tuple[str, ...]]:
    """The mask of a pick as a modifier label map for ``modifySelectedSegmentByLabelmap``.

    Args:
        volume_node: on whose grid the pick lies. segmentation_node: that is edited; both may be under transforms.
        reference: an image with the grid to deliver, e.g. the effect's default modifier label map; not changed.
        click_ras: world point of the click; the voxel of the delivered grid that holds it is taken in any case, also
            where a coarser grid has its centre outside of the structure.

    Returns:
        the image (unsigned char, 0 and 1) with the geometry and extent of ``reference``, and warnings.

    The same grid is copied voxel by voxel; any other takes the nearest voxel.
    """
    placed = place(_as_oriented(pick, volume_node), segmentation_node, volume_node)
    result = slicer.vtkOrientedImageData()
    if _same_grid(placed.image, reference):
        _copy_grid(reference, result)
        _paste(placed.image, result)
    else:
        resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
        if not resample(placed.image, reference, result, False, False):
            raise RuntimeError("the mask could not be resampled to the segmentation's grid")
        values = result.GetPointData().GetScalars()
        if values.GetDataType() != vtk.VTK_UNSIGNED_CHAR:
            _set_scalars(result, vtk_to_numpy(values) != 0)
    if click_ras is not None and pick.mask.size:
        _take_point(result, segmentation_node, click_ras)
    return result, placed.warnings


def _as_oriented(pick: Pick, volume_node) -> slicer.vtkOrientedImageData:
    """The mask in the coordinates of the volume node, its place in the extent."""
    grid = Grid.of(volume_node)
    image = slicer.vtkOrientedImageData()
    extent = []
    for start, first, count in zip(grid.extent_start, pick.first, pick.mask.shape):
        extent += [start + first, start + first + count - 1]
    image.SetExtent(extent)
    _set_scalars(image, pick.mask.ravel(order="F"))
    image.SetImageToWorldMatrix(as_matrix(np.array(grid.ijk_to_ras)))
    return image


def _same_grid(image: slicer.vtkOrientedImageData, reference: slicer.vtkOrientedImageData) -> bool:
    """Do the voxels of both lie on one lattice with the same indices?"""
    matrices = []
    for one in (image, reference):
        matrix = vtk.vtkMatrix4x4()
        one.GetImageToWorldMatrix(matrix)
        matrices.append(np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(3)]))
    low, high = np.array(reference.GetExtent()).reshape(3, 2).T
    corners = np.array([[*np.where(bits, high, low), 1.0] for bits in np.ndindex(2, 2, 2)])
    return bool(np.abs((matrices[0] - matrices[1]) @ corners.T).max() < SAME_MM)


def _copy_grid(reference: slicer.vtkOrientedImageData, target: slicer.vtkOrientedImageData) -> None:
    matrix = vtk.vtkMatrix4x4()
    reference.GetImageToWorldMatrix(matrix)
    target.SetExtent(reference.GetExtent())
    target.SetImageToWorldMatrix(matrix)
    _set_scalars(target, np.zeros(int(np.prod(reference.GetDimensions())), np.uint8))


def _paste(image: slicer.vtkOrientedImageData, target: slicer.vtkOrientedImageData) -> None:
    """Copy what of ``image`` lies within the extent of ``target``."""
    have, want = (np.array(one.GetExtent()).reshape(3, 2) for one in (image, target))
    low, high = np.maximum(have[:, 0], want[:, 0]), np.minimum(have[:, 1], want[:, 1])
    if (low > high).any():
        return
    source = tuple(slice(a - start, z - start + 1) for a, z, start in zip(low, high, have[:, 0]))
    sink = tuple(slice(a - start, z - start + 1) for a, z, start in zip(low, high, want[:, 0]))
    values(target)[sink] = values(image)[source]


def values(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """The voxels of an image as an array [i, j, k], a view that may be written."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")


def _take_point(image: slicer.vtkOrientedImageData, segmentation_node, ras) -> None:
    """Set the voxel of ``image`` that holds a world point, if it holds it."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, segmentation_node.GetParentTransformNode(), transform)
    matrix = vtk.vtkMatrix4x4()
    image.GetWorldToImageMatrix(matrix)
    index = matrix.MultiplyPoint([*transform.TransformPoint([float(v) for v in ras]), 1.0])[:3]
    extent = np.array(image.GetExtent()).reshape(3, 2)
    voxel = np.floor(np.array(index) + 0.5 + 1e-9).astype(int)
    if ((voxel >= extent[:, 0]) & (voxel <= extent[:, 1])).all():
        values(image)[tuple(voxel - extent[:, 0])] = 1


def _set_scalars(image: slicer.vtkOrientedImageData, flat: np.ndarray) -> None:
    scalars = numpy_to_vtk(np.ascontiguousarray(flat, np.uint8), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
