"""``slicer.qMRMLSegmentEditorWidget``: the editor that modules embed, with the functions that scripts call."""

from __future__ import annotations

from typing import Any

import slicer
from PyQt5 import QtCore, QtWidgets

from .segment_editor_appearance import EditorAppearance
from .widgets.base import computed


class qMRMLSegmentEditorWidget(EditorAppearance):
    """The editor: give it the parameter node first, then the scene."""

    vtk_slots = (
        "setMRMLScene(vtkMRMLScene*)",
        "setMRMLSegmentEditorNode(vtkMRMLSegmentEditorNode*)",
        "setSegmentationNode(vtkMRMLNode*)",
        "setSourceVolumeNode(vtkMRMLNode*)",
        "setMasterVolumeNode(vtkMRMLNode*)",
    )

    # Nodes

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        changed = slicer.app.layoutManager()._real.layoutChanged
        if self._scene is not None:
            self._observers.clear(self._scene)
            changed.disconnect(self._on_layout_changed)
        selectors = self._form.SegmentationNodeComboBox, self._form.SourceVolumeNodeComboBox
        with QtCore.QSignalBlocker(selectors[0]), QtCore.QSignalBlocker(selectors[1]):
            super().setMRMLScene(scene)
            for selector in selectors:
                selector.setMRMLScene(scene)
        self._core.set_scene(scene, slicer.app.applicationLogic())
        if scene is not None:
            changed.connect(self._on_layout_changed)
        self.setInteractionNode(scene.GetNodeByID("vtkMRMLInteractionNodeSingleton") if scene is not None else None)
        self.updateWidgetFromMRML()
        if scene is not None:
            self._observers.add(scene, scene.EndCloseEvent, type(self)._on_scene_closed)
            self._observers.add(scene, scene.EndBatchProcessEvent, type(self)._on_batch_end)

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if node is self._node:
            return
        if self._node is not None:
            self._observers.clear(self._node)
        self._node = node
        self._core.logic.SetSegmentEditorNode(node)
        if node is None:
            return
        self._observers.add(node, "ModifiedEvent", type(self).updateWidgetFromMRML)
        self._observers.add(
            node,
            slicer.vtkMRMLSegmentEditorNode.EffectParameterModified,
            lambda editor: editor._effects.parameter_modified(),
        )
        self._initialise_node()
        self.updateWidgetFromMRML()

    def segmentationNode(self) -> Any:
        return self._form.SegmentationNodeComboBox.currentNode()

    def segmentationNodeID(self) -> str:
        return self._form.SegmentationNodeComboBox.currentNodeID

    def setSegmentationNode(self, node: Any) -> None:
        if self._core.logic.GetSegmentationNode() is not node:
            self._core.logic.SetSegmentationNode(node)
            self.setActiveEffect(None)

    def setSegmentationNodeID(self, node_id: str) -> None:
        self.setSegmentationNode(self._scene.GetNodeByID(node_id))

    def sourceVolumeNode(self) -> Any:
        return self._core.logic.GetSourceVolumeNode()

    def sourceVolumeNodeID(self) -> str:
        return self._volume.GetID() if self._volume is not None else ""

    def setSourceVolumeNode(self, node: Any) -> None:
        self._core.logic.SetSourceVolumeNode(node)

    def setSourceVolumeNodeID(self, node_id: str) -> None:
        self._core.logic.SetSourceVolumeNodeID(node_id)

    masterVolumeNode, masterVolumeNodeID = sourceVolumeNode, sourceVolumeNodeID
    setMasterVolumeNode, setMasterVolumeNodeID = setSourceVolumeNode, setSourceVolumeNodeID

    def currentSegmentID(self) -> str:
        return self._core.logic.GetCurrentSegmentID()

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._node is not None:
            self._node.SetSelectedSegmentID(segment_id)

    def selectPreviousSegment(self) -> None:
        self._core.logic.SelectPreviousSegment(True)

    def selectNextSegment(self) -> None:
        self._core.logic.SelectNextSegment(True)

    def interactionNode(self) -> Any:
        return self._interaction

    def setInteractionNode(self, node: Any) -> None:
        if node is self._interaction:
            return
        if self._interaction is not None:
            self._observers.clear(self._interaction)
        self._interaction = node
        if node is not None:
            self._observers.add(node, "ModifiedEvent", type(self)._on_interaction_modified)

    # Effects

    def activeEffect(self) -> Any:
        return self._effects.active

    def setActiveEffect(self, effect: Any) -> None:
        if self._node is not None:
            self._node.SetActiveEffectName(effect.name if effect is not None else "")
        elif effect is not None:
            raise RuntimeError("The segment editor has no parameter set node")

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self._effects.by_name(name))

    def effectByName(self, name: str) -> Any:
        return self._effects.by_name(name)

    def availableEffectNames(self) -> list[str]:
        return [effect.name for effect in self._effects.clones]

    def effectCount(self) -> int:
        return len(self._effects.shown())

    def effectByIndex(self, index: int) -> Any:
        shown = self._effects.shown()
        return shown[index] if 0 <= index < len(shown) else None

    def effectNameOrder(self) -> list[str]:
        return list(self._effects.order)

    def setEffectNameOrder(self, names: list[str]) -> None:
        self._effects.order = list(names)
        self.updateEffectList()

    def _set_unordered(self, visible: bool) -> None:
        self._effects.unordered_visible = visible
        self.updateEffectList()

    unorderedEffectsVisible = computed(bool, lambda self: self._effects.unordered_visible, _set_unordered)

    def updateEffectList(self) -> None:
        """Offer the effects that have been registered meanwhile."""
        self._effects.add_registered(self._node)

    def undo(self) -> None:
        self._core.undo()

    def redo(self) -> None:
        self._core.redo()

    def setupViewObservations(self) -> None:
        self._observe_views()

    def removeViewObservations(self) -> None:
        self._views.remove()

    def saveStateForUndo(self) -> None:
        self._core.save_state()

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        self._core.logic.SetMaximumNumberOfUndoStates(count)

    maximumNumberOfUndoStates = computed(
        int, lambda self: self._core.logic.GetMaximumNumberOfUndoStates(), setMaximumNumberOfUndoStates
    )

    def setReadOnly(self, read_only: bool) -> None:
        self._set_read_only(read_only)
        if read_only:
            self.setActiveEffect(None)
        self.updateWidgetFromMRML()

    def installKeyboardShortcuts(self, parent: QtWidgets.QWidget | None = None) -> None:
        self._shortcuts.install(parent or slicer.app._real._window)

    def uninstallKeyboardShortcuts(self) -> None:
        self._shortcuts.remove()

    def toggleSourceVolumeIntensityMaskEnabled(self) -> None:
        self._core.logic.ToggleSourceVolumeIntensityMask()
