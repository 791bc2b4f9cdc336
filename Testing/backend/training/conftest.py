"""A tiny data set in the images/ + labels/ layout: blobs of two brightnesses with their label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk


def write_case(image_path: Path, label_path: Path, seed: int, size=(30, 34, 28)) -> None:
    """One scan: two boxes in noise, on an LPS grid of 1 mm; the label map lies on the same grid."""
    rng = np.random.default_rng(seed)
    label = np.zeros(size, np.uint8)
    x, y, z = rng.integers(4, 9, 3)
    label[x : x + 9, y : y + 9, z : z + 9] = 1
    label[x : x + 9, y + 9 : y + 17, z : z + 9] = 2
    image = rng.normal(100, 10, size) + 60.0 * label
    for path, array in ((image_path, image.astype(np.int16)), (label_path, label)):
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(array.transpose(2, 1, 0)), str(path))


def make_dataset(root: Path, count: int = 10) -> Path:
    for i in range(count):
        write_case(root / "images" / f"case_{i:02d}.nii.gz", root / "labels" / f"case_{i:02d}.nii.gz", seed=i)
    return root


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """Ten cases; by the hippocampus policy 4 and 9 are test, one is val, seven are train."""
    return make_dataset(tmp_path_factory.mktemp("tiny data"))


@pytest.fixture
def case_writer():
    return write_case


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
