"""Slicer's rules hold for every click: masking, editable intensity range, overwrite modes, hidden segments."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from .test_click import LIVER, SPLEEN
from .world import component


def put(bench, segment_id, mask_XYZ):
    """Write voxels into a segment by Slicer's own means."""
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask_XYZ.transpose(2, 1, 0).astype(np.uint8), bench.segmentation, segment_id, bench.volume
    )


@pytest.fixture
def other(bench):
    """A second segment "other" that covers the lower half of everything; the first stays selected."""
    first = bench.editor.currentSegmentID()
    bench.other_mask = np.zeros(bench.labels.shape, bool)
    bench.other_mask[:, :, :4] = True
    bench.other = bench.add_segment("other")
    put(bench, bench.other, bench.other_mask)
    bench.editor.setCurrentSegmentID(first)
    return bench


@pytest.mark.parametrize("inside", [True, False])
def test_masking_holds(other, inside):
    bench = other
    mode = slicer.vtkMRMLSegmentationNode
    if inside:
        bench.node.SetMaskSegmentID(bench.other)
        bench.node.SetMaskMode(mode.EditAllowedInsideSingleSegment)
    else:
        bench.node.SetMaskMode(mode.EditAllowedOutsideAllSegments)
    allowed = bench.other_mask if inside else ~bench.other_mask
    bench.host.click_slice("Red", bench.ras(LIVER))
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, LIVER) & allowed)


@pytest.mark.parametrize("by", ["click", "slider", "fill"])
def test_what_is_masked_out_is_never_changed(other, by):
    """Nothing is editable: inside a segment that is empty."""
    bench = other
    first = bench.editor.currentSegmentID()
    empty = bench.add_segment("nowhere")
    bench.editor.setCurrentSegmentID(first)
    bench.node.SetMaskSegmentID(empty)
    bench.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    if by == "fill":
        bench.effect.fillAll()
    else:
        bench.host.click_slice("Red", bench.ras(LIVER))
    if by == "slider":
        bench.effect.panel.threshold_slider.setValue(0.3)
        bench.host.process_events(60)
    segmentation = bench.segmentation.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        want = bench.other_mask if segment_id == bench.other else np.zeros_like(bench.other_mask)
        np.testing.assert_array_equal(bench.mask(segment_id), want)
    assert bench.segment(first).GetName() == "Segment_1", "a segment that took nothing keeps its name"
    text = bench.effect.statusText()
    assert ("Not editable" if by == "fill" else "nothing changed") in text


def test_the_editable_intensity_range_holds(bench):
    image = vtk_to_numpy(bench.volume.GetImageData().GetPointData().GetScalars())
    bright = image.reshape(bench.labels.shape, order="F")
    bench.node.SetSourceVolumeIntensityMask(True)
    bench.node.SetSourceVolumeIntensityMaskRange(30, 60)
    bench.host.click_slice("Red", bench.ras(LIVER))
    allowed = (bright >= 30) & (bright <= 60)
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, LIVER) & allowed)


@pytest.mark.parametrize(
    ("mode", "visible", "erased"),
    [
        ("OverwriteAllSegments", True, True),
        ("OverwriteVisibleSegments", True, True),
        ("OverwriteVisibleSegments", False, False),
        ("OverwriteNone", True, False),
    ],
)
def test_overwrite_modes_hold(other, mode, visible, erased):
    bench = other
    bench.node.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, mode))
    bench.segmentation.GetDisplayNode().SetSegmentVisibility(bench.other, visible)
    bench.host.click_slice("Red", bench.ras(LIVER))
    liver = component(bench.labels, LIVER)
    np.testing.assert_array_equal(bench.mask(), liver)
    left = bench.other_mask & ~liver if erased else bench.other_mask
    np.testing.assert_array_equal(bench.mask(bench.other), left)
    bench.editor.undo()
    np.testing.assert_array_equal(bench.mask(bench.other), bench.other_mask)


def test_removing_touches_no_other_segment(other):
    bench = other
    bench.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    bench.host.click_slice("Red", bench.ras(SPLEEN))
    bench.host.click_slice("Red", bench.ras(LIVER), control=True)
    assert "nothing of it" in bench.effect.statusText()
    bench.host.click_slice("Red", bench.ras(SPLEEN), control=True)
    assert not bench.mask().any()
    np.testing.assert_array_equal(bench.mask(bench.other), bench.other_mask)


@pytest.mark.parametrize("answer", ["Yes", "No", "Cancel"])
def test_a_hidden_segment_is_asked_about_and_the_click_is_not_made_blindly(bench, answer):
    display, segment_id = bench.segmentation.GetDisplayNode(), bench.editor.currentSegmentID()
    display.SetSegmentVisibility(segment_id, False)
    bench.host.dialogs.answer(answer)
    bench.host.click_slice("Red", bench.ras(LIVER))
    assert not bench.mask().any()
    assert bool(display.GetSegmentVisibility(segment_id)) == (answer == "Yes")
    if answer == "Cancel":
        return
    bench.host.click_slice("Red", bench.ras(LIVER))
    assert bench.mask().any()


def test_a_structure_beyond_the_segmentations_geometry_is_not_forced_into_it(bench):
    """There Slicer's masks do not reach, so nothing may be written."""
    image, converter = slicer.vtkOrientedImageData(), slicer.vtkSegmentationConverter
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(bench.affine))
    image.SetExtent(0, 11, 5, 9, 0, 7)  # half of the volume: the spleen, not the livers
    bench.segmentation.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(image)
    )
    bench.host.click_slice("Red", bench.ras(LIVER))
    assert "outside of the segmentation's geometry" in bench.effect.statusText()
    assert not bench.mask().any() and bench.segment().GetName() == "Segment_1"
    bench.host.click_slice("Red", bench.ras(SPLEEN))
    np.testing.assert_array_equal(bench.mask(), component(bench.labels, SPLEEN))


def test_fill_all_makes_one_named_segment_for_each_structure_in_one_step(bench):
    before = bench.segmentation.GetSegmentation().GetNumberOfSegments()
    bench.host.click(bench.effect.panel.fill_button)
    segmentation = bench.segmentation.GetSegmentation()
    names = [segmentation.GetNthSegment(i).GetName() for i in range(segmentation.GetNumberOfSegments())]
    assert names == ["Segment_1", "Liver", "Spleen"]
    for index, value in ((1, 1), (2, 2)):
        np.testing.assert_array_equal(bench.mask(segmentation.GetNthSegmentID(index)), bench.labels == value)
    bench.host.click(bench.effect.panel.fill_button)
    assert segmentation.GetNumberOfSegments() == before + 2, "filling again makes no copies"
    bench.editor.undo()
    bench.editor.undo()
    assert segmentation.GetNumberOfSegments() == before


def test_a_segment_that_somebody_named_keeps_its_name_and_color(bench):
    bench.segment().SetName("Lesion_1")
    color = bench.segment().GetColor()
    bench.host.click_slice("Red", bench.ras(LIVER))
    assert bench.segment().GetName() == "Lesion_1" and bench.segment().GetColor() == color


def test_naming_can_be_switched_off(bench):
    bench.effect.panel.name_check.setChecked(False)
    bench.host.click_slice("Red", bench.ras(LIVER))
    assert bench.mask().any() and bench.segment().GetName() == "Segment_1"
