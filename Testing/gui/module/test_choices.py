"""Choices and the panel follow each other, live with the scene, and survive reload; opening Slicer starts nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import slicer


def test_choices_go_from_the_panel_to_the_node_and_back(panel, made_up):
    volume = panel.volume(made_up)
    panel.choose_task("openkbp")
    panel.options()
    ui, parameters = panel.ui, panel.parameters
    assert parameters.choices.task == "openkbp" and parameters.node.GetNodeReference("InputVolume") is volume
    panel.host.choose(ui.qualitySelector, "Best: slower, mirrored copies")
    assert (parameters.choices.overlap, parameters.choices.tta) == (0.75, True) and ui.ttaCheckBox.checked
    panel.host.click(ui.ttaCheckBox)
    assert parameters.choices.tta is False and ui.qualitySelector.currentText == "Custom"
    ui.structuresList.item(1).setCheckState(0)
    assert parameters.choices.wanted("openkbp") == ("brainstem", "right-parotid", "left-parotid", "mandible")
    panel.choose_task("msd-hippocampus")
    assert parameters.choices.wanted("msd-hippocampus") is None and ui.structuresList.count == 2

    parameters.set(task="openkbp", overlap=0.6, device="cpu", tta=True)
    assert ui.overlapSlider.value == 0.6 and ui.ttaCheckBox.checked
    assert ui.deviceSelector.currentText.startswith("CPU")
    assert ui.taskSelector.currentText.startswith("Head-and-neck")
    assert ui.structuresList.item(1).checkState() == 0, "the choice of structures comes back with its task"
    assert ui.applyButton.enabled


def test_what_is_stored_but_not_there_is_shown_and_stops_apply(panel, made_up):
    panel.volume(made_up)
    panel.choose_task("msd-hippocampus")
    panel.options()
    assert panel.ui.applyButton.enabled
    panel.parameters.set(device="cuda:7")
    assert panel.ui.deviceSelector.currentText == "cuda:7 (not available)"
    assert "cuda:7 is not available" in panel.ui.applyButton.toolTip and not panel.ui.applyButton.enabled
    panel.parameters.set(device="auto", weights="/gone/mine.safetensors")
    assert panel.ui.weightsSelector.currentText == "mine.safetensors (not found)"
    assert "mine.safetensors was not found" in panel.ui.applyButton.toolTip
    other = next(row["path"] for row in panel.state.catalog.weights if row["task"] == "openkbp")
    panel.parameters.set(weights=other)
    assert "does not fit the task" in panel.ui.applyButton.toolTip, "weights of another task"
    panel.parameters.set(weights="", task="teeth")
    assert panel.ui.taskSelector.currentText == "teeth (not available)" and not panel.ui.applyButton.enabled
    panel.choose_task("amos-ct")
    assert "No weights for this task" in panel.ui.applyButton.toolTip
    assert "import a file under Advanced, Weights" in panel.ui.taskDetailsLabel.text


def test_choices_are_saved_with_the_scene(panel, made_up, tmp_path):
    volume = panel.volume(made_up, name="kept")
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(1, 2, 3)
    roi.SetSize(20, 20, 20)
    panel.choose_task("openkbp")
    panel.options()
    panel.host.choose(panel.ui.roiSelector, "box")
    panel.overlap(0.35)
    panel.ui.structuresList.item(0).setCheckState(0)
    before = panel.parameters.choices
    path = tmp_path / "my scene" / "sälen.mrml"
    path.parent.mkdir()
    slicer.util.saveNode(volume, str(path.with_name("kept.nrrd")))
    panel.host.save_scene(path)
    panel.host.close_scene()
    assert panel.parameters.choices.task == "phantom-abdomen" and panel.ui.overlapSlider.value == 0.5
    panel.host.load_scene(path)
    assert panel.parameters.choices == before
    assert panel.ui.overlapSlider.value == 0.35 and panel.ui.roiSelector.currentNode().GetName() == "box"
    assert panel.ui.volumeSelector.currentNode().GetName() == "kept"
    assert panel.ui.structuresList.item(0).checkState() == 0
    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    assert [node.GetAttribute("ModuleName") for node in nodes].count("Rep3DSegmentation") == 1


def test_deleting_chosen_nodes_is_noticed(panel, made_up):
    panel.volume(made_up, name="first")
    panel.choose_task("msd-hippocampus")
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(0, 0, 0)
    roi.SetSize(30, 30, 30)
    panel.options()
    panel.host.choose(panel.ui.roiSelector, "box")
    assert panel.ui.applyButton.enabled
    slicer.mrmlScene.RemoveNode(roi)
    assert panel.ui.roiSelector.currentNode() is None and panel.ui.applyButton.enabled
    slicer.mrmlScene.RemoveNode(panel.ui.volumeSelector.currentNode())
    panel.host.process_events()
    assert not panel.ui.applyButton.enabled and panel.ui.applyButton.toolTip == "<p>Choose a volume.</p>"


def test_a_deleted_parameter_node_is_made_again(panel, made_up):
    panel.volume(made_up)
    panel.choose_task("openkbp")
    slicer.mrmlScene.RemoveNode(panel.parameters.node)
    panel.host.process_events()
    assert panel.parameters.node.GetScene() is slicer.mrmlScene and panel.parameters.choices.task == "msd-hippocampus"
    panel.choose_task("openkbp")
    assert panel.parameters.choices.task == "openkbp"


def test_a_result_that_is_deleted_can_no_longer_be_opened(panel, hippocampus):
    panel.volume(hippocampus.array, hippocampus.affine)
    panel.choose_task("msd-hippocampus")
    panel.run()
    assert panel.ui.editButton.enabled and panel.show_3d.enabled
    slicer.mrmlScene.RemoveNode(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0])
    assert not panel.ui.editButton.enabled and not panel.show_3d.enabled
    assert "no longer in the scene" in panel.ui.resultLabel.text
    panel.host.close_scene()
    assert not panel.ui.resultsSection.visible and panel.ui.resultsTable.rowCount == 0


def test_frames_are_offered_for_a_sequence_and_all_are_segmented(panel, hippocampus):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "beats")
    for frame in range(2):
        node = slicer.util.addVolumeFromArray(
            hippocampus.array.transpose(2, 1, 0) * (1 + frame / 10), ijkToRAS=hippocampus.affine, name="frame"
        )
        sequence.SetDataNodeAtValue(node, str(frame))
        slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    volume = browser.GetProxyNode(sequence)
    panel.ui.volumeSelector.setCurrentNode(volume)
    panel.choose_task("msd-hippocampus")
    assert panel.ui.framesCheckBox.visible and panel.ui.framesCheckBox.text == "All 2 frames of the sequence"
    panel.host.click(panel.ui.framesCheckBox)
    panel.run()
    assert panel.message.startswith("Done in"), panel.message
    made = [s for s in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if s is not sequence]
    assert len(made) == 1 and made[0].GetNumberOfDataNodes() == 2


def test_reload_stops_the_worker_and_reads_every_file_again(panel, made_up):
    panel.volume(made_up)
    panel.choose_task("openkbp")
    panel.overlap(0.3)
    client, widget, poller = panel.widget.context.client(), panel.widget, panel.widget.context.poller
    packages = {name: sys.modules[name] for name in ("Rep3DSegmentationLib.run", "Rep3DSegmentationWidgets.run_panel")}
    assert client.is_running()
    widget.onReload()
    assert not client.is_running() and not poller.is_active() and widget.context.closed
    panel = type(panel)(panel.host)
    assert panel.widget is not widget
    for name, old in packages.items():
        assert sys.modules[name] is not old
    panel.enter()
    assert panel.parameters.choices.task == "openkbp" and panel.parameters.choices.overlap == 0.3
    assert panel.ui.applyButton.enabled
    panel.parameters.set(overlap=0.4)
    assert panel.ui.overlapSlider.value == 0.4 and widget.ui.overlapSlider.value == 0.3, "the old panel is deaf"


def test_reload_during_a_run_ends_the_run(panel, made_up):
    panel.volume(made_up)
    panel.choose_task("msd-hippocampus")
    panel.parameters.set(tta=True)
    panel.apply()
    panel.wait_job("segment")
    client = panel.widget.context.client()
    panel.widget.onReload()
    assert not client.is_running() and client.folder is None
    panel = type(panel)(panel.host)
    panel.enter()
    assert panel.state.job is None and panel.ui.applyButton.enabled
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_leaving_the_module_lets_a_run_go_on(panel, hippocampus):
    panel.volume(hippocampus.array, hippocampus.affine)
    panel.choose_task("msd-hippocampus")
    panel.apply()
    panel.wait_job("segment")
    panel.host.select_module("SegmentEditor")
    panel.wait_idle()
    made = [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if "hippocampus" in node.GetName()]
    assert len(made) == 1  # the editor has made an empty one of its own
    assert not panel.widget.context.poller.is_active(), "nothing ticks when nothing is expected"
    panel.enter()
    assert panel.message.startswith("Done in")


def test_the_log_is_copied(panel):
    panel.options()
    panel.ui.logSection.collapsed = False
    panel.host.process_events()
    panel.host.click(panel.ui.logClearButton)
    panel.widget.context.log("warning", "something to report")
    panel.host.click(panel.ui.logCopyButton)
    text = slicer.app.clipboard().text()
    assert "warning: something to report" in text and text == panel.ui.logText.toPlainText()


def test_loading_the_module_starts_nothing():
    """In a process of its own: after loading there is no worker, no timer, no torch and no parameter node."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from slicerhost import Host
host = Host.start()
loaded = host.load_module(sys.argv[2])
import slicer
from Rep3DSegmentationLib import session
assert session._client is None, "a client was made"
assert not loaded.widget.context.poller.is_active()
assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 0
heavy = {"torch", "monai", "rep3d.inference", "SimpleITK", "yaml", "safetensors"} & set(sys.modules)
assert not heavy, heavy
assert loaded.widget.ui.applyButton.enabled is False
assert not host.errors, host.errors
print("nothing")
"""
    testing = Path(__file__).parents[2]
    module = testing.parent / "Rep3DSegmentation" / "Rep3DSegmentation.py"
    command = [sys.executable, "-c", code, str(testing), str(module)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stdout.strip().endswith("nothing"), done.stdout + done.stderr


def test_the_self_test_of_desktop_slicer_passes(panel):
    panel.loaded.instance.runTest(msec=1)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
