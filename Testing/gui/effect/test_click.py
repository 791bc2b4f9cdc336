"""What a click does to the selected segment, and what the user is told."""

from __future__ import annotations

import numpy as np
import pytest

from .world import component

LIVER, OTHER_LIVER, SPLEEN, BACKGROUND = (2, 2, 3), (9, 2, 4), (4, 7, 2), (6, 2, 2)


def test_left_click_takes_the_structure_under_the_cursor_and_names_the_segment(bench):
    hit = bench.host.click_slice("Red", bench.ras(LIVER))
    assert tuple(np.rint(bench.voxel(hit.ras)).astype(int)) == LIVER
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, LIVER))
    segment = bench.segment()
    assert segment.GetName() == "Liver"
    np.testing.assert_allclose(segment.GetColor(), np.array([221, 130, 101]) / 255)
    assert "SCT^10200004^Liver" in segment.GetTerminology()
    assert "Liver" in bench.effect.statusText() and "96" in bench.effect.statusText()


def test_control_click_removes_and_shift_click_adds_without_naming(bench):
    bench.host.click_slice("Red", bench.ras(LIVER), shift=True)
    assert bench.segment().GetName() == "Segment_1"
    bench.host.click_slice("Red", bench.ras(SPLEEN), shift=True)
    expected = component(bench.labels, LIVER) | component(bench.labels, SPLEEN)
    np.testing.assert_array_equal(bench.mask(), expected)
    bench.host.click_slice("Red", bench.ras(LIVER), control=True)
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, SPLEEN))
    assert "removed" in bench.effect.statusText()


@pytest.mark.parametrize("voxel", [BACKGROUND, (-3, 2, 2)], ids=["background", "outside"])
def test_a_click_on_nothing_says_so_and_changes_nothing(bench, voxel):
    bench.host.click_slice("Red", bench.ras(LIVER), shift=True)
    before = bench.mask()
    bench.host.click_slice("Red", bench.ras(voxel))
    np.testing.assert_array_equal(bench.mask(), before)
    assert ("Background" if voxel == BACKGROUND else "Outside") in bench.effect.statusText()
    assert bench.segment().GetName() == "Segment_1"
    bench.editor.undo()  # no step was made for nothing: this takes the first click back
    assert not bench.mask().any()
