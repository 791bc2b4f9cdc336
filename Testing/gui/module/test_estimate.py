"""What is said of memory and time before a run, and when it is asked anew."""

from __future__ import annotations

import slicer


def estimated(panel, volume) -> dict:
    """The worker's answer for that volume, free to be changed."""
    panel.ui.volumeSelector.setCurrentNode(volume)
    panel.choose_task("msd-hippocampus")
    panel.options()
    panel.host.click(panel.ui.estimateButton)
    panel.wait_idle()
    return panel.state.estimate.answer


def test_memory_of_a_gpu_is_told_beside_that_of_the_computer(panel, made_up):
    answer = estimated(panel, panel.volume(made_up))
    assert "GPU" not in panel.ui.estimateLabel.text and "free memory" in panel.ui.estimateLabel.text
    answer |= {"device": "cuda:0", "device_memory_bytes": 2 * 10**9, "device_memory_free_bytes": 10**10}
    panel.widget.context.refresh()
    assert "2.0 GB of GPU memory, 10.0 GB more are free there" in panel.ui.estimateLabel.text
    answer["memory_bytes"] = 900 * 10**9
    panel.apply()
    text = panel.ui.confirmLabel.text
    assert "needs about 900.0 GB of this computer's memory" in text and "cuda" not in text, "it is not the GPU's"
    assert "overlap" not in text, "overlap changes the time alone"
    panel.host.click(panel.ui.declineButton)


def test_time_of_all_frames_counts(panel, made_up):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "beats")
    for frame in range(2):
        node = slicer.util.addVolumeFromArray(made_up.transpose(2, 1, 0), name="frame")
        sequence.SetDataNodeAtValue(node, str(frame))
        slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    estimated(panel, browser.GetProxyNode(sequence))["seconds"] = 2000.0
    panel.widget.context.refresh()
    assert panel.ui.estimateLabel.text.startswith("About 33 min 20 s")
    panel.host.click(panel.ui.framesCheckBox)
    assert panel.ui.estimateLabel.text.startswith("About 1 h 6 min")
    panel.apply()
    assert "takes about 1 h 6 min" in panel.ui.confirmLabel.text
    panel.host.click(panel.ui.declineButton)


def test_an_estimate_is_made_anew_after_a_no_and_after_the_weights_changed(panel, made_up):
    answer = estimated(panel, panel.volume(made_up))
    answer["memory_bytes"] = 900 * 10**9
    panel.apply()
    panel.host.click(panel.ui.declineButton)  # say, to close other programs
    assert panel.state.estimate is None
    assert estimated(panel, panel.ui.volumeSelector.currentNode()) is not answer
    panel.options()
    panel.host.click(panel.ui.deviceRefreshButton)
    panel.host.wait_until(lambda: not panel.state.loading, 20)
    assert panel.state.estimate is None


def test_a_backend_that_is_not_found_is_told_when_the_tasks_are_loaded(panel, monkeypatch, tmp_path):
    from Rep3DSegmentationLib.session import close_client

    close_client()
    with monkeypatch.context() as patch:
        patch.setenv("REP3D_BACKEND", str(tmp_path))
        panel.widget.panels.load_catalog()
        assert not panel.state.loading and "does not hold the package rep3d" in panel.message
    panel.widget.panels.load_catalog()
    panel.host.wait_until(lambda: not panel.state.loading, 60)
    assert panel.state.catalog is not None
