"""What goes wrong during a run is said in the panel, changes nothing in the scene, and the next Apply works."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk


def ready(panel, scan, task: str, overlap: float, name: str = "scan"):
    """A volume in the scene and everything chosen."""
    volume = panel.volume(scan.array, scan.affine, name)
    panel.choose_task(task)
    panel.options()
    panel.overlap(overlap)
    return volume


def results() -> list:
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode") + slicer.util.getNodesByClass("vtkMRMLTableNode")


def client_of(panel):
    return panel.widget.context.client()


def arrays(panel) -> list[str]:
    """Array files in the worker's private folder."""
    folder = client_of(panel).folder
    return sorted(path.name for path in folder.iterdir()) if folder else []


def test_cancel_then_a_dead_worker_then_apply_works(panel, head_and_neck, hippocampus):
    ready(panel, head_and_neck, "openkbp", 0.9)
    panel.apply()
    panel.wait_job("segment", fraction=0.01)
    assert "window" in panel.ui.stageLabel.text
    panel.host.wait_until(lambda: "left" in panel.ui.stageLabel.text, 20)
    panel.host.click(panel.ui.cancelButton)
    assert not panel.ui.cancelButton.enabled and panel.ui.stageLabel.text == "Cancelling"
    panel.wait_idle(10)
    assert "cancelled" in panel.message.lower() and panel.ui.applyButton.enabled
    assert not results() and not arrays(panel)

    first = client_of(panel).pid
    panel.apply()
    panel.wait_job("segment", fraction=0.0)
    os.kill(first, getattr(signal, "SIGKILL", signal.SIGTERM))
    panel.wait_idle(20)
    assert "ended unexpectedly" in panel.message and "next run starts a new one" in panel.message
    assert not results() and panel.ui.applyButton.enabled
    assert "ended unexpectedly" in panel.ui.logText.toPlainText()

    slicer.mrmlScene.RemoveNode(panel.ui.volumeSelector.currentNode())
    ready(panel, hippocampus, "msd-hippocampus", 0.0)
    panel.run()
    assert panel.message.startswith("Done in"), panel.message
    assert client_of(panel).pid != first and len(results()) == 2 and not arrays(panel)


def test_the_volume_is_deleted_during_a_run(panel, head_and_neck):
    volume = ready(panel, head_and_neck, "openkbp", 0.9, "short-lived")
    panel.apply()
    panel.wait_job("segment", fraction=0.0)
    slicer.mrmlScene.RemoveNode(volume)
    panel.wait_idle(10)
    assert "short-lived was deleted during the run" in panel.message
    assert panel.ui.applyButton.toolTip == "<p>Choose a volume.</p>" and not panel.ui.applyButton.enabled
    assert not results()


def test_the_scene_is_closed_during_a_run(panel, head_and_neck, hippocampus):
    ready(panel, head_and_neck, "openkbp", 0.9)
    panel.apply()
    panel.wait_job("segment", fraction=0.0)
    panel.host.close_scene()
    panel.wait_idle(10)
    assert "scene was closed during the run" in panel.message
    assert panel.parameters is not None and panel.parameters.node.GetScene() is slicer.mrmlScene
    assert not results()
    ready(panel, hippocampus, "msd-hippocampus", 0.0)
    panel.run()
    assert panel.message.startswith("Done in"), panel.message


def test_the_scene_is_closed_while_the_estimate_is_made(panel, hippocampus):
    ready(panel, hippocampus, "msd-hippocampus", 0.1)
    panel.apply()
    assert panel.state.job.kind == "estimate"
    panel.host.close_scene()
    panel.wait_idle()
    assert panel.message == "Not started: the scene or the choices changed meanwhile." and not results()


def test_a_full_disk_is_named(panel, made_up, monkeypatch):
    panel.volume(made_up)
    panel.choose_task("msd-hippocampus")

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    panel.run()
    assert "No space left" in panel.message and "free space on that disk" in panel.message
    monkeypatch.undo()
    panel.run()
    assert panel.message.startswith("Done in"), panel.message


