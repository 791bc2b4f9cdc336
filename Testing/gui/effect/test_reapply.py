"""The threshold's slider, undo and redo: one step for a click, however often it is made anew."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from .test_click import LIVER, SPLEEN
from .world import component


@pytest.fixture
def graded(bench, session, tmp_path):
    """The bench with probabilities that fall from 0.95 in the middle of each structure to 0.3 at slice k = 1."""
    probability = np.broadcast_to(np.linspace(0.2, 0.95, bench.labels.shape[2]), bench.labels.shape)
    session.forget_all()
    bench.know(bench.labels, session, tmp_path, probability)
    bench.probability = np.rint(probability * 255) / 255
    return bench


def expected(bench, voxel, threshold):
    return component(np.where(bench.probability >= threshold - 1e-9, bench.labels, 0), voxel)


def slide(bench, value):
    bench.effect.panel.threshold_slider.setValue(value)
    bench.host.process_events(60)


def test_the_slider_makes_the_last_click_anew_in_the_same_step_of_undo(graded):
    bench, top = graded, (2, 2, 6)
    before = bench.mask()
    bench.host.click_slice("Red", bench.ras(top))
    np.testing.assert_array_equal(bench.mask(), expected(bench, top, 0.5))
    for threshold in (0.3, 0.7, 0.8, 0.4):
        slide(bench, threshold)
        np.testing.assert_array_equal(bench.mask(), expected(bench, top, threshold))
        assert bench.segment().GetName() == "Liver"
    bench.editor.undo()
    np.testing.assert_array_equal(bench.mask(), before)
    assert bench.segment().GetName() == "Segment_1"
    bench.editor.redo()
    np.testing.assert_array_equal(bench.mask(), expected(bench, top, 0.4))
    assert bench.segment().GetName() == "Liver"


def test_the_click_follows_the_slider_while_it_is_dragged(graded):
    """Values come faster than the click can be made anew, and the mouse never rests."""
    bench, top = graded, (2, 2, 6)
    bench.host.click_slice("Red", bench.ras(top))
    slider, seen = bench.effect.panel.threshold_slider, set()
    for step in range(31):
        slider.setValue(0.5 + 0.01 * step)
        bench.host.process_events(8)
        seen.add(int(bench.mask().sum()))
    assert len(seen) >= 3
    bench.host.process_events(60)
    np.testing.assert_array_equal(bench.mask(), expected(bench, top, 0.8))


def test_a_threshold_above_the_click_takes_it_back_until_it_is_lowered(graded):
    bench, top = graded, (2, 2, 4)
    bench.host.click_slice("Red", bench.ras(top))
    slide(bench, 0.9)
    assert not bench.mask().any()
    assert "less than the threshold" in bench.effect.statusText()
    slide(bench, 0.45)
    np.testing.assert_array_equal(bench.mask(), expected(bench, top, 0.45))


def test_earlier_clicks_stay_when_the_last_one_is_made_anew(graded):
    bench, liver, spleen = graded, (2, 2, 6), (4, 7, 4)
    bench.host.click_slice("Red", bench.ras(liver))
    first = bench.mask()
    bench.host.click_slice("Red", bench.ras(spleen))
    slide(bench, 0.25)
    np.testing.assert_array_equal(bench.mask(), first | expected(bench, spleen, 0.25))
    bench.editor.undo()
    np.testing.assert_array_equal(bench.mask(), first)


def nothing_to_remove(bench):
    bench.host.click_slice("Red", bench.ras((4, 7, 4)), control=True)


def nothing_to_add(bench):
    bench.host.click_slice("Red", bench.ras((2, 2, 6)), shift=True)


def nothing_editable(bench):
    empty = bench.segmentation.GetSegmentation().AddEmptySegment("", "nowhere")
    bench.node.SetMaskSegmentID(empty)
    bench.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    bench.host.click_slice("Red", bench.ras((4, 7, 4)))


@pytest.mark.parametrize("nothing", [nothing_to_remove, nothing_to_add, nothing_editable])
def test_a_click_that_changed_nothing_is_not_made_anew_at_the_cost_of_the_one_before(graded, nothing):
    """Slicer keeps no step of undo where nothing has changed: taking that one back would take back the other."""
    bench = graded
    bench.host.click_slice("Red", bench.ras((2, 2, 6)))
    before = bench.mask()
    nothing(bench)
    slide(bench, 0.55)
    slide(bench, 0.5)
    np.testing.assert_array_equal(bench.mask(), before)
    for _ in range(4):
        bench.editor.undo()
    assert not bench.mask().any()


def test_neighbours_that_gave_way_to_a_click_come_back_when_it_is_made_smaller(graded):
    """The segment has the structure already, another one overlaps it: the click changes the other one alone."""
    bench, top = graded, (2, 2, 6)
    bench.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    first = bench.editor.currentSegmentID()
    bench.host.click_slice("Red", bench.ras(top), shift=True)
    mine, second = bench.mask(first), bench.add_segment("other")
    bench.host.click_slice("Red", bench.ras(top), shift=True)
    np.testing.assert_array_equal(bench.mask(second), mine)
    bench.editor.setCurrentSegmentID(first)
    bench.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments)
    bench.host.click_slice("Red", bench.ras(top), shift=True)
    assert not bench.mask(second).any()
    slide(bench, 0.8)
    np.testing.assert_array_equal(bench.mask(first), mine)
    np.testing.assert_array_equal(bench.mask(second), mine & ~expected(bench, top, 0.8))
    bench.editor.undo()
    np.testing.assert_array_equal(bench.mask(second), mine)


def paint(bench):
    bench.editor.activeEffect().saveStateForUndo()
    name = bench.segmentation.GetSegmentation().AddEmptySegment("", "painted by hand")
    assert bench.segment(name) is not None


def rename(bench):
    bench.segment().SetName("my liver")


def undo(bench):
    bench.editor.undo()


def undo_and_redo(bench):
    bench.editor.undo()
    bench.editor.redo()


def other_segment(bench):
    bench.editor.setCurrentSegmentID(bench.add_segment("another"))


def other_effect(bench):
    bench.editor.setActiveEffectByName("")
    bench.editor.setActiveEffectByName("Rep3D")


@pytest.mark.parametrize("interference", [paint, rename, undo, undo_and_redo, other_segment, other_effect])
def test_after_any_other_change_the_slider_leaves_the_segments_alone(graded, interference):
    bench = graded
    bench.host.click_slice("Red", bench.ras((2, 2, 6)))
    clicked = bench.editor.currentSegmentID()
    interference(bench)
    before, count = bench.mask(clicked), bench.segmentation.GetSegmentation().GetNumberOfSegments()
    slide(bench, 0.3)
    slide(bench, 0.8)
    np.testing.assert_array_equal(bench.mask(clicked), before)
    assert bench.segmentation.GetSegmentation().GetNumberOfSegments() == count


def test_showing_the_segments_in_3d_does_not_settle_the_click(graded):
    bench, top = graded, (2, 2, 6)
    bench.host.click_slice("Red", bench.ras(top))
    bench.segmentation.CreateClosedSurfaceRepresentation()
    bench.segmentation.GetDisplayNode().SetSegmentOpacity(bench.editor.currentSegmentID(), 0.5)
    slide(bench, 0.3)
    np.testing.assert_array_equal(bench.mask(), expected(bench, top, 0.3))


def test_without_undo_the_slider_says_so(graded):
    bench = graded
    bench.editor.setMaximumNumberOfUndoStates(0)
    bench.host.click_slice("Red", bench.ras((2, 2, 6)))
    before = bench.mask()
    slide(bench, 0.8)
    np.testing.assert_array_equal(bench.mask(), before)
    assert "undo is off" in bench.effect.statusText()


def test_a_removed_structure_follows_the_slider_too(graded):
    bench, spleen = graded, (4, 7, 4)
    bench.effect.clickAt(bench.ras((2, 2, 6)), "add")
    bench.effect.clickAt(bench.ras(spleen), "add")
    whole = bench.mask()
    bench.host.click_slice("Red", bench.ras(spleen), control=True)
    slide(bench, 0.55)
    np.testing.assert_array_equal(bench.mask(), whole & ~expected(bench, spleen, 0.55))


@pytest.mark.parametrize(
    ("widget", "value", "parts"),
    [("slice_check", True, "slice"), ("all_check", True, "all"), ("smoothing_slider", 3.0, "smooth")],
)
def test_the_other_settings_of_a_pick_make_it_anew_as_well(bench, widget, value, parts):
    bench.host.click_slice("Red", bench.ras(LIVER))
    chosen = getattr(bench.effect.panel, widget)
    (chosen.setChecked if isinstance(value, bool) else chosen.setValue)(value)
    bench.host.process_events(60)
    whole = component(bench.labels, LIVER)
    if parts == "slice":
        assert bench.mask().sum() == whole[:, :, LIVER[2]].sum()
        np.testing.assert_array_equal(bench.mask()[:, :, LIVER[2]], whole[:, :, LIVER[2]])
    elif parts == "all":
        np.testing.assert_array_equal(bench.mask(), bench.labels == 1)
    else:
        assert bench.mask()[LIVER] and not np.array_equal(bench.mask(), whole)


def test_each_click_is_one_step_of_undo(bench):
    bench.host.click_slice("Red", bench.ras(LIVER))
    first = bench.mask()
    bench.host.click_slice("Red", bench.ras(SPLEEN))
    both = bench.mask()
    bench.editor.undo()
    np.testing.assert_array_equal(bench.mask(), first)
    bench.editor.undo()
    assert not bench.mask().any()
    bench.editor.redo()
    bench.editor.redo()
    np.testing.assert_array_equal(bench.mask(), both)
