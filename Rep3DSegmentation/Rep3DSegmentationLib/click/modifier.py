"""A picked mask on the grid that the segment editor edits, in the segmentation's own coordinates."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..grids import Grid, as_array, as_matrix, has_shear, is_linear, matrix_between
from ..i18n import _
from .picking import Pick

SAME_MM = 1e-3  # grids whose corners differ by less than this, in mm, are the same


def to_modifier(
    pick: Pick, volume_node, segmentation_node, reference: slicer.vtkOrientedImageData, click_ras=None
) -> tuple[slicer.vtkOrientedImageData, tuple[str, ...]]:
    """The mask of a pick as a modifier label map for ``modifySelectedSegmentByLabelmap``.

    Args:
        volume_node: on whose grid the pick lies. segmentation_node: that is edited; both may be under transforms.
        reference: an image with the lattice and extent to stay within (the editor's reference geometry; it needs no
            voxels). Beyond its extent the editor's masks do not reach, so nothing is delivered there.
        click_ras: world point of the click; the voxel of the delivered grid that holds it is taken in any case, also
            where a coarser grid has its centre outside of the structure.

    Returns:
        an image (unsigned char, 0 and 1) on the lattice of ``reference``, as small as the pick allows, with an empty
        extent if nothing of it lies within; and warnings.

    The same lattice is copied voxel by voxel; any other takes the nearest voxel.
    """
    result, transform, warnings = slicer.vtkOrientedImageData(), None, ()
    if not pick.mask.size:
        _make(result, reference, np.array([[0, -1]] * 3))
        return result, warnings
    image = _as_oriented(pick, volume_node)
    whole = box = _extent(reference)
    if is_linear(volume_node.GetParentTransformNode(), segmentation_node.GetParentTransformNode()):
        relative = matrix_between(volume_node.GetParentTransformNode(), segmentation_node.GetParentTransformNode())
        moved = relative @ _matrix(image)
        box = _reach(moved, _extent(image), reference)
        if has_shear(moved):
            transform = vtk.vtkMatrixToLinearTransform()
            transform.SetInput(as_matrix(relative))
        else:
            image.SetImageToWorldMatrix(as_matrix(moved))
    else:
        transform = vtk.vtkGeneralTransform()
        parents = volume_node.GetParentTransformNode(), segmentation_node.GetParentTransformNode()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(*parents, transform)
        warnings = (_("The segmentation is bent against the volume: what was taken was resampled."),)
    same = transform is None and _same_lattice(image, reference)
    if same:
        box = _extent(image)
    point = None if click_ras is None else _voxel_of(reference, segmentation_node, click_ras)
    if point is not None:
        box = np.stack([np.minimum(box[:, 0], point), np.maximum(box[:, 1], point)], axis=1)
    box = np.stack([np.maximum(box[:, 0], whole[:, 0]), np.minimum(box[:, 1], whole[:, 1])], axis=1)
    if (box[:, 0] > box[:, 1]).any():
        _make(result, reference, np.array([[0, -1]] * 3))
        return result, warnings
    _make(result, reference, box)
    if same:
        _paste(image, result)
    else:
        resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
        sampled = slicer.vtkOrientedImageData()
        if not resample(image, result, sampled, False, False, transform):
            raise RuntimeError("the mask could not be resampled to the segmentation's grid")
        values(result)[...] = values(sampled) != 0
    if point is not None and ((point >= box[:, 0]) & (point <= box[:, 1])).all():
        values(result)[tuple(point - box[:, 0])] = 1
    return result, warnings


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


def _same_lattice(image: slicer.vtkOrientedImageData, reference: slicer.vtkOrientedImageData) -> bool:
    """Do equal indices mean equal places in both, over all of the mask?"""
    corners = _corners(_extent(image))
    return bool(np.abs((_matrix(image) - _matrix(reference)) @ corners).max() < SAME_MM)


def _reach(matrix: np.ndarray, extent: np.ndarray, reference: slicer.vtkOrientedImageData) -> np.ndarray:
    """Extent [3, 2] on the lattice of ``reference`` in which voxels of ``extent`` on another may lie nearest."""
    grown = extent + np.array([-0.5, 0.5])
    index = (np.linalg.inv(_matrix(reference)) @ matrix @ _corners(grown))[:3]
    return np.stack([np.floor(index.min(axis=1)), np.ceil(index.max(axis=1))], axis=1).astype(int)


def _corners(extent: np.ndarray) -> np.ndarray:
    """The eight corners [4, 8], homogeneous."""
    return np.array([[*(extent[a, bits[a]] for a in range(3)), 1.0] for bits in np.ndindex(2, 2, 2)]).T


def _extent(image: slicer.vtkOrientedImageData) -> np.ndarray:
    return np.array(image.GetExtent()).reshape(3, 2)


def _matrix(image: slicer.vtkOrientedImageData) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return as_array(matrix)


def _make(image: slicer.vtkOrientedImageData, reference: slicer.vtkOrientedImageData, extent: np.ndarray) -> None:
    """Give ``image`` the lattice of ``reference`` and voxels of 0 in ``extent``."""
    matrix = vtk.vtkMatrix4x4()
    reference.GetImageToWorldMatrix(matrix)
    image.SetExtent(extent.ravel().tolist())
    image.SetImageToWorldMatrix(matrix)
    _set_scalars(image, np.zeros(max(0, int(np.prod(extent[:, 1] - extent[:, 0] + 1))), np.uint8))


def _paste(image: slicer.vtkOrientedImageData, target: slicer.vtkOrientedImageData) -> None:
    """Copy what of ``image`` lies within the extent of ``target``."""
    have, want = _extent(image), _extent(target)
    low, high = np.maximum(have[:, 0], want[:, 0]), np.minimum(have[:, 1], want[:, 1])
    if (low > high).any():
        return
    source = tuple(slice(a - start, z - start + 1) for a, z, start in zip(low, high, have[:, 0]))
    sink = tuple(slice(a - start, z - start + 1) for a, z, start in zip(low, high, want[:, 0]))
    values(target)[sink] = values(image)[source]


def values(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """The voxels of an image as an array [i, j, k], a view that may be written."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")


def _voxel_of(image: slicer.vtkOrientedImageData, segmentation_node, ras) -> np.ndarray:
    """Index [3] of the voxel on the lattice of ``image`` that holds a world point, within its extent or not."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, segmentation_node.GetParentTransformNode(), transform)
    index = np.linalg.inv(_matrix(image)) @ [*transform.TransformPoint([float(v) for v in ras]), 1.0]
    return np.floor(index[:3] + 0.5 + 1e-9).astype(int)


def _set_scalars(image: slicer.vtkOrientedImageData, flat: np.ndarray) -> None:
    scalars = numpy_to_vtk(np.ascontiguousarray(flat, np.uint8), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
