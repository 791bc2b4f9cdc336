"""Segment editing without Qt: Slicer's own ``vtkSlicerSegmentEditorLogic`` with one parameter node.

Masking, the editable intensity range, overwriting, undo and redo are all done by the C++ logic; nothing is done again
here. What the logic complains about (a missing segment, a wrong geometry) is recorded as an error of the test.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import slicer
import vtk

from . import errors


class ModificationMode(IntEnum):
    """How a labelmap changes a segment; the numbers are those of Slicer."""

    ModificationModeSet = 0
    ModificationModeAdd = 1
    ModificationModeRemove = 2
    ModificationModeRemoveAll = 3


class EditorCore:
    """The logic of one segment editor. Its images are updated in place, so that effects may keep them.

    ``on_geometry`` is called when the modifier labelmap has got another geometry.
    """

    def __init__(self) -> None:
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetVerbose(True)
        self.logic.AddObserver("ErrorEvent", _record)
        self.on_geometry: Callable[[], None] | None = None
        self._geometry = ""

    def set_scene(self, scene: Any, app_logic: Any) -> None:
        self.logic.SetMRMLApplicationLogic(app_logic)
        self.logic.SetMRMLScene(scene)

    @property
    def node(self) -> Any:
        """The vtkMRMLSegmentEditorNode, or None."""
        return self.logic.GetSegmentEditorNode()

    # Images: None where the logic cannot make them (no segmentation, no source volume, no segment)

    def modifier(self) -> Any:
        """The modifier labelmap as the last effect left it (vtkOrientedImageData)."""
        return self.logic.GetModifierLabelmap()

    def default_modifier(self) -> Any:
        """The modifier labelmap, empty, on the segmentation's reference geometry."""
        if not self.logic.ResetModifierLabelmapToDefault():
            return None
        geometry = self.logic.GetReferenceImageGeometryString()
        if geometry != self._geometry:
            self._geometry = geometry
            if self.on_geometry is not None:
                self.on_geometry()
        return self.logic.GetModifierLabelmap()

    def mask(self) -> Any:
        """Where editing is forbidden by the mask mode (1) on the reference geometry."""
        return self.logic.GetMaskLabelmap() if self.logic.UpdateMaskLabelmap() else None

    def source_image(self) -> Any:
        """The source volume resampled onto the reference geometry."""
        return self.logic.GetAlignedSourceVolume() if self.logic.UpdateAlignedSourceVolume() else None

    def selected_labelmap(self) -> Any:
        """A copy of the selected segment on the reference geometry."""
        return self.logic.GetSelectedSegmentLabelmap() if self.logic.UpdateSelectedSegmentLabelmap() else None

    def reference_geometry(self) -> Any:
        return self.logic.GetReferenceGeometryImage() if self.logic.UpdateReferenceGeometryImage() else None

    # Changes

    def modify(
        self,
        segmentation_node: Any,
        segment_id: str,
        modifier: Any,
        mode: int,
        extent: list[int] | None = None,
        per_segment: bool = True,
        bypass_masking: bool = False,
    ) -> None:
        """Change a segment by a labelmap under the rules of the parameter node.

        extent: six voxel indices that bound the change, or None for the whole labelmap.
        """
        kind = getattr(self.logic, ModificationMode(int(mode)).name)
        bounds = (0, -1, 0, -1, 0, -1) if extent is None else tuple(int(index) for index in extent)
        self.logic.ModifySegmentByLabelmap(
            segmentation_node, segment_id, modifier, kind, bounds, per_segment, bypass_masking
        )

    def modify_selected(self, modifier: Any, mode: int, extent: list[int] | None = None, **settings: bool) -> None:
        node = self.node
        self.modify(node.GetSegmentationNode(), node.GetSelectedSegmentID() or "", modifier, mode, extent, **settings)

    def save_state(self) -> bool:
        return bool(self.logic.SaveStateForUndo())

    def undo(self) -> None:
        self.logic.Undo()

    def redo(self) -> None:
        self.logic.Redo()


@vtk.calldata_type(vtk.VTK_STRING)
def _record(_caller: Any, _event: str, text: str) -> None:
    errors.log.complain("segment editor logic", text.strip())
