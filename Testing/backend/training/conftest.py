"""A tiny data set in the images/ + labels/ layout: blobs of two brightnesses with their label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.augment import AugmentConfig
from rep3d.tasks import load_task
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.config import TrainConfig
from rep3d.training.run import run_training


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


@pytest.fixture(scope="session")
def config_of():
    """A function: the configuration of a short run on the tiny data set, with changes by name."""

    def config_of(**changes) -> TrainConfig:
        values = dict(
            task="msd-hippocampus", network="rep3d-tiny", network_args={"in_channels": 1, "reparam": "plain"},
            patch=(32, 32, 32), steps=4, batch_size=1, crops_per_volume=1, lr=2e-3, device="cpu", threads=1,
            val_every=2, save_every=1, log_every=1, augment=AugmentConfig.off(),
        )  # fmt: skip
        return TrainConfig(**{**values, **changes})

    return config_of


@pytest.fixture(scope="module")
def finished(config_of, tiny_data, tmp_path_factory):
    """A finished short run (averaged weights, bf16 off): its folder and its checkpoint."""
    run = tmp_path_factory.mktemp("run")
    run_training(config_of(ema=0.5), load_task("msd-hippocampus"), tiny_data, run)
    return run, load_checkpoint(run / "last.ckpt")
