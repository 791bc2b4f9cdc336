"""A small task, networks with a known answer, and tiny weights for the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.data.volume import Volume
from rep3d.tasks import Intensity, Task, load_task
from torch import nn


class Threshold(nn.Module):
    """Class 1 where the input is above one half, class 2 above four fifths, 0 elsewhere; 0..``classes`` - 1 in all."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.classes = classes
        self.windows = 0

    def forward(self, x_BCDHW):
        self.windows += 1
        x = x_BCDHW[:, :1]
        low = torch.zeros_like(x)
        rest = [low - 1] * (self.classes - 3)
        return torch.cat([low, x - 0.5, 2 * x - 1.3, *rest], dim=1)


@pytest.fixture
def threshold() -> Threshold:
    return Threshold()


@pytest.fixture
def small_task() -> Task:
    """Two structures on CT between 0 and 100 HU, 1 mm voxels, patch 16."""
    task = load_task("openkbp")
    return replace(
        task,
        labels=task.labels[:2],
        spacing_mm=(1.0, 1.0, 1.0),
        patch=(16, 16, 16),
        intensity=Intensity((0, 100), None),
    )


@pytest.fixture
def scan() -> Volume:
    """A CT-like volume [24, 30, 20] at 1 mm: air, a soft-tissue ball, a dense core."""
    x = np.stack(np.meshgrid(*map(np.arange, (24, 30, 20)), indexing="ij"), -1) - [12, 14, 10]
    radius = np.linalg.norm(x, axis=-1)
    array = np.where(radius < 8, 60.0, -1000.0)
    array[radius < 4] = 95
    return Volume(array.astype(np.float32), np.eye(4))


@pytest.fixture
def scan_file(tmp_path, scan) -> Path:
    path = tmp_path / "scans" / "ball.nii.gz"
    return write_scan(path, scan)


def write_scan(path: Path, volume: Volume) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(volume.array.transpose(2, 1, 0).astype(np.int16))
    volume.grid.apply_to(image)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def save_scan():
    return write_scan


@pytest.fixture
def tiny_weights(tmp_path, small_task, monkeypatch) -> Path:
    """Random weights of the smallest network for ``small_task``; the operator's choice is fixed to keep this fast."""
    from rep3d.networks import create_network
    from rep3d.weights import WeightsMeta, save_weights

    monkeypatch.setenv("REP3D_CONV_ALGORITHM", "fft")
    task = replace(small_task, patch=(32, 32, 32))  # the least that the network takes
    torch.manual_seed(0)
    net = create_network("rep3d-tiny", in_channels=1, out_channels=3, deployed=True)
    meta = WeightsMeta(
        id="tiny",
        task=task,
        network=net.spec,
        patch=task.patch,
        spacing_mm=small_task.spacing_mm,
        intensity=small_task.intensity,
        training={},
        data_sha256="",
        created="2026-01-01T00:00:00+00:00",
        rep3d_version="0.1.0",
        licence="CC0-1.0",
    )
    path = tmp_path / "weights" / "openkbp.safetensors"
    path.parent.mkdir()
    save_weights(path, net.state_dict(), meta)
    return path
