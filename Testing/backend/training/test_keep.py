"""Checkpoints that stay: they change nothing in the run, show its evolution, and go with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rep3d.errors import BadInput
from rep3d.interpret.evolution import load_evolution
from rep3d.interpret.kernels import kernels_from_network
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.run import run_training

TASK = load_task("msd-hippocampus")
ARGS = {"in_channels": 1, "reparam": "lrbm", "kernel_size": 3}


def test_kept_checkpoints(config_of, tiny_data, tmp_path):
    run, plain = tmp_path / "run", tmp_path / "plain"
    config = config_of(network_args=ARGS, val_every=4, seed=5)
    run_training(config_of(network_args=ARGS, val_every=4, seed=5, keep_every=2), TASK, tiny_data, run)
    run_training(config, TASK, tiny_data, plain, cache=run / "cache")
    kept = sorted(run.glob("step-*.ckpt"))
    assert [p.name for p in kept] == ["step-0000002.ckpt", "step-0000004.ckpt"]
    assert not list(plain.glob("step-*")) and load_checkpoint(kept[0])["optimizer"] is None
    last, same = load_checkpoint(kept[1])["model"], load_checkpoint(plain / "last.ckpt")["model"]
    assert all(torch.equal(last[k], same[k]) for k in same)  # keeping them changes nothing

    series = load_evolution(kept)
    assert [k.step for k in series] == [0, 2, 4]
    torch.manual_seed(5)  # as the training begins
    fresh = kernels_from_network(create_network("rep3d-tiny", out_channels=3, **ARGS), (32, 32, 32))
    assert np.array_equal(series[0].blocks[0].weight_CKKK, fresh[0].weight_CKKK)
    step = np.abs(series[1].blocks[0].weight_CKKK - series[0].blocks[0].weight_CKKK).max()
    assert 0 < step <= 2 * 1.2 * config.lr  # two steps of AdamW from there: step 0 is the run's own

    run_training(config, TASK, tiny_data, run, restart=True)
    assert not list(run.glob("step-*.ckpt"))


def test_it_is_checked(config_of):
    with pytest.raises(BadInput, match="--keep-every must not be negative"):
        config_of(keep_every=-1)
