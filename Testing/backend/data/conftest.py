"""Small images with known voxels and grids, in every format that Rep3D reads."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.prepare import PrepareConfig, prepare
from rep3d.tasks import load_task

from .layout_trees import scans_msd


@pytest.fixture
def voxels() -> np.ndarray:
    """A small CT-like array [X, Y, Z] whose voxels all differ."""
    return np.random.default_rng(0).permutation(12 * 10 * 8).reshape(12, 10, 8).astype(np.int16) - 500


@pytest.fixture
def oblique_image(voxels) -> sitk.Image:
    """``voxels`` on an oblique, left-handed, anisotropic grid."""
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    image.SetSpacing((0.7, 1.3, 2.5))
    image.SetOrigin((-31.5, 12.25, 400.125))
    c, s = np.cos(0.3), np.sin(0.3)
    image.SetDirection((c, -s, 0, s, c, 0, 0, 0, -1))
    return image


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """An MSD task of ten small scans."""
    return scans_msd(tmp_path_factory.mktemp("data é") / "Task04_Hippocampus")


@pytest.fixture(scope="session")
def prepared(source, tmp_path_factory):
    """The folder that ``rep3d prepare`` makes of it; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("out") / "pre pared"
    prepare(PrepareConfig("msd", load_task("msd-hippocampus"), workers=1), source, out)
    return out
