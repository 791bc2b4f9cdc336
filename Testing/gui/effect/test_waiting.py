"""Clicks before the network has answered: applied when it has, dropped when anything has changed, never forgotten."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import slicer
from Rep3DSegmentationLib.errors import WorkerError

from .known import answer_of
from .test_click import LIVER, SPLEEN
from .world import Bench, add_transform, add_volume, component


@pytest.fixture
def early(bench, session):
    """The bench before it is prepared, with a worker that takes its time."""
    session.forget_all()
    session.hold = True
    session.asked.clear()
    return bench


def finish(bench, session):
    session.hold = False
    bench.host.process_events(120)


def test_the_first_click_prepares_and_is_applied_when_ready(early, session):
    bench, panel = early, early.effect.panel
    bench.host.click_slice("Red", bench.ras(LIVER))
    assert session.asked == [("prepare", bench.volume.GetID(), None)]
    assert panel.prepare_button.text == "Cancel" and not panel.fill_button.enabled
    assert "applied when" in panel.status_label.text
    session._operations[0]._progress(0.25, "segmenting (window 1 of 4)", 75.0)
    assert panel.progress_bar.value == 25 and "1 min 15 s left" in panel.status_label.text
    assert not bench.mask().any()
    finish(bench, session)
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, LIVER))
    assert panel.prepare_button.text == "Prepared" and panel.fill_button.enabled
    bench.editor.undo()
    assert not bench.mask().any()


@pytest.mark.parametrize("mode", ["volume", "local"])
def test_what_the_network_warns_of_is_said_with_the_click_that_waited(early, session, mode):
    bench = early
    bench.editor.activeEffect().setParameter("Mode", mode)
    session.warnings = ("The scan looks like MR, but the task is for CT.",)
    bench.host.click_slice("Red", bench.ras(LIVER))
    finish(bench, session)
    text = bench.effect.statusText()
    assert "96 voxels" in text and "looks like MR" in text
    assert "#b06000" in bench.effect.panel.status_label.styleSheet


@pytest.mark.parametrize("answer", ["Cancel", "No"])
def test_a_segment_that_was_hidden_meanwhile_is_asked_about(early, session, answer):
    bench = early
    bench.host.click_slice("Red", bench.ras(LIVER))
    bench.segmentation.GetDisplayNode().SetSegmentVisibility(bench.editor.currentSegmentID(), False)
    bench.host.dialogs.answer(answer)
    finish(bench, session)
    assert not bench.mask().any(), "the click was made when the segment was in view"
    assert "Nothing was changed" in bench.effect.statusText()


def test_the_last_of_several_early_clicks_counts_and_the_volume_is_prepared_once(early, session):
    bench = early
    bench.host.click_slice("Red", bench.ras(LIVER))
    bench.host.click_slice("Red", bench.ras(SPLEEN))
    finish(bench, session)
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, SPLEEN))
    assert len(session.asked) == 1


def other_segment(bench):
    bench.add_segment()


def other_transform(bench):
    node = add_transform(np.diag([1, 1, 1, 1]) + np.eye(4, k=3) * 5)
    bench.volume.SetAndObserveTransformNodeID(node.GetID())


def moved_segmentation(bench):
    node = add_transform(np.eye(4) + np.eye(4, k=3) * 5)
    bench.segmentation.SetAndObserveTransformNodeID(node.GetID())


def other_voxels(bench):
    slicer.util.arrayFromVolume(bench.volume)[0] = 7
    slicer.util.arrayFromVolumeModified(bench.volume)


def other_volume(bench):
    bench.editor.setSourceVolumeNode(add_volume(np.zeros((4, 4, 4), np.int16), np.eye(4)))


def no_effect(bench):
    bench.editor.setActiveEffectByName("")


def other_device(bench):
    bench.editor.activeEffect().setParameter("Device", "cpu")


def cancelled(bench):
    bench.host.click(bench.effect.panel.prepare_button)


@pytest.mark.parametrize(
    "change",
    [
        *(other_segment, other_transform, moved_segmentation, other_voxels, other_volume, no_effect),
        *(other_device, cancelled),
    ],
)
def test_an_early_click_is_dropped_when_anything_has_changed(early, session, change):
    bench = early
    bench.host.click_slice("Red", bench.ras(LIVER))
    clicked = bench.editor.currentSegmentID()
    bench.host.process_events()
    change(bench)
    finish(bench, session)
    segmentation = bench.segmentation.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        centres, _affine = bench.parts(segmentation.GetNthSegmentID(index))
        assert not len(centres)
    assert bench.segment(clicked).GetName() == "Segment_1"


@pytest.mark.parametrize("end", ["scene", "editor", "volume"])
def test_an_early_click_outlives_neither_scene_nor_editor_nor_volume(early, session, end):
    bench = early
    bench.host.click_slice("Red", bench.ras(LIVER))
    if end == "scene":
        bench.host.close_scene()
    elif end == "volume":
        slicer.mrmlScene.RemoveNode(bench.volume)
    else:
        bench.editor.setActiveEffect(None)
        bench.effect.scriptedEffect.cleanup()
    finish(bench, session)
    assert not any(operation.joinable for operation in session._operations)


def test_the_death_of_the_worker_is_told_and_the_next_click_starts_anew(early, session):
    bench = early
    session.fault = WorkerError("worker_died", "The worker ended unexpectedly (signal 9).", "Use another device.")
    bench.host.click_slice("Red", bench.ras(LIVER))
    finish(bench, session)
    label = bench.effect.panel.status_label
    assert "signal 9" in label.text and "another device" in label.text and "#c02020" in label.styleSheet
    assert not bench.mask().any()
    session.fault = None
    bench.host.click_slice("Red", bench.ras(LIVER))
    bench.host.process_events(120)
    assert bench.mask().any()


def test_a_volume_that_is_known_no_longer_is_prepared_again(bench, session):
    assert bench.effect.panel.fill_button.enabled
    session.forget_all()
    assert not bench.effect.panel.fill_button.enabled and bench.effect.panel.prepare_button.text == "Prepare"
    assert bench.effect.hoverAt(bench.ras(LIVER)) is None
    bench.host.click_slice("Red", bench.ras(LIVER))
    bench.host.process_events(120)
    assert bench.mask().any()


@pytest.mark.parametrize(
    ("missing", "words"), [("task", "No task"), ("volume", "No source volume"), ("segment", "No segment")]
)
def test_what_is_missing_is_said(bench, missing, words):
    if missing == "task":
        bench.editor.activeEffect().setParameter("Task", "")
    elif missing == "volume":
        bench.editor.setSourceVolumeNode(None)
    else:
        bench.node.SetSelectedSegmentID("")
    text = bench.effect.clickAt((0.0, 0.0, 0.0)) if missing != "task" else bench.effect.clickAt(bench.ras(LIVER))
    assert words in text


def test_a_volume_that_cannot_be_prepared_is_refused_with_what_to_do(bench, monkeypatch):
    """The real session, which looks at the volume before it asks the worker."""
    from types import SimpleNamespace

    import Rep3DSegmentationLib.click.session as session_module

    client = SimpleNamespace(is_running=lambda: False, folder=None, poll=lambda: 0)
    monkeypatch.setattr(session_module, "_session", session_module.ClickSession(lambda: client))
    bend = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    grid = slicer.vtkOrientedGridTransform()
    field = slicer.vtkOrientedImageData()
    field.SetDimensions(3, 3, 3)
    field.SetSpacing(40, 40, 40)
    field.SetOrigin(-60, -20, -20)
    field.AllocateScalars(11, 3)
    field.GetPointData().GetScalars().Fill(0)
    field.SetScalarComponentFromDouble(1, 1, 1, 0, 3.0)
    grid.SetDisplacementGridData(field)
    bend.SetAndObserveTransformFromParent(grid)
    bench.volume.SetAndObserveTransformNodeID(bend.GetID())
    text = bench.effect.clickAt((-12.0, 16.0, 11.0))
    assert "non-linear" in text and "harden" in text.lower()
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty scan")
    bench.editor.setSourceVolumeNode(empty)
    text = bench.effect.clickAt((0.0, 0.0, 0.0))
    assert "empty scan has no voxels" in text
    assert not bench.effect.prepare() and "no voxels" in bench.effect.statusText()


def test_preparing_what_is_prepared_says_that_it_is_ready(bench):
    bench.effect.controller.tell("something else")
    assert bench.effect.prepare() and "Ready" in bench.effect.statusText()


def test_two_editors_wait_for_one_preparation_and_change_their_own_segments(early, session, new_editor):
    first = early
    editor, node = new_editor()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(first.volume)
    second = Bench(first.host, editor, node, first.volume, segmentation, None, first.labels, first.affine)
    second.add_segment()
    editor.setActiveEffectByName("Rep3D")
    second.effect = editor.activeEffect().self()
    editor.activeEffect().setParameter("Task", "known")
    assert second.effect is not first.effect
    first.effect.clickAt(first.ras(LIVER), wait=False)
    second.effect.clickAt(second.ras(SPLEEN), wait=False)
    assert len(session.asked) == 1
    first.effect.cancel()
    finish(second, session)
    assert not first.mask().any()
    np.testing.assert_array_equal(second.mask(), component(first.labels, SPLEEN))
    first.effect.clickAt(first.ras(LIVER))
    np.testing.assert_array_equal(first.mask(), component(first.labels, LIVER))
    assert len(session.asked) == 1
    second.effect.panel.threshold_slider.setValue(0.4)
    assert first.effect.panel.threshold_slider.value == 0.5, "each editor has its own parameters"


def test_local_mode_asks_for_one_patch_around_each_click(early, session, tmp_path):
    bench = early
    bench.editor.activeEffect().setParameter("Mode", "local")
    assert not bench.effect.panel.prepare_button.enabled
    patch = np.where(np.indices(bench.labels.shape)[0] < 6, bench.labels, 0)
    session.answers[bench.volume.GetID()] = answer_of(patch, bench.volume, tmp_path)
    bench.host.click_slice("Red", bench.ras(LIVER))
    assert session.asked == [("window", bench.volume.GetID(), list(LIVER))]
    finish(bench, session)
    np.testing.assert_array_equal(bench.mask(), component(patch, LIVER))
    assert bench.effect.hoverAt(bench.ras(LIVER)) == ("Liver", 1.0)
    assert bench.effect.hoverAt(bench.ras((9, 2, 4))) is None, "beyond the patch nothing is known"
    bench.host.click_slice("Red", bench.ras((9, 2, 4)))
    bench.host.process_events(120)
    assert len(session.asked) == 2 and "Background" in bench.effect.statusText()


def test_in_local_mode_a_prepared_volume_is_used(bench, session):
    session.asked.clear()
    bench.editor.activeEffect().setParameter("Mode", "local")
    bench.host.click_slice("Red", bench.ras(LIVER))
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, LIVER))
    assert session.asked == []


def test_an_editor_that_repeats_itself_does_not_stop_the_preparation(early, session):
    bench = early
    bench.host.click_slice("Red", bench.ras(LIVER))
    bench.effect.sourceVolumeNodeChanged()
    bench.editor.updateWidgetFromMRML()
    finish(bench, session)
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, LIVER))


def test_in_local_mode_only_the_newest_click_is_applied(early, session):
    bench = early
    bench.editor.activeEffect().setParameter("Mode", "local")
    bench.host.click_slice("Red", bench.ras(LIVER))
    bench.host.click_slice("Red", bench.ras(SPLEEN))
    finish(bench, session)
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, SPLEEN))
    bench.editor.undo()
    assert not bench.mask().any()


def test_nothing_of_an_editor_lives_on_after_it(bench, session):
    """The session outlives every editor: what it remembers of finished and cancelled work must not hold the effect."""
    effect = type(bench.effect)(bench.effect.scriptedEffect)
    effect.setupOptionsFrame()
    effect.activate()
    session.forget_all()
    session.hold = True
    effect.prepare()
    (operation,) = session._operations
    tickets = [weakref.ref(ticket) for ticket in operation._tickets]
    effect.cancel()
    effect.prepare()
    tickets += [weakref.ref(ticket) for ticket in session._operations[-1]._tickets]
    session.hold = False
    session.poll()
    made = [weakref.ref(each) for each in (effect, effect.controller, effect.panel, effect.label, effect._poller)]
    assert len(tickets) == 2 and effect.controller.state == "ready"
    effect.deactivate()
    effect.cleanup()
    del effect
    bench.host.process_events()  # Qt frees connections later
    gc.collect()
    assert not [reference() for reference in [*tickets, *made] if reference() is not None]
