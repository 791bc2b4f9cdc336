"""The tiny data set of the training tests, and a checkpoint trained on it for two steps."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

_FILE = Path(__file__).parents[1] / "training" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("rep3d_tiny_data", _FILE)
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)
tiny_data = tiny.tiny_data
one_thread = tiny.one_thread
case_writer = tiny.case_writer


@pytest.fixture(scope="session")
def checkpoint(tiny_data, tmp_path_factory) -> Path:
    from rep3d.data.augment import AugmentConfig
    from rep3d.tasks import load_task
    from rep3d.training.config import TrainConfig
    from rep3d.training.run import run_training

    torch.set_num_threads(1)
    config = TrainConfig(
        task="msd-hippocampus", network="rep3d-tiny", network_args={"in_channels": 1, "reparam": "fixed"},
        patch=(32, 48, 32), steps=6, batch_size=2, crops_per_volume=1, lr=1e-2, device="cpu", threads=1, ema=0.3,
        val_every=3, save_every=3, log_every=3, augment=AugmentConfig.off(),
    )  # fmt: skip
    run = tmp_path_factory.mktemp("run")
    run_training(config, load_task("msd-hippocampus"), tiny_data, run)
    return run / "best.ckpt"
