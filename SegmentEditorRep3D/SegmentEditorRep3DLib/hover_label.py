"""The text beside the cursor that says what a click would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import vtk

OFFSET = 14  # pixels between the cursor and the text
MARGIN = 4  # pixels that are kept free at the edges of the view
FONT_SIZE = 15


class HoverLabel:
    """At most one text, in the view where the cursor is. ``effect``: the host's side of the effect."""

    def __init__(self, effect: Any):
        self._effect = effect
        self._view: Any = None
        self._view_id = ""
        self._actor: Any = None

    @property
    def text(self) -> str:
        """What is shown, "" for nothing."""
        return self._actor.GetInput() if self._actor is not None else ""

    def show(self, view_widget: Any, xy: Sequence[int], text: str, color: Sequence[float]) -> None:
        """Show ``text`` beside the pixel ``xy`` of a view, with a bar in ``color`` (0 to 1) as its frame."""
        view_id = view_widget.mrmlSliceNode().GetID()
        if self._actor is None or view_id != self._view_id:
            self.hide()
            self._actor, self._view, self._view_id = _make_actor(), view_widget, view_id
            self._effect.addActor2D(view_widget, self._actor)
        self._actor.GetTextProperty().SetFrameColor(*color)
        self._actor.SetInput(text)
        dpi = view_widget.sliceView().renderWindow().GetDPI()  # the screen's: VTK draws texts with it
        size = text_size(self._actor.GetTextProperty(), text, dpi)
        self._actor.SetDisplayPosition(*place(xy, size, view_widget.mrmlSliceNode().GetDimensions()))
        self._effect.scheduleRender(view_widget)

    def hide(self) -> None:
        """Take the text away, also out of a view that no longer has the cursor."""
        if self._actor is None:
            return
        actor, view = self._actor, self._view
        self._actor, self._view, self._view_id = None, None, ""
        self._effect.removeActor2D(view, actor)

    def forget(self) -> None:
        """The views are gone: drop the text without touching them."""
        self._actor, self._view, self._view_id = None, None, ""


def text_size(style: vtk.vtkTextProperty, text: str, dpi: int) -> tuple[int, int]:
    """Width and height of a text in pixels on a screen of so many dots per inch."""
    box = [0, 0, 0, 0]
    vtk.vtkTextRenderer.GetInstance().GetBoundingBox(style, text, box, dpi)
    return box[1] - box[0] + 1, box[3] - box[2] + 1


def place(xy: Sequence[int], size: Sequence[int], view: Sequence[int]) -> tuple[int, int]:
    """Lower left pixel of a text beside ``xy``: to the right and above, moved so that the view holds all of it."""
    x = min(xy[0] + OFFSET, view[0] - size[0] - MARGIN)
    y = xy[1] + OFFSET
    if y + size[1] + MARGIN > view[1]:
        y = xy[1] - OFFSET - size[1]
    return max(x, MARGIN), max(y, MARGIN)


def _make_actor() -> vtk.vtkTextActor:
    actor = vtk.vtkTextActor()
    actor.PickableOff()
    style = actor.GetTextProperty()
    style.SetFontFamilyToArial()
    style.SetFontSize(FONT_SIZE)
    style.SetColor(1.0, 1.0, 1.0)
    style.SetBackgroundColor(0.0, 0.0, 0.0)
    style.SetBackgroundOpacity(0.65)
    style.SetJustificationToLeft()
    style.SetVerticalJustificationToBottom()
    style.FrameOn()
    style.SetFrameWidth(2)
    return actor
