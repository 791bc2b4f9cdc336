"""Scans to try the module with: beside the volume, and in Slicer's module Sample Data."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[3] / "Rep3DSegmentation"


@pytest.fixture
def sample_data(slicer_host, monkeypatch):
    monkeypatch.syspath_prepend(str(MODULE))
    from Rep3DSegmentationWidgets import sample_data

    return sample_data


def test_it_is_registered_once_with_a_picture(sample_data):
    import slicer

    sample_data.register_sample_data()
    sample_data.register_sample_data()
    (source,) = slicer.modules.sampleDataSources[sample_data.CATEGORY]
    assert source.sampleName == "Rep3DPhantom" and source.customDownloader is sample_data.load_phantom
    assert Path(source.thumbnailFileName).is_file()
    assert len(source.uris) == len(source.fileNames) == len(source.nodeNames) == 1


def test_a_slicer_without_the_module_sample_data_starts_quietly(sample_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "SampleData", None)
    sample_data.register_sample_data()


def test_the_button_generates_the_tasks_scan_and_chooses_it(panel):
    import slicer

    ui = panel.ui
    assert panel.parameters.choices.task == "phantom-abdomen", "in an empty scene: what a scan can be made for"
    assert "no patient is behind it" in ui.sampleButton.toolTip
    panel.host.click(ui.sampleButton)
    node = ui.volumeSelector.currentNode()
    array = slicer.util.arrayFromVolume(node)
    assert node.GetName() == "Rep3DPhantom" and node.GetSpacing() == pytest.approx((1.8, 1.8, 3.0), abs=1e-4)
    assert array.min() < -900 and 200 < array.max() < 4000  # air and bone, in HU
    assert 20 < (abs(array - 60) < 60).mean() * 100 < 90  # soft tissue
    assert node.GetStorageNode() is None and panel.parameters.choices.task == "phantom-abdomen"
    assert slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetBackgroundLayer().GetVolumeNode() is node


def test_where_no_scan_fits_it_is_said(panel):
    panel.choose_task("msd-hippocampus")
    assert panel.ui.sampleButton.toolTip == "<p>There is no sample scan for this task.</p>"
    panel.host.click(panel.ui.sampleButton)
    assert panel.message.startswith("No sample scan fits this task.") and panel.state.job is None


def test_slicers_own_sample_data(panel, made_up, monkeypatch):
    import SampleData

    asked = []

    def download(_self, name):
        asked.append(name)
        if len(asked) == 1:
            raise OSError("no network")
        return [panel.volume(made_up, name="Panoramix-cropped")]

    monkeypatch.setattr(SampleData.SampleDataLogic, "downloadSample", download, raising=False)
    panel.choose_task("amos-ct")
    panel.host.click(panel.ui.sampleButton)
    assert "CTAAbdomenPanoramix could not be downloaded: no network" in panel.message and panel.state.job is None
    panel.host.click(panel.ui.sampleButton)
    assert asked[1] == "CTAAbdomenPanoramix" and panel.ui.volumeSelector.currentNode().GetName() == "Panoramix-cropped"
    assert panel.parameters.choices.task == "amos-ct"
    monkeypatch.setitem(sys.modules, "SampleData", None)
    panel.host.click(panel.ui.sampleButton)
    assert "has no module Sample Data" in panel.message


def test_failure_and_cancel_of_the_generator_are_told(sample_data, monkeypatch):
    from Rep3DSegmentationLib.errors import WorkerError

    with pytest.raises(WorkerError) as error:
        sample_data.generate_phantom(lambda: True)
    assert error.value.code == "cancelled"
    told = []
    monkeypatch.setattr(sample_data, "find_python", lambda: sys.executable + " is not here")
    monkeypatch.setattr(sample_data.slicer.util, "errorDisplay", told.append)
    assert sample_data.load_phantom() is None and "not here" in told[0]
