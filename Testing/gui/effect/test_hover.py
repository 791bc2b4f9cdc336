"""The text beside the cursor: what a click would take there, in that view, and gone when it should be."""

from __future__ import annotations

import numpy as np
import pytest

from .test_click import BACKGROUND, LIVER, SPLEEN


def view(bench):
    return bench.host.slice_view("Red")


def texts(bench, view):
    """What text actors show in a view."""
    props = bench.effect.scriptedEffect.renderer(bench.host.slice_view(view)).GetViewProps()
    actors = [props.GetItemAsObject(i) for i in range(props.GetNumberOfItems())]
    return [actor.GetInput() for actor in actors if actor.IsA("vtkTextActor")]


def test_hover_shows_name_and_probability_in_the_view_of_the_cursor(bench):
    hit = bench.host.hover_slice("Red", bench.ras(LIVER))
    assert texts(bench, "Red") == ["Liver 100%"] and texts(bench, "Green") == []
    actor = bench.effect.label._actor
    assert np.abs(np.array(actor.GetPosition()) - hit.xy).max() < 30
    bench.host.hover_slice("Green", bench.ras(SPLEEN))
    assert texts(bench, "Green") == ["Spleen 100%"] and texts(bench, "Red") == []
    bench.host.hover_slice("Green", bench.ras(LIVER), control=True)
    assert texts(bench, "Green") == ["\u2212 Liver 100%"]


def test_it_shows_nothing_where_a_click_takes_nothing(bench, session, tmp_path):
    bench.host.hover_slice("Red", bench.ras(LIVER))
    bench.host.hover_slice("Red", bench.ras(BACKGROUND))
    assert texts(bench, "Red") == []
    session.forget_all()
    bench.know(bench.labels, session, tmp_path, 0.4)
    bench.host.hover_slice("Red", bench.ras(LIVER))
    assert texts(bench, "Red") == [], "below the threshold"
    bench.editor.activeEffect().setParameter("Threshold", 0.3)
    bench.host.hover_slice("Red", bench.ras(LIVER))
    assert texts(bench, "Red") == ["Liver 40%"]


def test_it_follows_a_view_that_is_scrolled_under_a_resting_mouse(bench):
    """The spleen ends at slice k = 4, above it is background."""
    node = bench.host.slice_view("Red").mrmlSliceNode()
    bench.host.hover_slice("Red", bench.ras((4, 7, 4)), control=True)
    assert texts(bench, "Red") == ["\u2212 Spleen 100%"]
    offset = node.GetSliceOffset()
    node.SetSliceOffset(offset + 2.0)
    assert texts(bench, "Red") == []
    node.SetSliceOffset(offset - 2.0)
    assert texts(bench, "Red") == ["\u2212 Spleen 100%"]
    bench.host.leave_slice("Red")
    node.SetSliceOffset(offset)
    assert texts(bench, "Red") == []
    bench.host.slice_view("Green").mrmlSliceNode().SetSliceOffset(0.0)
    assert texts(bench, "Green") == []


@pytest.mark.parametrize("end", ["leave", "effect", "volume", "scene", "cleanup", "forgotten"])
def test_it_goes_away(bench, session, end):
    bench.host.hover_slice("Red", bench.ras(LIVER))
    renderer = bench.effect.scriptedEffect.renderer(bench.host.slice_view("Red"))
    assert texts(bench, "Red")
    if end == "leave":
        bench.host.leave_slice("Red")
    elif end == "effect":
        bench.editor.setActiveEffectByName("")
    elif end == "volume":
        bench.editor.setSourceVolumeNode(None)
    elif end == "scene":
        bench.host.close_scene()
    elif end == "forgotten":
        session.forget_all()
    else:
        bench.editor.setActiveEffectByName("")
        bench.effect.scriptedEffect.cleanup()
    props = renderer.GetViewProps()
    kinds = [props.GetItemAsObject(i).GetClassName() for i in range(props.GetNumberOfItems())]
    assert not [kind for kind in kinds if "TextActor" in kind]


@pytest.mark.parametrize("xy", [(2, 2), (397, 2), (2, 397), (397, 397), (200, 200)])
def test_the_text_stays_within_the_view(registered, xy):
    from SegmentEditorRep3DLib.hover_label import place

    width, height = 180, 20
    x, y = place(xy, (width, height), (400, 400, 1))
    assert 0 <= x <= 400 - width and 0 <= y <= 400 - height
    assert not (x <= xy[0] <= x + width and y <= xy[1] <= y + height), "it must not cover what is under the cursor"


def test_a_longer_text_is_wider(registered):
    from SegmentEditorRep3DLib.hover_label import text_size
    from vtk import vtkTextProperty

    style = vtkTextProperty()
    short, long = text_size(style, "Liver", 72), text_size(style, "Left adrenal gland 100%", 72)
    assert 0 < short[0] < long[0] and short[1] > 0


def test_it_stays_within_the_view_of_a_screen_with_fine_pixels(bench):
    """VTK draws texts with the screen's dots per inch, 192 and more on many laptops."""
    from SegmentEditorRep3DLib.interaction import ClickPoint

    window = view(bench).sliceView().renderWindow()
    before, (width, _height) = window.GetDPI(), window.GetSize()
    ends = []
    try:
        for dpi in (72, 192):
            window.SetDPI(dpi)
            bench.effect._hover(ClickPoint(tuple(bench.ras(LIVER)), "take", None), (width - 2, 20), view(bench))
            ends.append(bench.effect.label._actor.GetPosition()[0])
    finally:
        window.SetDPI(before)
    assert 0 <= ends[1] < ends[0] < width
