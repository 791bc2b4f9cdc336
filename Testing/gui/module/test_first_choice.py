"""Which volume is chosen when the module is opened in a scene that holds some."""

from __future__ import annotations

import pytest
import slicer


@pytest.mark.parametrize("shown", [None, 0, 1])
def test_the_volume_that_is_shown_is_chosen_else_the_first(panel, made_up, shown):
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    nodes = [panel.volume(made_up, name=f"scan {number}") for number in (1, 2)]
    panel.host.select_module("SegmentEditor")
    slicer.mrmlScene.RemoveNode(panel.parameters.node)  # as in a scene that never knew the module
    active = labels if shown is None else nodes[shown]
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(active.GetID())
    panel.host.select_module("Rep3DSegmentation")
    assert panel.ui.volumeSelector.currentNode() is nodes[shown or 0]
