"""Two processes agree with one at the same global batch; killed on either rank, a run ends with the same weights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rep3d.networks import create_network
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.logs import read_log

DRIVER = Path(__file__).with_name("rank_driver.py")
#: Of gradients in float64, relative to the largest of the tensor's; where all cancels rounding remains.
EXACT, CANCELLED = 1e-10, 1e-15
#: Of weights after some steps in float32: distance between two runs, relative to the distance from the start. Rounding
#: grows in the norms of the deepest levels, which have eight voxels.
TOLERANCE = 5e-3

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="fork and SIGKILL are POSIX")]

# SGD, because Adam divides a gradient that is nothing but rounding by its own size.
SGD = {"optimizer": "sgd", "lr": 0.02, "loss": "batch-dice-ce"}
SMALL = {"in_channels": 1, "reparam": "lrbm", "kernel_size": 5}
WHOLE = {**SGD, "network_args": SMALL, "val_every": 2}
IN_PARTS = {
    **SGD, "network_args": {**SMALL, "reparam": "plain"}, "accumulate": 2, "checkpointing": True,
    "deep_supervision": 1, "steps": 2,
}  # fmt: skip


def drive(entries: list[dict]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "REP3D_CONV_ALGORITHM": "direct"}
    done = subprocess.run(
        [sys.executable, str(DRIVER), json.dumps(entries)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(tiny_data, tmp_path_factory):
    """All in one series of processes, since each start of Python costs seconds. What they printed, and their folder."""
    root = tmp_path_factory.mktemp("ranks")

    def entry(name: str, config: dict, world: int, **more) -> dict:
        folders = {"data": str(tiny_data), "cache": str(root / "cache"), "run": str(root / name)}
        return {**folders, "config": config, "world": world, **more}

    printed = drive(
        [
            entry("one", WHOLE, 1),
            entry("two", WHOLE, 2, by="torchrun"),
            entry("killed", WHOLE, 2, kill=["1:step:2", "0:replace:1"]),
            entry("changed", {**WHOLE, "steps": 1}, 1),
            entry("changed", WHOLE, 2, by="srun"),
            entry("one.pt", IN_PARTS, 1, gradients=str(root / "one.pt")),
            entry("two.pt", IN_PARTS, 2, gradients=str(root / "two.pt")),
            entry("poisoned", {**IN_PARTS, "steps": 5}, 2, poison=1),
        ]
    )
    return root, printed


def checkpoint(root: Path, name: str) -> dict:
    return load_checkpoint(root / name / "last.ckpt")


def distance(a: dict, b: dict) -> float:
    """Euclidean distance of all weights and statistics."""
    assert a.keys() == b.keys()
    return sum((a[k].double() - b[k].double()).square().sum().item() for k in a if a[k].is_floating_point()) ** 0.5


def start_of(saved: dict) -> dict:
    torch.manual_seed(saved["config"]["seed"])
    return create_network(saved["network"]["name"], **saved["network"]["args"]).state_dict()


def losses(run: Path) -> list[float]:
    return [r["loss"] for r in read_log(run / "log.jsonl") if r["kind"] == "train"]


def test_gradients_of_two_ranks_are_those_of_one(runs):
    """Two parts of two crops, batch Dice, two levels, batch norm; clipping scales by the norm of the whole gradient."""
    one, two = (torch.load(runs[0] / name, weights_only=True) for name in ("one.pt", "two.pt"))
    assert one.keys() == two.keys() and one["norm"] > 0.5  # it has been clipped
    for name, value in one.items():
        error = (two[name].double() - value.double()).abs().max().item()
        assert error <= EXACT * value.abs().max().item() + CANCELLED, name
    assert one["encoder.stages.0.0.norm.num_batches_tracked"] == 2


def test_ranks_of_one_machine_listen_to_it_alone(runs):
    """The ranks that the command starts itself; torchrun's and srun's ports are their own matter."""
    found = re.search(r"listening with 2 ranks: (.*)", runs[1])
    addresses = [address for rank in json.loads(found[1]) for address in rank]
    assert addresses and set(addresses) == {"127.0.0.1"}


@pytest.mark.parametrize(("one", "two"), [("one", "two"), ("one", "changed")])
def test_two_ranks_agree_with_one_at_the_same_global_batch(runs, one, two):
    """Batch norm, batch Dice, clipping, averaged weights; a second rank that joins at step 1."""
    a, b = (checkpoint(runs[0], name) for name in (one, two))
    start = start_of(a)
    for weights in ("model", "ema"):
        assert distance(a[weights], b[weights]) < TOLERANCE * distance(a[weights], start)
    assert losses(runs[0] / one) == pytest.approx(losses(runs[0] / two), abs=1e-5)
    assert len(losses(runs[0] / two)) == a["step"] and a["history"][-1]["step"] == b["history"][-1]["step"]
    assert a["history"][-1]["dice"] == pytest.approx(b["history"][-1]["dice"], abs=5e-3)  # a few voxels
    assert b["config"]["devices"] == 2 and a["best_cases"].keys() == b["best_cases"].keys() == {"case_08"}


def test_killed_on_either_rank_and_resumed_the_result_is_the_same_to_the_last_bit(runs):
    root, printed = runs
    assert printed.count("RankLost on rank") == 2
    whole, killed = (checkpoint(root, name) for name in ("two", "killed"))
    for weights in ("model", "ema"):
        assert all(torch.equal(whole[weights][k], killed[weights][k]) for k in whole[weights])
    assert whole["history"] == killed["history"] and losses(root / "two") == losses(root / "killed")


def test_a_case_that_ruins_the_loss_on_one_rank_is_named(runs):
    root, printed = runs
    told = re.findall(r"Diverged on rank.*", printed)  # of one or of both: who ends first may be missed by the other
    assert told and checkpoint(root, "poisoned")["step"] == 1
    for line in told:
        blamed = re.search(r"at step 1 the loss is nan; the cause is (case_\d\d) \(of (.*) in the step\)", line)
        assert blamed and blamed[1] in blamed[2].split(", ") and len(blamed[2].split(", ")) == 4
