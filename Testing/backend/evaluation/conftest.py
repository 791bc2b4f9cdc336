"""The tiny data set of the training tests, and a checkpoint trained on it for two steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ..fused_weights import weights_file
from ..training.conftest import case_writer, one_thread, tiny_data

__all__ = ["case_writer", "one_thread", "tiny_data", "weights_file"]


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
