"""The Segment Editor of the host: a scripted effect edits real segmentations under the rules of Slicer's logic."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PyQt5.QtWidgets")
import vtk  # noqa: E402
from PyQt5 import QtGui  # noqa: E402
from slicerhost.views import rendering_problem  # noqa: E402
from slicerhost.wrapping import unwrap  # noqa: E402


@pytest.mark.parametrize("view", ["Red", "Green", "Yellow"])
def test_a_click_edits_the_voxel_under_it(stage, view):
    stage.click((7, 9, 11), view)
    assert stage.box.clicked == [7, 9, 11]
    assert np.array_equal(stage.voxels("a"), stage.region((7, 9, 11), 2))
    assert not stage.voxels("b").any()


def test_control_is_passed_on(stage):
    stage.click((7, 9, 11))
    stage.click((8, 9, 11), control=True)
    wanted = stage.region((7, 9, 11), 2) & ~stage.region((8, 9, 11), 2)
    assert wanted.any() and np.array_equal(stage.voxels("a"), wanted)


def test_rotated_views_and_transforms_on_both_nodes(stage):
    turn = vtk.vtkTransform()
    turn.RotateWXYZ(35, 0.3, 1.0, -0.4)
    turn.Translate(12, -4, 6)
    of_volume = stage.add_transform(turn.GetMatrix())
    turn.RotateWXYZ(4, 1.0, -0.5, 0.2)
    turn.Translate(1.2, -0.7, 0.9)
    of_segments = stage.add_transform(turn.GetMatrix())
    stage.volume.SetAndObserveTransformNodeID(of_volume.GetID())
    stage.node.SetAndObserveTransformNodeID(of_segments.GetID())
    stage.effect.setParameter("Radius", 0)
    widget = stage.host.slice_view("Green")
    axes = vtk.vtkTransform()
    axes.RotateWXYZ(50, 1.0, 0.2, 0.7)
    widget.mrmlSliceNode().GetSliceToRAS().DeepCopy(axes.GetMatrix())
    widget.mrmlSliceNode().UpdateMatrices()
    hit = stage.host.click_slice("Green", ras=stage.ras((10, 11, 12)))
    # Where the pixel is on the segmentation's grid: through its transform, then its IJK.
    inverse = np.linalg.inv(slicer.util.arrayFromTransformMatrix(of_segments, toWorld=True))
    to_ijk = vtk.vtkMatrix4x4()
    stage.volume.GetRASToIJKMatrix(to_ijk)  # the reference geometry is the volume's without its transform
    ijk = slicer.util.arrayFromVTKMatrix(to_ijk) @ inverse @ [*hit.ras, 1.0]
    assert stage.box.clicked == [round(value) for value in ijk[:3]]
    segment = stage.node.GetBinaryLabelmapInternalRepresentation("a")
    assert np.reshape(segment.GetExtent(), (3, 2)).tolist() == [[index, index] for index in stage.box.clicked]


def test_pixels_are_those_of_the_interactor(stage):
    stage.host.hover_slice("Red", xy=(33, 44))
    assert stage.box.status.text == "33 44"
    hit = stage.host.hover_slice("Red", ras=stage.ras((3, 4, 5)))
    position = stage.effect.self().xyToRas(hit.xy, slicer.app.layoutManager().sliceWidget("Red"))
    assert position == pytest.approx(hit.ras, abs=1e-3)
    assert stage.box.rasToXy(hit.ras, slicer.app.layoutManager().sliceWidget("Red")) == pytest.approx(hit.xy, abs=1)


def test_undo_and_redo_by_buttons_and_one_step_for_a_click(stage):
    undo, redo = stage.child("UndoButton"), stage.child("RedoButton")
    assert not undo.enabled and not redo.enabled
    stage.click((7, 9, 11))
    stage.click((12, 9, 11))
    both = stage.region((7, 9, 11), 2) | stage.region((12, 9, 11), 2)
    assert np.array_equal(stage.voxels("a"), both)
    stage.host.click(undo)
    assert np.array_equal(stage.voxels("a"), stage.region((7, 9, 11), 2))
    stage.host.click(undo)
    assert not stage.voxels("a").any() and not undo.enabled
    stage.editor.redo()
    stage.host.click(redo)
    assert np.array_equal(stage.voxels("a"), both) and not redo.enabled


def test_segments_are_added_removed_and_chosen(stage):
    changes = []
    stage.editor.connect("currentSegmentIDChanged(QString)", changes.append)
    table = unwrap(stage.child("SegmentsTableView"))
    table.tableWidget().selectRow(1)
    assert stage.editor.currentSegmentID() == "b" and changes == ["b"]
    stage.host.click(stage.child("AddSegmentButton"))
    added = stage.editor.currentSegmentID()
    assert stage.node.GetSegmentation().GetSegmentIDs() == ("a", "b", added) and added not in "ab"
    assert table.selectedSegmentIDs() == [added]
    stage.host.click(stage.child("RemoveSegmentButton"))
    assert stage.node.GetSegmentation().GetSegmentIDs() == ("a", "b")
    assert stage.editor.currentSegmentID() in ("a", "b") and stage.editor.activeEffect() == stage.effect


def test_the_history_is_as_long_as_it_is_set(stage):
    stage.editor.setMaximumNumberOfUndoStates(2)
    for i in (3, 8, 13):
        stage.click((i, 9, 11))
    for _step in range(5):
        stage.editor.undo()
    assert stage.voxels("a").any()
    stage.editor.setMaximumNumberOfUndoStates(10)


def test_surfaces_are_turned_into_labelmaps_when_the_person_agrees(stage):
    stage.click((7, 9, 11))
    stage.editor.setActiveEffect(None)
    stage.node.CreateClosedSurfaceRepresentation()
    stage.node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    stage.host.dialogs.answer("No", "binary labelmap")
    stage.editor.setActiveEffectByName("Box")
    assert stage.editor.activeEffect() is None
    stage.editor.setActiveEffectByName("")
    stage.host.dialogs.answer("Yes", "binary labelmap")
    stage.editor.setActiveEffectByName("Box")
    assert stage.editor.activeEffect() == stage.effect
    assert stage.node.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"


def test_masking_inside_and_outside_a_segment(stage):
    stage.editor.setCurrentSegmentID("b")
    stage.click((7, 9, 11))
    stage.editor.setCurrentSegmentID("a")
    stage.parameters.SetOverwriteMode(stage.parameters.OverwriteNone)
    area = stage.child("MaskModeComboBox")
    stage.host.choose(area, "Inside b")
    assert stage.parameters.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment
    stage.click((9, 9, 11))
    inside = stage.region((7, 9, 11), 2) & stage.region((9, 9, 11), 2)
    assert inside.any() and np.array_equal(stage.voxels("a"), inside)
    assert (slicer.util.arrayFromVolume(stage.volume).shape) == (24, 22, 20)
    stage.editor.undo()
    stage.host.choose(area, "Outside all segments")
    stage.click((9, 9, 11))
    outside = stage.region((9, 9, 11), 2) & ~stage.region((7, 9, 11), 2)
    assert np.array_equal(stage.voxels("a"), outside)


def test_editable_intensity_range(stage):
    stage.child("SourceVolumeIntensityMaskCheckBox").checked = True
    assert stage.parameters.GetSourceVolumeIntensityMask()
    stage.parameters.SetSourceVolumeIntensityMaskRange(20, 45)
    assert stage.child("SourceVolumeIntensityMaskRangeWidget").maximumValue == 45
    stage.click((7, 9, 11))
    values = slicer.util.arrayFromVolume(stage.volume)
    wanted = stage.region((7, 9, 11), 2) & (values >= 20) & (values <= 45)
    assert 0 < wanted.sum() < 125 and np.array_equal(stage.voxels("a"), wanted)


@pytest.mark.parametrize("mode", ["Overwrite all", "Overwrite visible", "Allow overlap"])
@pytest.mark.parametrize("hidden", [False, True])
def test_overwriting_other_segments(stage, mode, hidden):
    stage.editor.setCurrentSegmentID("b")
    stage.click((7, 9, 11))
    stage.node.GetDisplayNode().SetSegmentVisibility("b", not hidden)
    stage.editor.setCurrentSegmentID("a")
    stage.host.choose(stage.child("OverwriteModeComboBox"), mode)
    stage.click((9, 9, 11))
    kept = mode == "Allow overlap" or (mode == "Overwrite visible" and hidden)
    wanted = stage.region((7, 9, 11), 2) & (kept | ~stage.region((9, 9, 11), 2))
    assert np.array_equal(stage.voxels("a"), stage.region((9, 9, 11), 2))
    assert np.array_equal(stage.voxels("b"), wanted)


@pytest.mark.parametrize(("answer", "edited", "shown"), [("Yes", 1, 1), ("No", 1, 0), ("Cancel", 0, 0)])
def test_hidden_segments_are_asked_about(stage, answer, edited, shown):
    display = stage.node.GetDisplayNode()
    display.SetSegmentVisibility("a", False)
    stage.host.dialogs.answer(answer, "currently selected segment is hidden")
    stage.click((7, 9, 11))
    assert stage.box.confirmed == (stage.effect.ConfirmedWithDialog if edited else stage.effect.NotConfirmed)
    assert stage.voxels("a").any() == bool(edited)
    assert display.GetSegmentVisibility("a") == bool(shown)
    if edited:  # once is enough
        stage.click((12, 9, 11))
        assert stage.box.confirmed == stage.effect.ConfirmedWithoutDialog


def test_the_answer_about_hidden_segments_can_be_remembered(stage):
    def never_again(dialog):
        unwrap(dialog).checkBox().setChecked(True)
        return "No"

    display = stage.node.GetDisplayNode()
    display.SetVisibility(False)
    stage.host.dialogs.answer(never_again, "hidden")
    stage.click((7, 9, 11))
    stage.editor.setCurrentSegmentID("b")
    try:
        stage.click((7, 9, 11))
        assert stage.box.confirmed == stage.effect.ConfirmedWithoutDialog and stage.voxels("b").any()
        assert not display.GetVisibility()
    finally:
        slicer.app.settings().remove("Segmentations/ConfirmEditHiddenSegment")


def test_an_event_that_an_effect_takes_reaches_nobody_else(stage):
    interactor = stage.host.slice_view("Red").sliceView().interactor()
    seen = []
    names = ("MouseMoveEvent", "LeftButtonPressEvent")
    priority = 0.5  # after the editor, before the displayable managers
    tags = [interactor.AddObserver(name, lambda _caller, event: seen.append(event), priority) for name in names]
    stage.click((7, 9, 11))
    stage.editor.setActiveEffect(None)
    stage.host.click_slice("Red", xy=(9, 9))
    for tag in tags:
        interactor.RemoveObserver(tag)
    assert seen == ["MouseMoveEvent", "MouseMoveEvent", "LeftButtonPressEvent"]


def test_pictures_of_the_view_before_and_after(stage, tmp_path):
    if rendering_problem():
        pytest.skip(rendering_problem())
    before = stage.host.save_slice_view("Red", tmp_path / "before.png", size=(120, 100))
    hit = stage.click((10, 11, 12))
    after = stage.host.save_slice_view("Red", tmp_path / "after.png")
    first, second = QtGui.QImage(str(before)), QtGui.QImage(str(after))
    assert (first.width(), first.height()) == (120, 100)
    x, y = hit.xy
    old, new = (QtGui.QColor(picture.pixel(x, 99 - y)) for picture in (first, second))
    assert old.red() == old.green() == old.blue() and not new.red() == new.green() == new.blue()
    assert first.pixel(1, 1) == second.pixel(1, 1)
