"""A scene for the tests of the Segment Editor: a volume, a segmentation with two segments, the effect "Box" active."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

MODULE = Path(__file__).parent / "modules" / "SegmentEditorBox" / "SegmentEditorBox.py"
SHAPE_KJI = (24, 22, 20)
SPACING = (1.0, 1.5, 2.0)


class Stage:
    """The segments are "a" (selected) and "b", both empty; the effect adds a box of radius 2."""

    def __init__(self, host: Any) -> None:
        self.host = host
        if "SegmentEditorBox" not in sys.modules:
            host.load_module(MODULE)
        self.editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        slicer.util.mainWindow().show()
        slicer.util.selectModule("SegmentEditor")
        self.volume = self.add_volume()
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
        self.node.CreateDefaultDisplayNodes()
        self.node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        for name in ("a", "b"):
            self.node.GetSegmentation().AddEmptySegment(name, name)
        self.editor.setSegmentationNode(self.node)
        self.editor.setCurrentSegmentID("a")
        self.editor.setActiveEffectByName("Box")
        for name in slicer.app.layoutManager().sliceViewNames():
            host.slice_view(name).fitSliceToBackground()
        self.effect = self.editor.activeEffect()
        self.effect.setParameter("Radius", 2)
        self.box = self.effect.self()
        self.parameters = self.editor.mrmlSegmentEditorNode()
        host.process_events()

    def leave(self) -> None:
        """Put back what the parameter node keeps when the scene is closed."""
        self.parameters.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
        self.parameters.SetMaskSegmentID(None)
        self.parameters.SetSourceVolumeIntensityMask(False)
        self.parameters.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments)
        slicer.util.selectModule("SampleData")

    @staticmethod
    def add_volume(name: str = "scan") -> Any:
        """A volume with values 0 to 99 on an anisotropic grid."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        values = np.arange(np.prod(SHAPE_KJI)) % 100
        slicer.util.updateVolumeFromArray(node, values.reshape(SHAPE_KJI).astype(np.int16))
        node.SetSpacing(*SPACING)
        node.SetOrigin(-5.0, 3.0, 7.0)
        node.CreateDefaultDisplayNodes()
        return node

    @staticmethod
    def add_transform(matrix: vtk.vtkMatrix4x4) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
        node.SetMatrixTransformToParent(matrix)
        return node

    def click(self, ijk: tuple[int, int, int], view: str = "Red", **keys: bool) -> Any:
        """Click on a voxel of the volume."""
        return self.host.click_slice(view, ras=self.ras(ijk), **keys)

    def ras(self, ijk: tuple[int, int, int]) -> list[float]:
        """World position of a voxel's centre, through the volume's transform."""
        matrix, to_world = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform()
        self.volume.GetIJKToRASMatrix(matrix)
        parent = self.volume.GetParentTransformNode()
        if parent is not None:
            parent.GetTransformToWorld(to_world)
        return list(to_world.TransformPoint(matrix.MultiplyPoint((*ijk, 1.0))[:3]))

    def voxels(self, segment_id: str) -> np.ndarray:
        """A segment as a bool array [k, j, i] on the volume's grid."""
        return slicer.util.arrayFromSegmentBinaryLabelmap(self.node, segment_id, self.volume) > 0

    @staticmethod
    def region(ijk: tuple[int, int, int], radius: int) -> np.ndarray:
        """A box as a bool array [k, j, i]."""
        wanted = np.zeros(SHAPE_KJI, dtype=bool)
        wanted[tuple(slice(max(index - radius, 0), index + radius + 1) for index in ijk[::-1])] = True
        return wanted

    def child(self, name: str) -> Any:
        """A control of the editor by its object name."""
        return slicer.util.findChild(self.editor, name)