def test_a_run_that_needs_too_much_or_is_long_waits_for_a_word(panel, made_up, monkeypatch):
    panel.volume(made_up)
    panel.choose_task("msd-hippocampus")
    panel.options()
    panel.host.click(panel.ui.estimateButton)
    panel.wait_idle()
    assert panel.ui.estimateLabel.text.startswith("About ") and not results()
    answer = panel.state.estimate.answer

    answer["memory_bytes"], free = 900 * 10**9, answer["memory_free_bytes"]
    panel.apply()
    assert panel.state.job is None and panel.ui.confirmFrame.visible
    assert "needs about 900.0 GB of this computer's memory" in panel.ui.confirmLabel.text
    assert not panel.ui.applyButton.enabled and panel.ui.applyButton.toolTip == "<p>Answer the question above.</p>"
    panel.host.click(panel.ui.declineButton)
    assert not panel.ui.confirmFrame.visible and not results()

    panel.host.click(panel.ui.estimateButton)
    panel.wait_idle()
    answer = panel.state.estimate.answer
    answer["memory_bytes"], answer["seconds"] = free // 10, 4000.0
    panel.apply()
    assert "takes about 1 h 6 min" in panel.ui.confirmLabel.text
    panel.options()
    panel.overlap(0.2)
    assert not panel.ui.confirmFrame.visible, "a question about other choices is withdrawn"
    panel.overlap(0.5)
    panel.apply()
    panel.host.click(panel.ui.confirmButton)
    panel.wait_idle()
    assert panel.message.startswith("Done in") and len(results()) == 2


def test_a_worker_that_cannot_start_is_told_and_tried_again(panel, slicer_host, made_up, monkeypatch, tmp_path):
    from Rep3DSegmentationLib.session import close_client

    panel.volume(made_up)
    panel.choose_task("msd-hippocampus")
    close_client()
    monkeypatch.setenv("REP3D_BACKEND", str(tmp_path))
    panel.run()
    assert "does not hold the package rep3d" in panel.message and "REP3D_BACKEND" in panel.message
    broken = tmp_path / "broken"
    (broken / "rep3d" / "worker").mkdir(parents=True)
    source = Path(__file__).parents[3] / "backend" / "rep3d" / "worker"
    for name in ("protocol.py", "folder.py"):
        (broken / "rep3d" / "worker" / name).write_bytes((source / name).read_bytes())
    (broken / "rep3d" / "__init__.py").touch()
    (broken / "rep3d" / "worker" / "__init__.py").touch()
    (broken / "rep3d" / "worker" / "__main__.py").write_text("import a_package_that_is_missing\n", encoding="utf-8")
    monkeypatch.setenv("REP3D_BACKEND", str(broken))
    panel.run()
    assert "could not start" in panel.message and "a_package_that_is_missing" in panel.message
    monkeypatch.undo()
    panel.run()
    assert panel.message.startswith("Done in"), panel.message


@pytest.mark.parametrize("what", ["vector", "empty", "none"])
def test_volumes_that_cannot_be_segmented_are_refused_with_the_reason(panel, what, made_up):
    from Rep3DSegmentationLib.parameters import VOLUME

    panel.choose_task("msd-hippocampus")
    if what == "vector":
        node = slicer.util.addVolumeFromArray(
            np.zeros((4, 5, 6, 3), np.uint8), name="photo", nodeClassName="vtkMRMLVectorVolumeNode"
        )
        text = "photo is a vector volume"
    elif what == "empty":
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "void")
        text = "void has no voxels"
    else:
        node, text = None, "Choose a volume."
    panel.parameters.set_reference(VOLUME, node)
    assert not panel.ui.applyButton.enabled and text in panel.ui.applyButton.toolTip
    assert text in panel.ui.hintLabel.text
    panel.widget.panels.run.apply()
    assert panel.state.job is None


def test_a_nonlinear_transform_asks_for_a_hardened_copy(panel, hippocampus):
    volume = ready(panel, hippocampus, "msd-hippocampus", 0.0, "bent")
    assert not panel.ui.hardenFrame.visible
    points = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(2, 2, 2):
        place = (hippocampus.affine @ [*(np.array(corner) * (np.array(hippocampus.shape) - 1)), 1])[:3]
        source.InsertNextPoint(*place)
        target.InsertNextPoint(*(place + (2.0 if sum(corner) % 2 else -2.0)))
    points.SetSourceLandmarks(source)
    points.SetTargetLandmarks(target)
    points.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bend")
    node.SetAndObserveTransformToParent(points)
    volume.SetAndObserveTransformNodeID(node.GetID())
    panel.host.process_events()
    assert panel.ui.hardenFrame.visible and "bent" in panel.ui.hardenLabel.text
    assert not panel.ui.applyButton.enabled and "non-linear transform" in panel.ui.applyButton.toolTip
    panel.host.click(panel.ui.hardenCheckBox)
    panel.run()
    assert panel.message.startswith("Done in"), panel.message
    assert "hardened copy" in panel.ui.warningsLabel.text and panel.ui.warningsFrame.visible
    segmentation = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
    assert segmentation.GetParentTransformNode() is None and volume.GetParentTransformNode() is node
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1
