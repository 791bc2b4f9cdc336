"""What an editor watches in the slice views: events for its active effect, and the cursor."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import vtk
from PyQt5 import QtGui, sip

_EVENTS = (
    "LeftButtonPressEvent",
    "LeftButtonReleaseEvent",
    "LeftButtonDoubleClickEvent",
    "RightButtonPressEvent",
    "RightButtonReleaseEvent",
    "RightButtonDoubleClickEvent",
    "MiddleButtonPressEvent",
    "MiddleButtonReleaseEvent",
    "MiddleButtonDoubleClickEvent",
    "MouseMoveEvent",
    "MouseWheelForwardEvent",
    "MouseWheelBackwardEvent",
    "MouseWheelLeftEvent",
    "MouseWheelRightEvent",
    "KeyPressEvent",
    "KeyReleaseEvent",
    "EnterEvent",
    "LeaveEvent",
)
_PRIORITY = 1.0


class ViewObservations:
    """The observers that one editor has set up; ``active`` says whether there are any."""

    def __init__(self, editor: Any) -> None:
        self._editor = weakref.ref(editor)
        self._held: list[tuple[Any, int]] = []
        self._with_cursor: set[str] = set()
        self.active = False

    def set_up(self, widgets: list[Any], displayable: Callable[[Any], bool]) -> None:
        """Watch the views that may show the segmentation."""
        self.remove()
        for widget in widgets:
            if displayable(widget.mrmlSliceNode()):
                self._watch(widget)
        self.active = True

    def remove(self) -> None:
        for subject, tag in self._held:
            subject.RemoveObserver(tag)
        self._held.clear()
        self.active = False

    def _watch(self, widget: Any) -> None:
        interactor, node = widget.sliceView().interactor(), widget.mrmlSliceNode()
        for name in _EVENTS:
            held: dict[str, int] = {}

            def on_event(caller: Any, event: str, held: dict[str, int] = held) -> None:
                effect = self._effect()
                if effect is None or sip.isdeleted(widget):
                    return
                if effect._process(caller, vtk.vtkCommand.GetEventIdFromString(event), widget):
                    caller.GetCommand(held["tag"]).SetAbortFlag(1)  # nobody else gets the event

            held["tag"] = interactor.AddObserver(name, on_event, _PRIORITY)
            self._held.append((interactor, held["tag"]))

        def on_node(caller: Any, event: str) -> None:
            effect = self._effect()
            if effect is not None and not sip.isdeleted(widget):
                effect._process_view_node(caller, vtk.vtkCommand.GetEventIdFromString(event), widget)

        self._held.append((node, node.AddObserver("ModifiedEvent", on_node, _PRIORITY)))

    def _effect(self) -> Any:
        """The active effect of the editor, or None where the editor is gone or its scene is closing."""
        editor = self._editor()
        if editor is None or sip.isdeleted(editor):
            return None
        scene = editor.mrmlScene()
        if scene is None or scene.IsClosing() or editor.mrmlSegmentEditorNode() is None:
            return None
        return editor.activeEffect()

    def set_cursor(self, effect: Any, widgets: list[Any], displayable: Callable[[Any], bool]) -> None:
        """Show the cursor of an effect, or the usual one, in the views that may show the segmentation."""
        for widget in widgets:
            node_id = widget.mrmlSliceNode().GetID()
            if not displayable(widget.mrmlSliceNode()) and node_id not in self._with_cursor:
                continue
            custom = effect is not None and effect.showEffectCursorInSliceView
            if not custom and node_id not in self._with_cursor:
                continue  # the usual cursor is there; no window is needed to see that
            widget.sliceView().setViewCursor(effect.createCursor(widget) if custom else QtGui.QCursor())
            widget.sliceView().setDefaultViewCursor(effect.createCursor(widget) if custom else QtGui.QCursor())
            (self._with_cursor.add if custom else self._with_cursor.discard)(node_id)
