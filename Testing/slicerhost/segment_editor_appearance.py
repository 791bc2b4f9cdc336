"""Which parts of an editor are shown: properties that modules set when they embed it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt5 import QtCore

from .segment_editor_state import EditorState
from .widgets.base import computed


def _shown(*names: str) -> tuple[Any, Callable[[Any, bool], None]]:
    """A property that shows or hides controls of the form, and its setter."""

    def read(self: EditorState) -> bool:
        return not getattr(self._form, names[0]).isHidden()

    def write(self: EditorState, visible: bool) -> None:
        for name in names:
            getattr(self._form, name).setVisible(visible)

    return computed(bool, read, write), write


class EditorAppearance(EditorState):
    """Selectors, buttons and sections that can be hidden, and how the buttons of the effects look."""

    segmentationNodeSelectorVisible, setSegmentationNodeSelectorVisible = _shown(
        "SegmentationNodeComboBox", "SegmentationNodeLabel"
    )
    sourceVolumeNodeSelectorVisible, setSourceVolumeNodeSelectorVisible = _shown(
        "SourceVolumeNodeComboBox", "SourceVolumeNodeLabel"
    )
    masterVolumeNodeSelectorVisible, setMasterVolumeNodeSelectorVisible = _shown(
        "SourceVolumeNodeComboBox", "SourceVolumeNodeLabel"
    )
    addRemoveSegmentButtonsVisible, setAddRemoveSegmentButtonsVisible = _shown(
        "AddSegmentButton", "RemoveSegmentButton"
    )
    show3DButtonVisible, setShow3DButtonVisible = _shown("Show3DButton")
    switchToSegmentationsButtonVisible, setSwitchToSegmentationsButtonVisible = _shown("SwitchToSegmentationsButton")

    def setUndoEnabled(self, enabled: bool) -> None:
        if enabled:
            self._core.logic.ClearUndoState()
        self._form.UndoRedoGroupBox.setVisible(enabled)

    undoEnabled = computed(bool, lambda self: not self._form.UndoRedoGroupBox.isHidden(), setUndoEnabled)

    def setEffectButtonStyle(self, style: int) -> None:
        for button in (*self._effects.buttons.values(), self._form.UndoButton, self._form.RedoButton):
            button.setToolButtonStyle(QtCore.Qt.ToolButtonStyle(style))

    effectButtonStyle = computed(int, lambda self: int(self._form.UndoButton.toolButtonStyle()), setEffectButtonStyle)

    def setEffectColumnCount(self, count: int) -> None:
        self._effects.columns = count
        self._effects.add_registered(self._node)

    effectColumnCount = computed(int, lambda self: self._effects.columns, setEffectColumnCount)
