"""Apply on real scans: the segmentation in the scene is, voxel by voxel, what the backend makes of the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk


def label_array(node, volume, keys: list[str]) -> np.ndarray:
    """Segments as labels [X, Y, Z] on the grid of ``volume``, 1 for the first key."""
    labels = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    segmentation = node.GetSegmentation()
    for value, key in enumerate(keys, start=1):
        for index in range(segmentation.GetNumberOfSegments()):
            if tag(segmentation.GetNthSegment(index), "Rep3D.Structure") == key:
                segment_id = segmentation.GetNthSegmentID(index)
                mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
                labels[mask > 0] = value
    return labels.transpose(2, 1, 0)


def tag(segment, name: str) -> str:
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def segments(node) -> list:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(i) for i in range(segmentation.GetNumberOfSegments())]


def only(class_name: str):
    """The one node of a class."""
    nodes = slicer.util.getNodesByClass(class_name)
    assert len(nodes) == 1, [node.GetName() for node in nodes]
    return nodes[0]


def test_a_volume_under_a_turned_transform(panel, hippocampus, backend):
    """Names, colours, codes, table and voxels of a whole run, with a transform above the volume."""
    turn = vtk.vtkTransform()
    turn.RotateWXYZ(20, 0.3, 0.5, 0.8)
    turn.Translate(12, -7, 30)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    transform.SetMatrixTransformToParent(turn.GetMatrix())
    matrix = slicer.util.arrayFromVTKMatrix(turn.GetMatrix())
    volume = panel.volume(hippocampus.array, hippocampus.affine, "hippocampus")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    assert panel.parameters.choices.task == "msd-hippocampus", "the only task for MR that has weights is proposed"
    assert "Anterior hippocampus" in panel.ui.taskDetailsLabel.text
    assert "MR, 1 × 1 × 1 mm" in panel.ui.taskDetailsLabel.text
    panel.apply()
    panel.wait_job("segment")
    assert not panel.ui.applyButton.enabled, "a second Apply must not be possible"
    assert panel.ui.applyButton.toolTip == "<p>A segmentation is running.</p>"
    panel.widget.panels.run.apply()  # and has no effect from elsewhere
    assert panel.ui.cancelButton.enabled and panel.ui.progressBar.visible and panel.ui.stageLabel.visible
    panel.wait_idle()
    assert panel.message.startswith("Done in"), panel.message
    assert not panel.ui.progressBar.visible and not panel.ui.cancelButton.enabled

    truth = backend(replace(hippocampus, affine=matrix @ hippocampus.affine), "msd-hippocampus")
    node = only("vtkMRMLSegmentationNode")
    assert node.GetParentTransformNode() is transform
    found = label_array(node, volume, [label.key for label in truth.labels])
    assert np.count_nonzero(truth.labelmap) > 1000
    np.testing.assert_array_equal(found, truth.labelmap)

    for segment, label in zip(segments(node), truth.labels, strict=True):
        assert segment.GetName() == label.name
        assert np.allclose(np.array(segment.GetColor()) * 255, label.color, atol=0.6)
        code = tag(segment, slicer.vtkSegment.GetTerminologyEntryTagName())
        assert f"{label.type.scheme}^{label.type.value}^{label.type.meaning}" in code
        assert f"{label.category.scheme}^{label.category.value}^{label.category.meaning}" in code

    table = panel.ui.resultsTable
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == [label.name for label in truth.labels]
    for row, stats in enumerate(truth.stats):
        assert float(table.item(row, 1).text()) == pytest.approx(stats.volume_ml, abs=0.006)
        mean, sd = table.item(row, 2).text().split(" ± ")
        assert float(mean) == pytest.approx(stats.mean, rel=0.01) and float(sd) == pytest.approx(stats.sd, rel=0.01)
    assert only("vtkMRMLTableNode").GetNumberOfRows() == len(truth.labels)
    assert "PyTorch found no GPU" in panel.ui.resultLabel.text or "a GPU was found" in panel.ui.resultLabel.text
    assert "Engine PyTorch" in panel.ui.resultLabel.text  # the tests of the engines are elsewhere
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(item)) for item in (node, volume)}
    assert len(parents) == 1, "the segmentation belongs beside its volume"


def test_a_region_and_some_structures_into_a_segmentation_that_has_others(panel, head_and_neck, backend):
    from rep3d.inference.region import Region

    keys = ("mandible", "brainstem")
    first = backend(head_and_neck, "openkbp", overlap=0.0, structures=keys)
    where = np.argwhere(first.labelmap > 0).mean(axis=0)
    centre = (head_and_neck.affine @ [*where, 1])[:3]

    volume = panel.volume(head_and_neck.array, head_and_neck.affine, "head and neck")
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(*centre)
    roi.SetSize(70, 60, 50)
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    mine.CreateDefaultDisplayNodes()
    mine.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    own = mine.GetSegmentation().AddEmptySegment("own", "My own")
    drawn = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    drawn[2:5, 3:9, 4:8] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, mine, own, volume)

    panel.choose_task("openkbp")
    panel.options()
    panel.host.choose(panel.ui.qualitySelector, "Fast: little overlap")
    assert panel.parameters.choices.overlap == 0.25 and panel.ui.overlapSlider.value == 0.25
    panel.overlap(0.0)
    assert panel.ui.qualitySelector.currentText == "Custom"
    panel.host.choose(panel.ui.roiSelector, "box")
    panel.host.choose(panel.ui.segmentationSelector, "mine")
    panel.host.click(panel.ui.noStructuresButton)
    assert panel.ui.applyButton.toolTip == "<p>Check at least one structure.</p>"
    import qt

    for row in range(panel.ui.structuresList.count):
        item = panel.ui.structuresList.item(row)
        if item.text() in ("Brainstem", "Mandible"):
            item.setCheckState(qt.Qt.Checked)
    panel.run()
    assert panel.message.startswith("Done in"), panel.message

    box = np.eye(4)
    box[:3, 3] = centre
    region = Region(box, (70.0, 60.0, 50.0))
    truth = backend(head_and_neck, "openkbp", overlap=0.0, structures=keys, roi=region)
    assert 0 < np.count_nonzero(truth.labelmap) < np.count_nonzero(first.labelmap), "the region must cut something off"
    assert only("vtkMRMLSegmentationNode") is mine
    assert {segment.GetName() for segment in segments(mine)} == {"My own", "Brainstem", "Mandible"}
    found = label_array(mine, volume, [label.key for label in truth.labels])
    expected = np.zeros_like(found)
    for value, label in enumerate(truth.labels, start=1):
        expected[truth.labelmap == label.value] = value
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(mine, own, volume), drawn)


def test_a_phantom_whose_truth_is_known(panel):
    """The generated abdomen: large organs are found where they were painted."""
    from rep3d.phantom import generate

    phantom = generate(11, spacing=(4.0, 4.0, 6.0), orientation="LPS", oblique=0.0, fov="upper")
    volume = panel.volume(phantom.image, phantom.affine, "phantom")
    panel.choose_task("phantom-abdomen")
    panel.options()
    panel.overlap(0.0)
    panel.run()
    assert panel.message.startswith("Done in"), panel.message
    fractions = [job.fraction for job in panel.history if job.kind == "segment" and job.fraction is not None]
    assert fractions == sorted(fractions) and len(set(fractions)) >= 4 and 0 <= fractions[0] <= fractions[-1] <= 1
    assert any("window" in job.stage for job in panel.history)
    node = only("vtkMRMLSegmentationNode")
    labels = panel.state.catalog.task("phantom-abdomen")["labels"]
    found = label_array(node, volume, [label["key"] for label in labels])
    dice = {}
    for label in labels:
        a, b = found == label["value"], phantom.labels == label["value"]
        dice[label["key"]] = 2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))
    for key in ("liver", "spleen", "left-kidney", "right-kidney"):
        assert dice[key] > 0.75, dice
    rows = {panel.ui.resultsTable.item(r, 0).text(): r for r in range(panel.ui.resultsTable.rowCount)}
    millilitres = float(panel.ui.resultsTable.item(rows["Liver"], 1).text())
    assert millilitres == pytest.approx(
        np.count_nonzero(found == 6) * abs(np.linalg.det(phantom.affine)) / 1000, rel=0.01
    )

    panel.host.click(panel.show_3d)
    segmentation = node.GetSegmentation()
    assert segmentation.ContainsRepresentation("Closed surface") and node.GetDisplayNode().GetVisibility3D()
    liver = next(s for s in segments(node) if s.GetName() == "Liver")
    polydata = liver.GetRepresentation("Closed surface")
    bounds = np.array(polydata.GetBounds()).reshape(3, 2)
    inside = np.argwhere(found == 6) @ phantom.affine[:3, :3].T + phantom.affine[:3, 3]
    assert np.allclose(bounds.mean(axis=1), (inside.min(axis=0) + inside.max(axis=0)) / 2, atol=6)
    panel.host.click(panel.show_3d)
    assert not segmentation.ContainsRepresentation("Closed surface")

    panel.host.click(panel.ui.editButton)
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    assert editor.segmentationNode() is node and editor.sourceVolumeNode() is volume


def test_the_console_gives_the_same(panel, hippocampus, backend):
    volume = panel.volume(hippocampus.array, hippocampus.affine, "hippocampus")
    logic = slicer.util.getModuleLogic("Rep3DSegmentation")
    seen = []
    node = logic.segment(volume, task="msd-hippocampus", overlap=0.0, progress=lambda *values: seen.append(values))
    truth = backend(hippocampus, "msd-hippocampus", overlap=0.0)
    np.testing.assert_array_equal(label_array(node, volume, [label.key for label in truth.labels]), truth.labelmap)
    assert seen and all(0 <= fraction <= 1 for fraction, _stage, _eta in seen)
    assert "msd-hippocampus" in [task["key"] for task in logic.tasks()]
