"""Scenes for the effect: volumes on any grid, transforms anywhere, an editor with a segment, and looks at voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .known import TASK, answer_of


def add_transform(matrix: np.ndarray | None, parent: Any = None) -> Any:
    """A linear transform node below ``parent``, or None for None."""
    if matrix is None:
        return None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix, float)))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


def add_volume(array_XYZ: np.ndarray, affine: np.ndarray, transform: Any = None) -> Any:
    """A scalar volume with this voxel-to-RAS matrix, below a transform node."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*array_XYZ.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(np.asfortranarray(array_XYZ).ravel(order="F"), deep=True))
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(affine, float)))
    node.CreateDefaultDisplayNodes()
    if transform is not None:
        node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def to_world(node: Any) -> np.ndarray:
    """4x4 from below a node's parent transform to the world."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(node.GetParentTransformNode(), None, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@dataclass
class Bench:
    """An editor at work: ``effect`` is the Python side of the effect, ``labels`` the known answer."""

    host: Any
    editor: Any
    node: Any
    volume: Any
    segmentation: Any
    effect: Any
    labels: np.ndarray
    affine: np.ndarray

    @property
    def world(self) -> np.ndarray:
        """4x4 from the volume's voxels to the world."""
        return to_world(self.volume) @ self.affine

    def ras(self, voxel: Any) -> np.ndarray:
        """World point of a (continuous) voxel index of the volume."""
        return (self.world @ [*voxel, 1.0])[:3]

    def voxel(self, ras: Any) -> np.ndarray:
        """Continuous voxel index of a world point."""
        return (np.linalg.inv(self.world) @ [*ras, 1.0])[:3]

    def segment(self, segment_id: str | None = None) -> Any:
        return self.segmentation.GetSegmentation().GetSegment(segment_id or self.editor.currentSegmentID())

    def add_segment(self, name: str | None = None) -> str:
        """A new segment, selected; with Slicer's default name for None."""
        segmentation = self.segmentation.GetSegmentation()
        segment_id = segmentation.AddEmptySegment() if name is None else segmentation.AddEmptySegment("", name)
        self.editor.setCurrentSegmentID(segment_id)
        return segment_id

    def parts(self, segment_id: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Of a segment: its voxels' world centres [n, 3], and the 4x4 from the image's indices to the world."""
        import vtk

        segment = self.segment(segment_id)
        image = segment.GetRepresentation("Binary labelmap")
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        affine = to_world(self.segmentation) @ slicer.util.arrayFromVTKMatrix(matrix)
        if image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
            return np.zeros((0, 3)), affine
        voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")
        index = np.argwhere(voxels == segment.GetLabelValue()) + np.array(image.GetExtent())[::2]
        return index @ affine[:3, :3].T + affine[:3, 3], affine

    def mask(self, segment_id: str | None = None) -> np.ndarray:
        """A segment on the volume's own grid, bool [X, Y, Z]; every voxel of it must be one of the volume's."""
        centres, _affine = self.parts(segment_id)
        mask = np.zeros(self.labels.shape, bool)
        if len(centres):
            inverse = np.linalg.inv(self.world)
            index = centres @ inverse[:3, :3].T + inverse[:3, 3]
            np.testing.assert_allclose(index, np.rint(index), atol=1e-3, err_msg="the grids differ")
            mask[tuple(np.rint(index).astype(int).T)] = True
            assert mask.sum() == len(centres)
        return mask

    def know(self, labels_XYZ: np.ndarray, session: Any, folder: Any, probability: Any = 1.0, ready: bool = True):
        """Give the session the answer; ``ready``: as if the volume had been prepared already."""
        self.labels = labels_XYZ
        session.answers[self.volume.GetID()] = answer_of(labels_XYZ, self.volume, folder, probability)
        if ready:
            assert self.effect.prepare(wait=True), self.effect.statusText()


def component(labels_XYZ: np.ndarray, voxel: Any) -> np.ndarray:
    """The part of a voxel's label that hangs together with it by faces."""
    from scipy import ndimage

    parts, _count = ndimage.label(labels_XYZ == labels_XYZ[tuple(voxel)])
    return parts == parts[tuple(voxel)]


def make_bench(
    host: Any,
    editor: Any,
    node: Any,
    labels_XYZ: np.ndarray,
    affine: np.ndarray,
    volume_transform: Any = None,
    segmentation_transform: Any = None,
    task: str = TASK,
) -> Bench:
    """A volume, a segmentation with one new segment, both in the editor, the effect active."""
    rng = np.random.default_rng(0)
    volume = add_volume(rng.integers(0, 100, labels_XYZ.shape).astype(np.int16), affine, volume_transform)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    if segmentation_transform is not None:
        segmentation.SetAndObserveTransformNodeID(segmentation_transform.GetID())
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setActiveEffectByName("Rep3D")
    bench = Bench(host, editor, node, volume, segmentation, None, labels_XYZ, np.asarray(affine, float))
    bench.add_segment()
    editor.setActiveEffectByName("Rep3D")  # needs a segment
    bench.effect = editor.activeEffect().self()
    editor.activeEffect().setParameter("Task", task)
    return bench
