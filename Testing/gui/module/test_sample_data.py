"""The scan that the module offers in Slicer's Sample Data module."""

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


def test_it_is_generated_and_loaded(sample_data, slicer_host):
    import slicer

    node = sample_data.load_phantom()
    array = slicer.util.arrayFromVolume(node)
    assert node.GetName() == "Rep3DPhantom" and node.GetSpacing() == pytest.approx((1.8, 1.8, 3.0), abs=1e-4)
    assert array.min() < -900 and 200 < array.max() < 4000  # air and bone, in HU
    assert 20 < (abs(array - 60) < 60).mean() * 100 < 90  # soft tissue
    assert node.GetStorageNode() is None


def test_missing_packages_are_told(sample_data, slicer_host, monkeypatch):
    from Rep3DSegmentationLib.dependencies import DependencyReport

    told = []
    monkeypatch.setattr(sample_data.dependencies, "check", lambda: DependencyReport(False, (), "torch is missing."))
    monkeypatch.setattr(sample_data.slicer.util, "errorDisplay", told.append)
    assert sample_data.load_phantom() is None
    assert "torch is missing." in told[0] and "Setup" in told[0]


def test_failure_of_the_generator_is_told(sample_data, slicer_host, monkeypatch):
    told = []
    monkeypatch.setattr(sample_data, "OPTIONS", ("--phase", "blue"))
    monkeypatch.setattr(sample_data.slicer.util, "errorDisplay", told.append)
    assert sample_data.load_phantom() is None and "blue" in told[0]
    monkeypatch.setattr(sample_data, "slicer_python", lambda: sys.executable + " is not here")
    assert sample_data.load_phantom() is None and "not here" in told[1]
