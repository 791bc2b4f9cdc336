"""Untrained weights and a scan small enough for a demo in seconds."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.demo import run
from rep3d.fuse import fuse_network, side_tensors
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.weights import WeightsMeta, save_weights

pytest.importorskip("matplotlib")


def write_weights(path: Path, key: str, spacing=None, reparam="lrbm") -> Path:
    """Untrained rep3d-tiny weights for a task, at a patch of 32^3."""
    task = load_task(key)
    task = replace(task, patch=(32, 32, 32), spacing_mm=spacing or task.spacing_mm)
    torch.manual_seed(4)
    net = create_network("rep3d-tiny", in_channels=1, out_channels=task.num_classes, reparam=reparam)
    fused = fuse_network(net, task.patch)
    meta = WeightsMeta(
        id=f"{key}-untrained",
        task=task,
        network=fused.spec,
        patch=task.patch,
        spacing_mm=task.spacing_mm,
        intensity=task.intensity,
        training={"steps": 0},
        data_sha256="",
        created="2026-01-01T00:00:00+00:00",
        rep3d_version="0.1.0",
        licence="Apache-2.0",
    )
    save_weights(path, {**fused.state_dict(), **side_tensors(net)}, meta)
    return path


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """Untrained weights find something in every voxel, which takes long to render at full size."""
    for name in ("overlay", "render"):
        monkeypatch.setattr(run, name, functools.partial(getattr(run, name), width_px=520))


@pytest.fixture
def weights_folder(tmp_path, monkeypatch) -> Path:
    """The user's weights folder, with weights for openkbp and phantom-abdomen."""
    folder = tmp_path / "user weights"
    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(folder))
    write_weights(folder / "openkbp.safetensors", "openkbp")
    write_weights(folder / "phantom-abdomen.safetensors", "phantom-abdomen", (8.0, 8.0, 8.0))
    return folder


@pytest.fixture
def scan_files(tmp_path) -> tuple[Path, Path]:
    """A CT of 40 x 40 x 24 voxels and labels on its grid, under a name with a space and a letter beyond ASCII."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 40, 24)], indexing="ij")
    body = x**2 + y**2 < 0.8
    array = np.where(body, 40 + 30 * rng.standard_normal(x.shape), -1000).astype(np.int16)
    labels = np.zeros(x.shape, np.uint8)
    labels[(x - 0.4) ** 2 + y**2 + z**2 < 0.05] = 3
    scan, truth = tmp_path / "hâls scan.nii.gz", tmp_path / "truth.nii.gz"
    for path, voxels in ((scan, array), (truth, labels)):
        image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
        image.SetSpacing((3.9, 3.9, 2.5))
        image.SetOrigin((-70, -80, 12))
        sitk.WriteImage(image, str(path))
    return scan, truth
