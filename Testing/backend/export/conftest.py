"""A tiny network to export, the windows to compare on, and small scans."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.export.agreement import Windows
from rep3d.export.source import Source, load_source

from ..fused_weights import checkpoint, weights_file

__all__ = ["checkpoint", "weights_file"]


@pytest.fixture(scope="session", autouse=True)
def one_algorithm():
    """The operator's choice is fixed: measuring it anew in every test takes longer than the tests."""
    before = os.environ.get("REP3D_CONV_ALGORITHM")
    os.environ["REP3D_CONV_ALGORITHM"] = "fft"
    yield
    if before is None:
        del os.environ["REP3D_CONV_ALGORITHM"]
    else:
        os.environ["REP3D_CONV_ALGORITHM"] = before


@pytest.fixture(scope="session")
def source(weights_file) -> Source:
    return load_source(weights_file)


@pytest.fixture(scope="session")
def random_windows(source) -> Windows:
    generator = torch.Generator().manual_seed(3)
    tensors = tuple(torch.rand(1, 1, *source.meta.patch, generator=generator) for _ in range(2))
    return Windows(tensors, 2, 0, ())


@pytest.fixture(scope="session")
def as_source(source):
    """The same task with another network: as_source(network)."""

    def build(network: torch.nn.Module) -> Source:
        network = network.eval().requires_grad_(False)
        return replace(source, network=network, meta=replace(source.meta, network=network.spec))

    return build


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """Two scans larger than the patch: oblique with flipped, swapped axes and coarse slices, and a plain one."""
    folder = tmp_path_factory.mktemp("scans with a space")
    rng = np.random.default_rng(0)
    turn = np.array([[0, -1, 0], [0.9848, 0, 0.1736], [-0.1736, 0, 0.9848]])
    for name, shape, spacing, direction in (
        ("oblique é", (40, 66, 22), (1.0, 0.7, 2.4), turn),
        ("plain", (50, 34, 36), (1.1, 1.1, 1.0), np.eye(3)),
    ):
        array = np.zeros(shape[::-1], np.float32)  # air, so that the crop to the body has something to do
        body = (slice(4, 16), slice(6, -6), slice(14, 34))
        array[body] = rng.normal(200, 60, array[body].shape)
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        image.SetOrigin((12.0, -30.0, 5.0))
        image.SetDirection(direction.ravel())
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return folder
