"""Batch: a folder of scans becomes a folder of results; one bad scan does not stop the others."""

from __future__ import annotations

import shutil

import numpy as np


def start(panel, scans, results) -> None:
    panel.choose_task("msd-hippocampus")
    panel.options()
    panel.overlap(0.0)
    panel.ui.batchSection.collapsed = False
    panel.host.process_events()
    assert "folder with the scans" in panel.ui.batchRunButton.toolTip
    panel.ui.batchInputPath.setCurrentPath(str(scans))
    assert "folder for the results" in panel.ui.batchRunButton.toolTip
    panel.ui.batchOutputPath.setCurrentPath(str(results))
    assert panel.parameters.choices.batch_input == str(scans)


def table(panel) -> list[tuple[str, ...]]:
    widget = panel.ui.batchTable
    return [tuple(widget.item(row, column).text() for column in range(3)) for row in range(widget.rowCount)]


def test_a_folder_is_segmented_and_a_bad_scan_is_named(panel, data, hippocampus, backend, tmp_path):
    scans, results = tmp_path / "scans ä", tmp_path / "results"
    scans.mkdir()
    shutil.copy(hippocampus.path, scans / "good.nii.gz")
    (scans / "bad.nii.gz").write_bytes(b"not a scan")
    start(panel, scans, results)
    panel.host.click(panel.ui.batchRunButton)
    assert not panel.ui.applyButton.enabled and panel.ui.applyButton.toolTip == "<p>A batch is running.</p>"
    assert panel.ui.batchCancelButton.enabled and panel.ui.batchProgressBar.visible
    panel.wait_idle()
    assert "1 done, 0 skipped, 1 failed" in panel.message
    found = {row[0]: row[1:] for row in table(panel)}
    assert found["good.nii.gz"][0] == "Done" and found["bad.nii.gz"][0] == "Failed"
    assert "bad.nii.gz" in found["bad.nii.gz"][1]
    from rep3d.data.reading import read_labelmap

    truth = backend(hippocampus, "msd-hippocampus", overlap=0.0)
    written = read_labelmap(results / "good_seg.nii.gz")
    np.testing.assert_array_equal(written.array, truth.labelmap)
    assert "good.nii.gz" in panel.ui.logText.toPlainText()

    (scans / "bad.nii.gz").unlink()
    panel.host.click(panel.ui.batchRunButton)
    panel.wait_idle()
    assert "0 done, 1 skipped, 0 failed" in panel.message


def test_a_batch_is_stopped_and_a_missing_folder_is_named(panel, data, head_and_neck, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("a", "b"):
        shutil.copy(head_and_neck.path, scans / f"{name}.nii.gz")
    start(panel, scans, tmp_path / "results")
    panel.choose_task("openkbp")
    panel.overlap(0.9)
    panel.host.click(panel.ui.batchRunButton)
    panel.wait_job("batch", fraction=0.0)
    panel.host.click(panel.ui.batchCancelButton)
    assert panel.ui.batchStageLabel.text == "Cancelling"
    panel.wait_idle(15)
    assert "cancelled" in panel.message.lower() and not list((tmp_path / "results").glob("*_seg*"))

    panel.ui.batchInputPath.setCurrentPath(str(tmp_path / "nowhere"))
    panel.host.click(panel.ui.batchRunButton)
    panel.wait_idle()
    assert "nowhere" in panel.message and "no such file or folder" in panel.message
