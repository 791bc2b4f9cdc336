"""The section Why, driven as a person would: masks of shipped weights, the receptive field of a voxel, removal."""

from __future__ import annotations

import numpy as np
import pytest

TASK = "msd-hippocampus"


@pytest.fixture
def why(panel):
    """The panel with the section open and the task chosen."""
    panel.choose_task(TASK)
    panel.ui.whySection.setCollapsed(False)
    panel.host.process_events()
    return panel


def classes_in_scene() -> dict[str, int]:
    import slicer

    found: dict[str, int] = {}
    for index in range(slicer.mrmlScene.GetNumberOfNodes()):
        name = slicer.mrmlScene.GetNthNode(index).GetClassName()
        found[name] = found.get(name, 0) + 1
    return found


def table_texts(ui) -> list[list[str]]:
    table = ui.whyTable
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def test_masks(why):
    ui = why.ui
    assert not ui.whyBlockSelector.enabled and not ui.whyRemoveButton.enabled
    before = classes_in_scene()
    why.host.click(ui.whyMaskButton)
    why.wait_idle()
    assert ui.whyBlockSelector.count == 8 and ui.whyBlockSelector.currentText == "stage1.block1"
    print(table_texts(ui))
    why.host.click(ui.whyRemoveButton)
    assert classes_in_scene() == before and not ui.whyTable.visible


def test_field_at_a_point(why, hippocampus):
    import slicer
    from Rep3DSegmentationLib.why import folder

    ui = why.ui
    volume = why.volume(hippocampus.array, hippocampus.affine)
    markups = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    before = classes_in_scene()
    ui.whyPointsSelector.setCurrentNode(markups)
    at = [17, 29, 14]
    ras = (hippocampus.affine @ [*at, 1])[:3]
    markups.AddControlPoint(*ras, "mine")
    why.host.process_events()
    assert ui.whyPointSelector.currentText == "mine"
    why.host.click(ui.whyErfButton)
    why.wait_idle()
    (field,) = folder.kept(folder.ERF, "volume", volume)
    print(why.message, table_texts(ui))
    why.host.click(ui.whyRemoveButton)
    assert classes_in_scene() == before
