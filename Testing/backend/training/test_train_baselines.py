"""Every baseline trains: the loss falls; and from a run come a checkpoint, an evaluation, weights and a label map."""

from __future__ import annotations

import json

import pytest
import SimpleITK as sitk
import torch
from rep3d.cli import app
from rep3d.errors import BadInput
from rep3d.networks import create_network
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.deep_supervision import supervised
from rep3d.training.optim import make_loss
from typer.testing import CliRunner

from ..tiny_baselines import TINY


@pytest.mark.parametrize("name", TINY)
def test_the_loss_falls(name):
    args, size = TINY[name]
    torch.manual_seed(0)
    network = create_network(name, out_channels=2, **args).train()
    label = torch.zeros(1, 1, *size)
    label[:, :, : size[0] // 2, 2:-2, 3:-3] = 1
    image = label + 0.1 * torch.randn_like(label)
    loss_of = supervised(make_loss("dice-ce"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(5):
        loss = loss_of(network(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


RUNS = {
    "nnunet": ({"base_filters": 2}, ["--deep-supervision", "2"], "64,32,32"),
    "transbts": ({"channels": 8, "hidden_size": 16, "heads": 2, "mlp_dim": 32}, ["--ema", "0.5"], "32,40,32"),
}


@pytest.mark.parametrize("name", RUNS)
def test_from_training_to_a_label_map(name, tiny_data, tmp_path):
    args, options, patch = RUNS[name]

    def command(*words):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output + str(done.exception)
        return done.output

    run = tmp_path / "run"
    command(
        "train", "--task", "msd-hippocampus", "--data", tiny_data, "--out", run, "--network", name,
        "--network-args", json.dumps(args), "--patch", patch, "--steps", 2, "--batch-size", 1,
        "--crops-per-volume", 1, "--device", "cpu", "--threads", 1, "--workers", 0, "--val-limit", 1, *options,
    )  # fmt: skip
    checkpoint = load_checkpoint(run / "best.ckpt")
    size = [int(n) for n in patch.split(",")]
    assert checkpoint["network"]["args"].get("patch", size) == size
    scores = tmp_path / "test.json"
    command("evaluate", "--checkpoint", run / "best.ckpt", "--data", tiny_data, "--split", "test", "-o", scores,
            "--limit", 1, "--device", "cpu")  # fmt: skip
    assert json.loads(scores.read_text(encoding="utf-8"))["subject"]["network"] == name
    weights = tmp_path / "weights.safetensors"
    assert "logits agree to 0.0e+00" in command("fuse", run / "best.ckpt", "-o", weights)
    image = tiny_data / "images" / "case_00.nii.gz"
    labels = tmp_path / "labels.nii.gz"
    command("segment", image, "-o", labels, "--weights", weights, "--device", "cpu")
    assert sitk.ReadImage(str(labels)).GetSize() == sitk.ReadImage(str(image)).GetSize()


def test_a_patch_of_its_own_is_not_an_argument_of_the_network(tiny_data, tmp_path):
    words = ["train", "--task", "msd-hippocampus", "--data", str(tiny_data), "--out", str(tmp_path / "run")]
    for more, message in (
        (["--network-args", '{"patch": [32, 32, 32]}'], "--network-args cannot set patch"),
        (["--patch", "40,40,40"], r"multiples of 16"),
    ):
        done = CliRunner().invoke(app, [*words, "--network", "unetr", *more])
        assert isinstance(done.exception, BadInput) and message in str(done.exception)
