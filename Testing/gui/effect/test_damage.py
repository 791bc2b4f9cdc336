"""Answers whose files are damaged or gone, volumes that are bent later: a line for the user, and the way on."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from .known import answer_of
from .test_click import LIVER, SPLEEN
from .world import component


def answer(session, bench):
    return session.answers[bench.volume.GetID()]


def damage(prepared, how):
    """Spoil the file of tiles of an answer, of which nothing has been read yet."""
    path = prepared._map.path
    if how == "bytes":
        path.write_bytes(b"\0" * path.stat().st_size)
    else:
        path.write_bytes(path.read_bytes()[:3])


@pytest.mark.parametrize("how", ["bytes", "cut"])
@pytest.mark.parametrize("by", ["hover", "click", "waiting"])
def test_a_damaged_answer_is_told_and_the_next_click_starts_anew(bench, session, how, by):
    broken, whole = answer(session, bench), component(bench.labels, LIVER)
    if by == "waiting":
        session.forget_all()
        session.hold = True
        bench.host.click_slice("Red", bench.ras(LIVER))
    damage(broken, how)
    session.hold = False
    if by == "hover":
        assert bench.effect.hoverAt(bench.ras(LIVER)) is None
        assert bench.effect.hoverAt(bench.ras(LIVER)) is None
    elif by == "click":
        bench.effect.clickAt(bench.ras(LIVER))
    bench.host.process_events(120)
    label = bench.effect.panel.status_label
    assert "could not be read" in label.text and "#c02020" in label.styleSheet
    assert not bench.mask().any()
    assert not broken.exists() and bench.effect.panel.prepare_button.text == "Prepare"
    session.answers[bench.volume.GetID()] = answer_of(bench.labels, bench.volume, broken._map.path.parent)
    bench.effect.clickAt(bench.ras(LIVER))
    np.testing.assert_array_equal(bench.mask(), whole)


def test_a_damaged_answer_leaves_the_last_click_as_it_is(bench, session):
    bench.host.click_slice("Red", bench.ras(LIVER))
    before = bench.mask()
    damage(answer(session, bench), "bytes")
    bench.effect.panel.smoothing_slider.setValue(2.0)  # what was read for the click is remembered, unsmoothed
    answer(session, bench)._read.clear()
    bench.host.process_events(60)
    assert "could not be read" in bench.effect.statusText()
    np.testing.assert_array_equal(bench.mask(), before)


def test_filling_from_a_label_map_that_is_gone_says_so(bench, session):
    answer(session, bench)._labels.unlink()
    count = bench.segmentation.GetSegmentation().GetNumberOfSegments()
    assert "could not be read" in bench.effect.fillAll()
    assert bench.segmentation.GetSegmentation().GetNumberOfSegments() == count


def test_a_volume_that_is_bent_after_it_was_prepared_is_known_no_longer(bench):
    """What a click refuses, hover does not show either."""
    bend = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    grid, field = slicer.vtkOrientedGridTransform(), slicer.vtkOrientedImageData()
    field.SetDimensions(3, 3, 3)
    field.SetSpacing(40, 40, 40)
    field.SetOrigin(-60, -20, -20)
    field.AllocateScalars(11, 3)
    field.GetPointData().GetScalars().Fill(0)
    grid.SetDisplacementGridData(field)
    bend.SetAndObserveTransformFromParent(grid)
    assert bench.effect.hoverAt(bench.ras(SPLEEN)) is not None
    bench.volume.SetAndObserveTransformNodeID(bend.GetID())
    assert bench.effect.hoverAt((-12.0, 24.0, 9.0)) is None
    assert bench.effect.controller.state == "none"


def test_an_editor_that_cleans_up_before_it_deactivates_does_no_harm(bench):
    bench.effect.scriptedEffect.cleanup()
    bench.effect.deactivate()
    assert bench.effect.panel is None


def test_names_are_no_markup(bench):
    import qt

    assert bench.effect.panel.status_label.textFormat == qt.Qt.PlainText
