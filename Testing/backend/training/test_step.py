"""A step in parts, early stop, and what a run does when its disk is full."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace

import pytest
import torch
from monai.losses import DiceCELoss
from rep3d.errors import OutputFailed
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.training.batches import Batch
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.logs import read_log
from rep3d.training.optim import make_loss
from rep3d.training.ranks import Ranks
from rep3d.training.run import run_training
from rep3d.training.step import offenders, step_gradients

TASK = load_task("msd-hippocampus")
CPU = torch.device("cpu")


def batch_of(crops: int, ids: tuple[str, ...]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (crops, 1, 32, 32, 32), generator=generator).to(torch.uint8)
    return Batch(torch.rand(crops, 1, 32, 32, 32, generator=generator), label, ids)


def gradients(config, parts: int) -> tuple[float, float, list]:
    """Loss, norm and gradients of one step in float64, so that only what differs in substance can be seen."""
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain", kernel_size=3, norm="layer")
    fabric = Ranks(config).fabric
    model, optimizer = fabric.setup(network.double(), torch.optim.SGD(network.parameters(), lr=0.1))
    config = replace(config, accumulate=parts, batch_size=2, clip_grad=0.1)
    batch = batch_of(2, ("a", "b"))
    batch = replace(batch, image_BCDHW=batch.image_BCDHW.double())
    loss, norm = step_gradients(fabric, model, optimizer, DiceCELoss(to_onehot_y=True, softmax=True), batch, config)
    return loss, norm, [p.grad for p in network.parameters()]


def test_parts_of_a_step_give_the_gradient_of_the_whole(config_of):
    """Without batch norm and batch Dice, which see a part at a time."""
    whole, halves = (gradients(config_of(), parts) for parts in (1, 2))
    scale = max(g.abs().max() for g in whole[2])
    assert halves[:2] == pytest.approx(whole[:2], rel=1e-10)
    assert max((a - b).abs().max() for a, b in zip(halves[2], whole[2], strict=True)) < 1e-10 * scale
    assert whole[1] > 0.1  # clipped, as a whole
    assert sum(g.square().sum() for g in halves[2]).sqrt().item() == pytest.approx(0.1, rel=1e-4)


def test_the_case_at_fault_is_named_and_nothing_is_left_changed():
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain", kernel_size=3).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    batch = batch_of(4, ("a", "b", "b", "c"))
    assert offenders(network, make_loss("dice-ce"), batch, CPU) == []
    batch.image_BCDHW[2, 0, 4, 4, 4] = torch.inf
    assert offenders(network, make_loss("batch-dice-ce"), batch, CPU) == ["b"]
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_early_stop_is_said_kept_and_can_be_put_off(config_of, tiny_data, tmp_path, capsys):
    args = {"in_channels": 1, "reparam": "plain", "kernel_size": 3, "norm": "layer"}
    config = config_of(network_args=args, lr=0.0, weight_decay=0.0, steps=9, val_every=1, save_every=9, early_stop=2)
    progress = run_training(config, TASK, tiny_data, tmp_path)
    assert (progress.step, progress.best_step) == (3, 1)  # at rate 0 nothing is better than the first
    assert "stopped early after step 3: no new best in 2 validations" in capsys.readouterr().out
    first = load_checkpoint(tmp_path / "last.ckpt")
    assert first["step"] == 3 and [h["step"] for h in first["history"]] == [1, 2, 3]
    assert run_training(config, TASK, tiny_data, tmp_path).step == 3
    again = load_checkpoint(tmp_path / "last.ckpt")
    assert all(torch.equal(first["model"][k], again["model"][k]) for k in first["model"])
    assert run_training(replace(config, early_stop=3), TASK, tiny_data, tmp_path).step == 4
    steps = [r["step"] for r in read_log(tmp_path / "log.jsonl") if r["kind"] == "train"]
    assert steps == [1, 2, 3, 4]


@contextlib.contextmanager
def files_up_to(size: int):
    """Like a disk with that little room: writing a file beyond it fails."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX")
def test_a_full_disk_stops_the_run_and_costs_nothing(config_of, finished, tiny_data, tmp_path):
    """The checkpoint of step 2 does not fit any more; with room again, the run ends as one that had it all along."""
    whole_run, whole = finished
    config, cache = config_of(ema=0.5), whole_run / "cache"
    run_training(replace(config, steps=1), TASK, tiny_data, tmp_path, cache=cache)
    files = {p.name for p in tmp_path.iterdir()}
    with files_up_to(100_000), pytest.raises(OutputFailed, match=r"cannot write .*\.ckpt") as caught:
        run_training(config, TASK, tiny_data, tmp_path, cache=cache)
    assert "space" in caught.value.hint
    assert {p.name for p in tmp_path.iterdir()} == files and load_checkpoint(tmp_path / "last.ckpt")["step"] == 1
    run_training(config, TASK, tiny_data, tmp_path, cache=cache)
    last = load_checkpoint(tmp_path / "last.ckpt")
    for weights in ("model", "ema"):
        assert all(torch.equal(last[weights][k], whole[weights][k]) for k in whole[weights])
