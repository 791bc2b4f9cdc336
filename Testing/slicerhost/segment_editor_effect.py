"""The host side of an effect of the Segment Editor: what a scripted effect finds in ``self.scriptedEffect``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from PyQt5 import QtCore, QtGui, QtWidgets

from .segment_editor_core import EditorCore, ModificationMode
from .segment_editor_positions import EffectPositions
from .segment_editor_questions import ask_about_hidden_segment
from .slice_views import qMRMLSliceWidget
from .widgets.base import computed, stored


class qSlicerSegmentEditorAbstractEffect(EffectPositions):
    """An effect as an editor sees it. ``_join`` gives it to one editor; before that it is only a template."""

    ModificationMode = ModificationMode
    ModificationModeSet = ModificationMode.ModificationModeSet
    ModificationModeAdd = ModificationMode.ModificationModeAdd
    ModificationModeRemove = ModificationMode.ModificationModeRemove
    ModificationModeRemoveAll = ModificationMode.ModificationModeRemoveAll
    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = 0, 1, 2

    title = computed(str, lambda self: self._title or self.name, lambda self, text: setattr(self, "_title", text))
    perSegment, _set_per_segment = stored(bool, "perSegment", True)
    requireSegments, _set_require_segments = stored(bool, "requireSegments", True)
    showEffectCursorInSliceView, _set_cursor_2d = stored(bool, "showEffectCursorInSliceView", True)
    showEffectCursorInThreeDView, _set_cursor_3d = stored(bool, "showEffectCursorInThreeDView", False)

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._core: EditorCore | None = None
        self._select: Callable[[str], None] | None = None
        self._title = ""
        self._active = False
        self._saved_cursor = QtGui.QCursor(QtCore.Qt.ArrowCursor)
        self._confirmed = vtk.vtkWeakReference()  # the hidden segment that may be edited without asking again
        self._frame = QtWidgets.QFrame()
        self._frame.setFrameShape(QtWidgets.QFrame.NoFrame)
        layout = QtWidgets.QFormLayout(self._frame)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)

    def _join(self, core: EditorCore, select: Callable[[str], None]) -> None:
        self._core, self._select = core, select

    # What an editor calls; scripted effects pass these on to Python

    def _icon(self) -> QtGui.QIcon:
        return QtGui.QIcon()

    def helpText(self) -> str:
        return ""

    def activate(self) -> None:
        self._frame.setVisible(True)
        self._active = True
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        self._frame.setVisible(False)
        self._active = False

    def active(self) -> bool:
        return self._active

    def updateGUIFromMRML(self) -> None:
        """Nothing to update here; scripted effects do it."""

    def updateMRMLFromGUI(self) -> None:
        """Nothing to update here; scripted effects do it."""

    def cleanup(self) -> None:
        """Nothing to clean up here; scripted effects do it."""

    def _interaction_node_modified(self, node: Any) -> None:
        if node.GetCurrentInteractionMode() != slicer.vtkMRMLInteractionNode.ViewTransform:
            self.selectEffect("")

    def createCursor(self, _view: Any) -> QtGui.QCursor:
        icon = self._icon()
        sizes = icon.availableSizes()
        if icon.isNull() or not sizes:
            return QtGui.QCursor(QtCore.Qt.ArrowCursor)
        return QtGui.QCursor(icon.pixmap(sizes[0]), 0, 0)

    # Options panel

    def optionsFrame(self) -> QtWidgets.QFrame:
        return self._frame

    def optionsLayout(self) -> QtWidgets.QFormLayout:
        return self._frame.layout()

    def addOptionsWidget(self, new: QtWidgets.QWidget | QtWidgets.QLayout) -> None:
        if isinstance(new, QtWidgets.QWidget):
            new.setParent(self._frame)
            new.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.MinimumExpanding)
        self._frame.layout().addRow(new)

    def addLabeledOptionsWidget(self, text: str, new: QtWidgets.QWidget | QtWidgets.QLayout) -> QtWidgets.QLabel:
        label = QtWidgets.QLabel(text)
        if isinstance(new, QtWidgets.QWidget):
            new.setParent(self._frame)
            new.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.MinimumExpanding)
        elif not isinstance(new, QtWidgets.QHBoxLayout):
            label.setAlignment(QtCore.Qt.AlignLeft | QtCore.Qt.AlignTop)
        self._frame.layout().addRow(label, new)
        return label

    # The segmentation

    def scene(self) -> Any:
        return self._node.GetScene() if self._node is not None else None

    def modifySelectedSegmentByLabelmap(self, modifier: Any, mode: int, *rest: Any) -> None:
        """``(labelmap, mode)``, then optionally the extent (six integers) and whether masking is bypassed."""
        node = self._node
        self.modifySegmentByLabelmap(
            node.GetSegmentationNode(), node.GetSelectedSegmentID() or "", modifier, mode, *rest
        )

    def modifySegmentByLabelmap(
        self, segmentation_node: Any, segment_id: str, modifier: Any, mode: int, *rest: Any
    ) -> None:
        extent = list(rest[0]) if rest and isinstance(rest[0], list | tuple) else None
        flags = rest[1:] if extent is not None else rest
        if len(flags) > 1 or not all(isinstance(flag, bool | int) for flag in flags):
            raise ValueError(f"Called modifySegmentByLabelmap with wrong arguments: {rest!r}")
        if extent is not None and len(extent) != 6:
            raise ValueError(f"extent must have 6 int values, not {extent!r}")
        self._core.modify(
            segmentation_node, segment_id, modifier, mode, extent, self.perSegment, bool(flags and flags[0])
        )

    @staticmethod
    def applyImageMask(image: Any, mask: Any, fill: float, inverted: bool = False) -> None:
        slicer.vtkOrientedImageDataResample.ApplyImageMask(image, mask, fill, inverted)

    def modifierLabelmap(self) -> Any:
        return self._core.modifier()

    def defaultModifierLabelmap(self) -> Any:
        return self._core.default_modifier()

    def maskLabelmap(self) -> Any:
        return self._core.mask()

    def selectedSegmentLabelmap(self) -> Any:
        return self._core.selected_labelmap()

    def referenceGeometryImage(self) -> Any:
        return self._core.reference_geometry()

    def sourceVolumeImageData(self) -> Any:
        return self._core.source_image()

    def masterVolumeImageData(self) -> Any:
        return self._core.source_image()

    def saveStateForUndo(self) -> None:
        self._core.save_state()

    def selectEffect(self, name: str) -> None:
        self._select(name)

    def segmentationDisplayableInView(self, view_node: Any) -> bool:
        return bool(self._core.logic.IsSegmentationDisplayableInView(view_node))

    def confirmCurrentSegmentVisible(self) -> int:
        """Ask where the selected segment is hidden: show it (Yes), edit it hidden (No) or do nothing (Cancel)."""
        node = self._node.GetSegmentationNode() if self._node is not None else None
        segment_id = self._node.GetSelectedSegmentID() if self._node is not None else None
        if node is None or not segment_id:
            return self.ConfirmedWithoutDialog
        segment = node.GetSegmentation().GetSegment(segment_id)
        if segment is not None and self._confirmed.Get() is segment:
            return self.ConfirmedWithoutDialog
        if self._core.logic.IsSelectedSegmentVisible():
            return self.ConfirmedWithoutDialog
        answer, asked = ask_about_hidden_segment()
        if answer == QtWidgets.QMessageBox.Cancel:
            return self.NotConfirmed
        if answer == QtWidgets.QMessageBox.Yes:
            display = node.GetDisplayNode()
            display.SetVisibility(True)
            display.SetSegmentVisibility(segment_id, True)
        else:
            self._confirmed.Set(segment)
        return self.ConfirmedWithDialog if asked else self.ConfirmedWithoutDialog

    # Views

    def cursorOff(self, view: qMRMLSliceWidget) -> None:
        self._saved_cursor = QtGui.QCursor(view.cursor())
        view.sliceView().setDefaultViewCursor(QtGui.QCursor(QtCore.Qt.BlankCursor))

    def cursorOn(self, view: qMRMLSliceWidget) -> None:
        view.sliceView().setDefaultViewCursor(self._saved_cursor)

    def addActor2D(self, view: qMRMLSliceWidget, actor: vtk.vtkProp) -> None:
        self.renderer(view).AddViewProp(actor)
        self.scheduleRender(view)

    def removeActor2D(self, view: qMRMLSliceWidget, actor: vtk.vtkProp) -> None:
        self.renderer(view).RemoveViewProp(actor)
        self.scheduleRender(view)

    addActor3D, removeActor3D = addActor2D, removeActor2D
