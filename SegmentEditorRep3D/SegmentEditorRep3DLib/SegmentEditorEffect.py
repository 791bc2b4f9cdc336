"""The effect as Slicer sees it: every method is called by the Segment Editor; the work is done beside this file."""

from __future__ import annotations

import time
from typing import Any

import qt
import slicer
import vtk
from Rep3DSegmentationLib.click.session import ClickSession, get_session
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationWidgets.polling import Poller
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

from . import settings
from .catalog import default_task, get_catalog
from .controller import ClickController, hover_text
from .editor import Editor
from .help_text import ICON, help_text
from .hover_label import HoverLabel
from .interaction import ADD, REMOVE, TAKE, ClickPoint, is_slice_view, point_at, point_of
from .options_panel import OptionsPanel

REAPPLY_MS = 30  # a slider that is dragged sends many values; each redo of the click costs some milliseconds
PICK_SETTINGS = frozenset(("Threshold", "SmoothingMm", "SliceOnly", "AllOfClass"))


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Click an organ in a slice view and it becomes the selected segment.

    For scripts: ``prepare()``, ``clickAt()``, ``hoverAt()``, ``fillAll()``, ``cancel()``, ``statusText()``; see the
    recipe in docs/click.md.
    """

    def __init__(self, scriptedEffect: Any):
        scriptedEffect.name = settings.EFFECT_NAME  # never translated: scripts find the effect by it
        scriptedEffect.title = _("Rep3D click")
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.panel: OptionsPanel | None = None
        self.controller = ClickController(Editor(scriptedEffect), self._refresh)
        self.label = HoverLabel(scriptedEffect)
        self._cursor: tuple[str, tuple[int, int], str] | None = None  # ID of the view, pixel, action; None: nowhere
        self._session: ClickSession | None = None
        self._scene_observer: int | None = None
        self._poller: Poller | None = None
        self._reapply_timer: Any = None

    def clone(self) -> Any:
        """A new instance for another Segment Editor widget."""
        cloned = slicer.qSlicerSegmentEditorScriptedEffect(None)
        cloned.setPythonSource(__file__.replace("\\", "/"))
        return cloned

    def icon(self) -> Any:
        return qt.QIcon(str(ICON))

    def helpText(self) -> str:
        return help_text()

    def setupOptionsFrame(self) -> None:
        """Make the panel. Starts nothing."""
        self.panel = OptionsPanel(
            self.scriptedEffect, self._on_change, self.controller.prepare, self.controller.cancel, self.fillAll
        )
        self._poller = Poller(self._poll, self._busy)
        self._reapply_timer = qt.QTimer()
        self._reapply_timer.setSingleShot(True)
        self._reapply_timer.setInterval(REAPPLY_MS)
        self._reapply_timer.connect("timeout()", self.controller.reapply)

    def createCursor(self, _viewWidget: Any) -> Any:
        return qt.QCursor(qt.Qt.PointingHandCursor)

    # -- life

    def activate(self) -> None:
        """The user chose the effect: ask the worker for its tasks."""
        get_catalog().listen(self._on_catalog)
        get_catalog().load()
        if self._session is not get_session():
            self._leave_session()
            self._session = get_session()
            self._session.add_listener(self._on_forgotten)
        if self._scene_observer is None:
            close = slicer.vtkMRMLScene.StartCloseEvent
            self._scene_observer = slicer.mrmlScene.AddObserver(close, self._on_scene_close)
        self.controller.tick()
        self._on_catalog()
        self._wake()

    def deactivate(self) -> None:
        if self._reapply_timer is not None:  # an editor that is destroyed may clean up first
            self._reapply_timer.stop()
        self._leave_view()
        self._leave_scene()
        self.controller.leave()

    def cleanup(self) -> None:
        """The editor goes away."""
        get_catalog().leave(self._on_catalog)
        self._leave_session()
        self._leave_scene()
        self.controller.close()
        self._cursor = None
        self.label.forget()
        if self._reapply_timer is not None:
            self._reapply_timer.stop()
            self._reapply_timer.disconnect("timeout()", self.controller.reapply)
            self._reapply_timer = None
        if self._poller is not None:
            self._poller.stop()
            self._poller = None
        if self.panel is not None:
            self.panel.close()
            self.panel = None

    def setMRMLDefaults(self) -> None:
        settings.set_defaults(self.scriptedEffect)

    def updateGUIFromMRML(self) -> None:
        """Parameters have changed: by the panel, by a script, with a loaded scene."""
        self.controller.settings_changed()
        self._refresh()

    def updateMRMLFromGUI(self) -> None:
        """Every widget writes its own parameter when it changes, so that there is nothing left to do here."""

    def sourceVolumeNodeChanged(self) -> None:
        self.label.hide()
        self.controller.source_changed()

    def layoutChanged(self) -> None:
        self._leave_view()

    def interactionNodeModified(self, interactionNode: Any) -> None:
        """Placing a markup goes on in peace: clicks belong to it until it is done."""
        if interactionNode.GetCurrentInteractionMode() != slicer.vtkMRMLInteractionNode.ViewTransform:
            self._leave_view()
            self.scriptedEffect.selectEffect("")

    def processInteractionEvents(self, callerInteractor: Any, eventId: int, viewWidget: Any) -> bool:
        """A click is the effect's; everything else also goes to the view."""
        if not is_slice_view(viewWidget):
            return False
        if eventId == vtk.vtkCommand.LeftButtonPressEvent:
            if callerInteractor.GetAltKey():
                return False
            self.controller.click(point_of(callerInteractor, viewWidget))
            self._wake()
            return True
        if eventId in (vtk.vtkCommand.MouseMoveEvent, vtk.vtkCommand.EnterEvent):
            point, (x, y) = point_of(callerInteractor, viewWidget), callerInteractor.GetEventPosition()
            self._cursor = (viewWidget.mrmlSliceNode().GetID(), (x, y), point.action)
            self._hover(point, (x, y), viewWidget)
        elif eventId == vtk.vtkCommand.LeaveEvent:
            self._leave_view()
        return False

    def processViewNodeEvents(self, callerViewNode: Any, eventId: int, viewWidget: Any) -> None:
        """A view that is scrolled, zoomed or turned shows something else under a mouse that rests."""
        if self._cursor is not None and is_slice_view(viewWidget) and self._cursor[0] == callerViewNode.GetID():
            _view, xy, action = self._cursor
            self._hover(point_at(xy, action, callerViewNode), xy, viewWidget)

    # -- for scripts

    def prepare(self, wait: bool = False) -> bool:
        """Segment the source volume with the chosen task; ``wait`` until it is done. Returns whether it is prepared."""
        self.controller.prepare()
        self._wake()
        if wait:
            self._wait()
        return self.controller.state == "ready"

    def clickAt(self, ras: Any, action: str = TAKE, normal: Any = None, wait: bool = True) -> str:
        """Click at a world point (RAS, mm) as with the mouse; returns the status text.

        Args:
            action: "take" (left click), "add" (with Shift) or "remove" (with Ctrl).
            normal: of the plane, for "current slice only". wait: until the network has answered, if it has to.
        """
        if action not in (TAKE, ADD, REMOVE):
            raise ValueError(f"action must be one of {TAKE}, {ADD}, {REMOVE}, not {action!r}")
        plane = None if normal is None else tuple(float(v) for v in normal)
        self.controller.click(ClickPoint(tuple(float(v) for v in ras), action, plane))
        self._wake()
        if wait:
            self._wait()
        return self.statusText()

    def hoverAt(self, ras: Any) -> tuple[str, float] | None:
        """Name and probability of what a click at a world point would take, or None."""
        hit = self.controller.hover(tuple(float(v) for v in ras))
        return None if hit is None else (hit.name, hit.probability)

    def fillAll(self) -> str:
        """One segment for each structure of the prepared volume; returns the status text."""
        self.controller.fill_all()
        return self.statusText()

    def cancel(self) -> None:
        """Stop preparing."""
        self.controller.cancel()

    def statusText(self) -> str:
        """The status line."""
        return self.controller.status.text

    # -- steps

    def _leave_view(self) -> None:
        self._cursor = None
        self.label.hide()

    def _hover(self, point: ClickPoint, xy: tuple[int, int], view_widget: Any) -> None:
        hit = self.controller.hover(point.ras)
        if hit is None:
            self.label.hide()
            return
        color = [channel / 255 for channel in hit.label["color"]]
        self.label.show(view_widget, xy, hover_text(hit, point.action), color)

    def _on_change(self, **values: Any) -> None:
        """The user set something in the panel."""
        settings.write(self.scriptedEffect, **values)
        if PICK_SETTINGS.intersection(values) and not self._reapply_timer.isActive():
            self._reapply_timer.start()  # not anew: the click follows the slider while it is dragged
        self._refresh()

    def _on_catalog(self) -> None:
        """The worker's tasks have arrived, or it cannot be started."""
        store = get_catalog()
        if store.error is not None and self.scriptedEffect.active():
            self.controller.tell_error(store.error)
        elif store.catalog is not None and self._has_node() and not self.controller.settings.Task:
            settings.write(self.scriptedEffect, Task=default_task(store.catalog, module_task()))
        self._refresh()

    def _on_forgotten(self) -> None:
        """A prepared volume is no longer true: it was changed or removed, or the worker has ended."""
        self.label.hide()
        self.controller.tick()

    def _on_scene_close(self, _scene: Any, _event: Any) -> None:
        """Nothing that waits or is shown outlives the scene."""
        self._leave_view()
        self.controller.start_anew()

    def _leave_scene(self) -> None:
        if self._scene_observer is not None:
            slicer.mrmlScene.RemoveObserver(self._scene_observer)
            self._scene_observer = None

    def _leave_session(self) -> None:
        if self._session is not None:
            self._session.remove_listener(self._on_forgotten)
            self._session = None

    def _has_node(self) -> bool:
        return self.scriptedEffect.parameterSetNode() is not None

    def _refresh(self) -> None:
        if self.panel is None or not self._has_node():
            return
        now, preparation = self.controller.settings, self.controller.preparation
        volume = self.controller.editor.volume
        self.panel.show(
            now,
            get_catalog().catalog,
            self.controller.status,
            preparation.progress,
            ready=preparation.answer(volume, now.options) is not None,
            can_prepare=volume is not None and bool(now.Task),
        )
        self._wake()

    def _wake(self) -> None:
        if self._poller is not None and self._busy():
            self._poller.wake()

    def _poll(self) -> None:
        try:
            get_session().poll()
        except WorkerError as error:
            self.controller.tell_error(error)
        self.controller.tick()

    def _busy(self) -> bool:
        return get_catalog().loading or self.controller.preparation.busy or get_session().busy

    def _wait(self) -> None:
        """Keep the application alive until nothing of this editor is under way."""
        while self.controller.preparation.busy:
            slicer.app.processEvents()
            self._poll()
            time.sleep(0.005)


def module_task() -> str:
    """The task that is chosen in the module's panel, "" for none: read only, no node is made for it."""
    from Rep3DSegmentationLib.parameters import Parameters

    node = slicer.mrmlScene.GetSingletonNode("Rep3DSegmentation", "vtkMRMLScriptedModuleNode")
    return Parameters(node).choices.task if node is not None else ""
