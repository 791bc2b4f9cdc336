"""How an editor follows the scene: every change of the parameter node or of what it refers to ends in one update."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import slicer
import vtk
from PyQt5 import QtCore, QtWidgets

from .segment_editor_core import EditorCore
from .segment_editor_effects import EditorEffects
from .segment_editor_form import EditorForm
from .segment_editor_masking import MaskingSection
from .segment_editor_questions import use_labelmaps
from .segment_editor_shortcuts import Shortcuts
from .segment_editor_views import ViewObservations
from .widgets.base import stored
from .widgets.mrml import qMRMLWidget
from .widgets.observing import Observers

_BINARY, _SURFACE = "Binary labelmap", "Closed surface"


class EditorState(qMRMLWidget):
    """The parts of an editor and their update from the scene."""

    vtk_signals = (
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)",
        "masterVolumeNodeChanged(vtkMRMLVolumeNode*)",
    )
    currentSegmentIDChanged = QtCore.pyqtSignal(str)
    segmentationNodeChanged = QtCore.pyqtSignal(object)
    sourceVolumeNodeChanged = QtCore.pyqtSignal(object)
    masterVolumeNodeChanged = QtCore.pyqtSignal(object)

    autoShowSourceVolumeNode, setAutoShowSourceVolumeNode = stored(bool, "autoShowSourceVolumeNode", True)
    maskingSectionVisible, setMaskingSectionVisible = stored(bool, "maskingSectionVisible", True, "_show_active_effect")
    defaultTerminologyEntrySettingsKey, setDefaultTerminologyEntrySettingsKey = stored(
        str, "defaultTerminologyEntrySettingsKey", "Segmentations/DefaultTerminologyEntry"
    )
    readOnly, _set_read_only = stored(bool, "readOnly", False)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        guard = QtCore.QObject(self)  # the first child: Qt destroys it before the controls of the effects
        self._core = EditorCore()
        self._core.on_geometry = lambda: self._effects.notify("referenceGeometryChanged")
        self._form = form = EditorForm(self)
        self._effects = EditorEffects(form, self._core, lambda name: self.setActiveEffectByName(name))
        self._views = ViewObservations(self)
        self._masking = MaskingSection(form, lambda: self._node)
        self._shortcuts = Shortcuts(self)
        self._observers = Observers(self)
        guard.destroyed.connect(_farewell(self._effects, self._views, self._shortcuts))
        self._node: Any = None
        self._segmentation: Any = None
        self._volume: Any = None
        self._interaction: Any = None
        self._view_ids: dict[str, list[str]] = {}
        form.SegmentationNodeComboBox.currentNodeChanged[object].connect(self._on_segmentation_chosen)
        form.SourceVolumeNodeComboBox.currentNodeChanged[object].connect(self._on_volume_chosen)
        form.SegmentsTableView.selectionChanged.connect(lambda *_: self._on_segment_chosen())
        form.AddSegmentButton.clicked.connect(lambda *_: self._core.logic.AddEmptySegment())
        form.RemoveSegmentButton.clicked.connect(lambda *_: self._remove_segment())
        form.UndoButton.clicked.connect(lambda *_: self._core.undo())
        form.RedoButton.clicked.connect(lambda *_: self._core.redo())
        logic = self._core.logic
        self._observers.add(logic, logic.SegmentationHistoryChangedEvent, type(self)._update_undo_buttons)
        self._effects.add_registered(None)
        self._effects.show_active(None, False)

    # The update

    def updateWidgetFromMRML(self) -> None:
        scene, node, form = self._scene, self._node, self._form
        if scene is None or scene.IsClosing() or scene.IsBatchProcessing():
            return
        form.SegmentationNodeComboBox.setEnabled(node is not None)
        if node is None:
            for part in (form.EffectsGroupBox, form.MaskingGroupBox, form.EffectsOptionsFrame):
                part.setEnabled(False)
            form.SourceVolumeNodeComboBox.setEnabled(False)
            return
        modifying = node.StartModify()
        try:
            self._update_segmentation()
            self._update_volume()
            for part in (form.MaskingGroupBox, form.EffectsOptionsFrame, form.SourceVolumeNodeComboBox):
                part.setEnabled(self._segmentation is not None)
            form.AddSegmentButton.setEnabled(self._core.logic.CanAddSegments())
            form.RemoveSegmentButton.setEnabled(bool(self._selected()) and not self.readOnly)
            self._update_table()
            self._update_effects()
            self._update_undo_buttons()
            self._masking.update(self._volume)
            self._masking.fill_segments(self._segmentation)
        finally:
            node.EndModify(modifying)

    def _selected(self) -> str:
        """The ID of the selected segment if the segmentation has it, else ""."""
        segment_id = self._node.GetSelectedSegmentID() or ""
        segmentation = self._segmentation.GetSegmentation() if self._segmentation is not None else None
        return segment_id if segmentation is not None and segmentation.GetSegmentIndex(segment_id) >= 0 else ""

    def _update_segmentation(self) -> None:
        form, node = self._form, self._core.logic.GetSegmentationNode()
        if form.SegmentationNodeComboBox.currentNode() is not node:
            with QtCore.QSignalBlocker(form.SegmentationNodeComboBox):
                form.SegmentationNodeComboBox.setCurrentNode(node)
        if node is self._segmentation:
            return
        if self._segmentation is not None:
            self._observers.clear(self._segmentation)
        self._segmentation = node
        if node is not None:
            node.CreateDefaultDisplayNodes()
        with QtCore.QSignalBlocker(form.SegmentsTableView):
            form.SegmentsTableView.setSegmentationNode(node)
        form.Show3DButton.setSegmentationNode(node)
        if node is not None:
            self._observe_segmentation(node)
            role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
            form.SourceVolumeNodeComboBox.setCurrentNode(node.GetNodeReference(role))
            display, segmentation = node.GetDisplayNode(), node.GetSegmentation()
            if segmentation.ContainsRepresentation(_SURFACE):
                display.SetPreferredDisplayRepresentationName3D(_SURFACE)
            if segmentation.ContainsRepresentation(_BINARY):
                display.SetPreferredDisplayRepresentationName2D(_BINARY)
            if segmentation.GetNumberOfSegments() > 0:
                self._select_segment(segmentation.GetNthSegmentID(0))
        self.segmentationNodeChanged.emit(node)

    def _observe_segmentation(self, node: Any) -> None:
        events, cls = slicer.vtkSegmentation, EditorState
        self._observers.add(node, "ModifiedEvent", cls.updateWidgetFromMRML)
        for event in (events.SegmentAdded, events.SegmentRemoved, events.ContainedRepresentationNamesModified):
            self._observers.add(node, event, lambda editor: editor._masking.fill_segments(editor._segmentation))
        self._observers.add(node, events.SegmentModified, lambda editor: editor._masking.update(editor._volume))
        self._observers.add(node, node.DisplayModifiedEvent, cls._on_display_modified)

    def _update_volume(self) -> None:
        if self._segmentation is None:
            return
        volume = self._core.logic.GetSourceVolumeNode()
        if volume is self._volume:
            return
        if self._volume is not None:
            self._observers.clear(self._volume)
        self._volume = volume
        if volume is not None:
            self._observers.add(
                volume, volume.ImageDataModifiedEvent, lambda editor: editor._masking.set_limits(editor._volume)
            )
        with QtCore.QSignalBlocker(self._form.SourceVolumeNodeComboBox):
            self._form.SourceVolumeNodeComboBox.setCurrentNode(volume)
        if volume is not None and self.autoShowSourceVolumeNode:
            self.showSourceVolumeInSliceViewers()
        self._masking.set_limits(volume)
        self.sourceVolumeNodeChanged.emit(volume)
        self.masterVolumeNodeChanged.emit(volume)
        for effect in self._effects.clones:
            effect._notify("sourceVolumeNodeChanged")
            effect._notify("masterVolumeNodeChanged")

    def _update_table(self) -> None:
        table, wanted = self._form.SegmentsTableView, [self._selected()] if self._selected() else []
        if table.selectedSegmentIDs() != wanted:
            with QtCore.QSignalBlocker(table):
                table.setSelectedSegmentIDs(wanted)

    def _update_effects(self) -> None:
        node, effects = self._node, self._effects
        segmentation = self._segmentation.GetSegmentation() if self._segmentation is not None else None
        segments = segmentation is not None and segmentation.GetNumberOfSegments() > 0
        effects.enable(
            node.GetSourceVolumeNode() is not None and not self.readOnly, segments, bool(node.GetSelectedSegmentID())
        )
        effect = effects.by_name(node.GetActiveEffectName())
        if effect is effects.active:
            return
        if effects.active is not None:
            effects.active.deactivate()
        if effect is not None and not use_labelmaps(self._core.logic):
            effect = None
        if effect is not None:
            self._observe_views()
            view_mode = slicer.vtkMRMLInteractionNode.ViewTransform
            if self._interaction is not None and self._interaction.GetCurrentInteractionMode() != view_mode:
                self._interaction.SetCurrentInteractionMode(view_mode)
            effect.activate()
        else:
            self._views.remove()
        effects.last, effects.active = effects.active, effect
        self._show_active_effect()
        self._views.set_cursor(effect, self._slice_widgets(), self._displayable)

    def _show_active_effect(self) -> None:
        self._effects.show_active(self._effects.active, self.maskingSectionVisible)

    def _update_undo_buttons(self) -> None:
        self._form.UndoButton.setEnabled(not self.readOnly and self._core.logic.CanUndo())
        self._form.RedoButton.setEnabled(not self.readOnly and self._core.logic.CanRedo())

    # What a person chose

    def _on_segmentation_chosen(self, node: Any) -> None:
        if self._scene is None or self._scene.IsBatchProcessing() or self._node is None:
            return
        # A segmentation that was removed from the scene is no longer the logic's, but still the one shown here.
        if node is not self._core.logic.GetSegmentationNode() or node is not self._segmentation:
            self._core.logic.SetSegmentationNode(node)
            self.setActiveEffectByName("")

    def _on_volume_chosen(self, node: Any) -> None:
        if self._scene is not None and not self._scene.IsBatchProcessing() and self._node is not None:
            self._core.logic.SetSourceVolumeNode(node)

    def _on_segment_chosen(self) -> None:
        chosen = self._form.SegmentsTableView.selectedSegmentIDs()
        if self._node is not None:
            self._select_segment(chosen[0] if chosen else "")

    def _remove_segment(self) -> None:
        following = self._core.logic.RemoveSelectedSegment()
        if following:
            self._select_segment(following)

    def _select_segment(self, segment_id: str) -> None:
        if (self._node.GetSelectedSegmentID() or "") == segment_id:
            return
        self._node.SetSelectedSegmentID(segment_id or None)
        if not segment_id and self._effects.active is not None and self._effects.active.perSegment:
            self.setActiveEffectByName("")
        self.updateWidgetFromMRML()
        self.currentSegmentIDChanged.emit(segment_id)

    # What happened to the scene

    def _initialise_node(self) -> None:
        if self._node is not None:
            modifying = self._node.StartModify()
            self._effects.set_node(self._node)
            self._node.EndModify(modifying)

    def _on_scene_closed(self) -> None:
        self._initialise_node()
        self.updateWidgetFromMRML()

    def _on_batch_end(self) -> None:
        # The selectors were not obeyed while nodes were loaded or removed in bulk; now what they show is chosen.
        if self._node is not None and self._scene is not None:
            self.setSegmentationNode(self._form.SegmentationNodeComboBox.currentNode())
            self._core.logic.SetSourceVolumeNode(self._form.SourceVolumeNodeComboBox.currentNode())
        self.updateWidgetFromMRML()

    def _on_interaction_modified(self) -> None:
        if self._effects.active is not None:
            self._effects.active._interaction_node_modified(self._interaction)

    def _on_display_modified(self) -> None:
        if self._views.active and self._segmentation is not None and self._shown_in() != self._view_ids:
            self._on_layout_changed()

    def _on_layout_changed(self, _layout: int = -1) -> None:
        if self._views.active:
            self._observe_views()
            if self.autoShowSourceVolumeNode:
                self.showSourceVolumeInSliceViewers()
            self._effects.notify("layoutChanged")

    # Views

    def _observe_views(self) -> None:
        self._views.set_up(self._slice_widgets(), self._displayable)
        self._view_ids = self._shown_in()

    def _shown_in(self) -> dict[str, list[str]]:
        """The views that each display node of the segmentation is limited to."""
        node = self._segmentation
        count = node.GetNumberOfDisplayNodes() if node is not None else 0
        displays = [node.GetNthDisplayNode(index) for index in range(count)]
        return {display.GetID(): list(display.GetViewNodeIDs()) for display in displays if display is not None}

    def _displayable(self, view_node: Any) -> bool:
        return bool(self._core.logic.IsSegmentationDisplayableInView(view_node))

    @staticmethod
    def _slice_widgets() -> list[Any]:
        manager = slicer.app.layoutManager()._real
        return [manager.sliceWidget(name) for name in manager.sliceViewNames()]

    def showSourceVolumeInSliceViewers(self, force: bool = False, fit: bool = False) -> None:
        """Show the source volume in the background of every view that does not show it yet (or of all: force)."""
        volume = self._node.GetSourceVolumeNode() if self._node is not None else None
        for widget in self._slice_widgets() if volume is not None else []:
            composite = widget.mrmlSliceCompositeNode()
            if not self._displayable(widget.mrmlSliceNode()) or composite is None:
                continue
            shown = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
            if force or volume.GetID() not in shown:
                composite.SetBackgroundVolumeID(volume.GetID())
                composite.SetForegroundVolumeID(None)
                composite.SetLabelVolumeID(None)
            if fit:
                widget.sliceLogic().FitSliceToBackground(True)

    def rotateSliceViewsToSegmentation(self) -> None:
        matrix = vtk.vtkMatrix4x4()
        if self._core.logic.GetSegmentationIJKToRAS(matrix):
            for widget in self._slice_widgets():
                if self._displayable(widget.mrmlSliceNode()):
                    widget.mrmlSliceNode().RotateToAxes(matrix)


def _farewell(effects: EditorEffects, views: ViewObservations, shortcuts: Shortcuts) -> Callable[[], None]:
    """What is to be done once when an editor is destroyed or the application quits; does not hold the editor itself."""
    app = QtCore.QCoreApplication.instance()

    def end() -> None:
        if sys.is_finalizing() or not effects.alive:
            return  # an interpreter that ends destroys Qt's objects in any order: nothing can be called any more
        app.aboutToQuit.disconnect(end)
        views.remove()
        shortcuts.remove()
        effects.clean_up()

    app.aboutToQuit.connect(end)
    return end
