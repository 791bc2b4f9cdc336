"""A person's hand in a slice view: clicks, moves and keys go to the view's interactor, as VTK events.

Positions are given as RAS (mm, world) or as pixels. A RAS position is brought into the view's plane first, as a person
would scroll to it, and then rounded to a pixel: :class:`Hit` says where the event really was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PyQt5 import QtCore

from .slice_views import qMRMLSliceView, qMRMLSliceWidget
from .wrapping import unwrap

_BUTTONS = ("Left", "Middle", "Right")


@dataclass(frozen=True)
class Hit:
    """Where an event was: pixel from the lower left corner, and RAS of that pixel's centre in mm."""

    xy: tuple[int, int]
    ras: tuple[float, float, float]


class SliceHands:
    """Part of the host: acts in slice views. A view is a slice widget or its name ("Red", "Green", "Yellow")."""

    _real_app: Any

    def slice_view(self, view: Any) -> qMRMLSliceWidget:
        """The slice widget of a name, or the widget itself. Raises KeyError for an unknown name."""
        if not isinstance(view, str):
            return unwrap(view)
        widget = self._real_app.layoutManager().sliceWidget(view)
        if widget is None:
            raise KeyError(f"there is no slice view '{view}'")
        return widget

    def click_slice(
        self,
        view: Any,
        ras: Sequence[float] | None = None,
        xy: Sequence[int] | None = None,
        button: str = "Left",
        control: bool = False,
        shift: bool = False,
        jump: bool = True,
    ) -> Hit:
        """Move to a position, press and release a mouse button there. jump=False: do not scroll to the RAS position."""
        if button not in _BUTTONS:
            raise ValueError(f"button is one of {_BUTTONS}")
        names = ("MouseMoveEvent", f"{button}ButtonPressEvent", f"{button}ButtonReleaseEvent")
        return self._send(view, names, ras, xy, control, shift, jump=jump)

    def hover_slice(
        self,
        view: Any,
        ras: Sequence[float] | None = None,
        xy: Sequence[int] | None = None,
        control: bool = False,
        shift: bool = False,
        jump: bool = True,
    ) -> Hit:
        """Move the mouse to a position."""
        return self._send(view, ("MouseMoveEvent",), ras, xy, control, shift, jump=jump)

    def drag_slice(self, view: Any, path: Sequence[Sequence[int]], control: bool = False, shift: bool = False) -> None:
        """Press the left button at the first pixel, move through the others, release at the last."""
        self._send(view, ("MouseMoveEvent", "LeftButtonPressEvent"), None, path[0], control, shift)
        for xy in path[1:]:
            self._send(view, ("MouseMoveEvent",), None, xy, control, shift)
        self._send(view, ("LeftButtonReleaseEvent",), None, path[-1], control, shift)

    def leave_slice(self, view: Any) -> None:
        """Move the mouse out of a view."""
        slice_view = self.slice_view(view).sliceView()
        slice_view._inside = False
        slice_view.interactor().InvokeEvent("LeaveEvent")
        self.process_events()

    def key_in_slice(self, view: Any, key: str, control: bool = False, shift: bool = False) -> None:
        """Press and release a key over a view: a character, or a VTK name such as "Escape" or "Return"."""
        interactor = self.slice_view(view).sliceView().interactor()
        x, y = interactor.GetEventPosition()
        interactor.SetEventInformation(x, y, control, shift, key if len(key) == 1 else "\0", 0, key)
        for name in ("KeyPressEvent", "CharEvent", "KeyReleaseEvent"):
            interactor.InvokeEvent(name)
        self.process_events()

    def save_slice_view(self, view: Any, path: str | Path, size: tuple[int, int] | None = None) -> Path:
        """A PNG of a slice view as it is now, with what effects draw in it. Raises RuntimeError without OpenGL."""
        slice_view = self.slice_view(view).sliceView()
        if size is not None:
            slice_view._set_size(*size)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return slice_view._save(path)

    def _send(
        self,
        view: Any,
        names: Sequence[str],
        ras: Sequence[float] | None,
        xy: Sequence[int] | None,
        control: bool,
        shift: bool,
        jump: bool = False,
    ) -> Hit:
        widget = self.slice_view(view)
        slice_view = widget.sliceView()
        if (ras is None) == (xy is None):
            raise ValueError("give either ras or xy")
        if ras is not None:
            if jump:
                widget.mrmlSliceNode().JumpSliceByOffsetting(*ras)
            x, y, _z = slice_view.convertRASToXYZ(list(ras))
            xy = (round(x), round(y))
        hit = Hit((int(xy[0]), int(xy[1])), tuple(slice_view.convertXYZToRAS([*xy, 0.0])))
        interactor = slice_view.interactor()
        self._enter(slice_view)
        for name in names:
            interactor.SetEventInformation(*hit.xy, control, shift, "\0", 0, None)
            interactor.InvokeEvent(name)
        self.process_events()
        return hit

    @staticmethod
    def _enter(slice_view: qMRMLSliceView) -> None:
        if not slice_view._inside:
            slice_view._inside = True
            slice_view.interactor().InvokeEvent("EnterEvent")

    def process_events(self, milliseconds: int = 0) -> None:
        """Overridden by the host."""
        QtCore.QCoreApplication.processEvents()
