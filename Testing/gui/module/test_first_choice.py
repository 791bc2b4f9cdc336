"""What is chosen when the module is opened, how few clicks a result takes, and what becomes of the result."""

from __future__ import annotations

import csv

import numpy as np
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


def test_the_task_follows_the_scan_until_somebody_chooses_one(panel, made_up):
    choices = lambda: panel.parameters.choices  # noqa: E731
    assert choices().task == "phantom-abdomen", "in an empty scene: what a sample can be made for"
    panel.volume(made_up, name="MR")
    assert choices().task == "msd-hippocampus"
    tomogram = panel.volume(made_up - 1000, np.diag([7.0, 7, 7, 1]), "CT")
    assert choices().task == "openkbp" and panel.ui.taskSelector.currentText.startswith("Head-and-neck")
    quantity = slicer.vtkCodedEntry()
    quantity.SetValueSchemeMeaning("110852", "DCM", "MR signal intensity")
    tomogram.SetVoxelValueQuantity(quantity)  # DICOM's word goes before a guess from the values
    assert choices().task == "", "no weights are installed for MR of that size"
    panel.choose_task("phantom-abdomen")
    panel.volume(made_up, name="another MR")
    assert choices().task == "phantom-abdomen"


def test_a_scan_that_no_weights_fit_has_no_task_proposed(panel, made_up):
    catalog = panel.state.catalog
    for row in catalog.weights:
        row["extent_mm"] = [[20, 60]] * 3 if row["task"] == "msd-hippocampus" else [[100, 700]] * 3
    try:
        panel.volume(made_up, np.diag([5.0, 5, 5, 1]), "a whole head")
        assert panel.parameters.choices.task == "" and panel.ui.hintLabel.text == "Choose a task."
        panel.volume(made_up, name="a crop")
        assert panel.parameters.choices.task == "msd-hippocampus"
    finally:
        panel.widget.panels.load_catalog()
        panel.host.wait_until(lambda: not panel.state.loading, 60)


def test_two_clicks_from_a_loaded_volume_to_surfaces_and_the_table_elsewhere(panel, made_up, tmp_path, monkeypatch):
    clicks = []
    real = panel.host.click
    monkeypatch.setattr(panel.host, "click", lambda widget: (clicks.append(widget), real(widget)))
    panel.volume(made_up, name="scan")
    panel.host.click(panel.ui.applyButton)
    panel.wait_idle()
    panel.host.click(panel.show_3d)
    assert len(clicks) == 2 and panel.message.startswith("Done in")
    node = panel.state.result.segmentation_node
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    assert "About" not in panel.ui.estimateLabel.text, "what it took is known, what it would take is of no interest"

    result = panel.state.result
    panel.host.click(panel.ui.copyTableButton)
    lines = [line.split("\t") for line in slicer.app.clipboard().text().split("\n")]
    assert lines[0] == ["Structure", "Volume (mL)", "Voxels", "Mean", "SD"] and len(lines) == 3
    assert float(lines[1][1]) == pytest.approx(result.stats[0]["volume_ml"], rel=1e-5)
    path = tmp_path / "tabelle ä.csv"
    panel.host.dialogs.answer(str(path))
    panel.host.click(panel.ui.saveTableButton)
    assert list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines())) == lines
    panel.host.dialogs.answer(str(tmp_path / "no folder" / "x.csv"))
    panel.host.click(panel.ui.saveTableButton)
    assert "cannot be written" in panel.message
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert table.GetNumberOfRows() == 2 and table.GetColumnName(3) == "Mean"


def test_intensities_of_a_ct_are_in_hounsfield_units_and_formulas_stay_text():
    from types import SimpleNamespace

    from Rep3DSegmentationLib.statistics import table
    from Rep3DSegmentationWidgets.results_panel import islands_text, table_rows

    stats = [{"name": "=1+1", "key": "a", "volume_ml": 1.5, "voxels": 3, "mean": None, "sd": None}]
    result = SimpleNamespace(unit="HU", stats=stats, settings={"islands": {"a": {"components": 2, "ml": 0.75}}})
    assert table_rows(result)[0][3:] == ["Mean (HU)", "SD (HU)"] and table_rows(result)[1][0] == "'=1+1"
    assert islands_text(result) == "Small islands removed: =1+1 0.750 mL."
    result.settings["islands"] = {key: {"components": 1, "ml": ml} for key, ml in zip("bcdef", (1, 20, 3, 0.5, 4))}
    assert islands_text(result) == "Small islands removed: c 20.0 mL, f 4.00 mL, d 3.00 mL, 1.50 mL in 2 more."
    node = table(stats, "T", "HU")
    assert node.GetColumnName(3) == "Mean (HU)" and node.GetColumnUnitLabel("Mean (HU)") == "HU"
    slicer.mrmlScene.RemoveNode(node)


def test_small_islands_are_removed_as_asked_or_as_the_weights_say(panel, made_up):
    panel.volume(made_up)
    assert not panel.ui.islandsCheckBox.checked and panel.parameters.choices.islands is None
    row = panel.state.catalog.weights_used("msd-hippocampus")
    row["remove_islands"] = True
    panel.widget.context.refresh()
    assert panel.ui.islandsCheckBox.checked and panel.parameters.choices.islands is None
    panel.host.click(panel.ui.islandsCheckBox)
    assert panel.parameters.choices.islands is False
    panel.host.click(panel.ui.islandsCheckBox)
    panel.run()
    assert panel.state.result.settings["islands"] is not None and "small islands" in panel.ui.resultLabel.text.lower()
    panel.choose_task("openkbp")
    assert panel.parameters.choices.islands is None, "that choice was about other weights"
    del row["remove_islands"]
