"""`rep3d train` from the command line: defaults of the task, baselines, clear errors."""

from __future__ import annotations

import pytest
import torch
from rep3d.cli import app
from rep3d.errors import BadInput, OutputFailed
from rep3d.training.checkpoint import load_checkpoint
from typer.testing import CliRunner

QUICK = [
    "--batch-size", "1", "--crops-per-volume", "1", "--steps", "1", "--threads", "1", "--device", "cpu",
    "--workers", "0",
]  # fmt: skip


def train(data, run, *options):
    return CliRunner().invoke(
        app, ["train", "--task", "msd-hippocampus", "--data", str(data), "--out", str(run), *QUICK, *options]
    )


def test_task_gives_network_and_patch_and_the_command_prints_where_the_best_is(tiny_data, tmp_path):
    done = train(tiny_data, tmp_path, "--network", "rep3d-tiny", "--reparam", "fixed", "--mirror-axes", "1,2")
    assert done.exit_code == 0, done.output
    saved = load_checkpoint(tmp_path / "last.ckpt")
    assert saved["config"]["patch"] == [48, 64, 48] and saved["network"]["args"]["reparam"] == "fixed"
    assert saved["config"]["augment"]["mirror_axes"] == [1, 2] and saved["config"]["lr"] == 1e-4
    assert "7 train, 1 val, 2 test" in done.output and "best.ckpt" in done.output


def test_network_args_reach_the_network_and_ux_net_is_plain_by_default(tiny_data, tmp_path):
    args = ["--network", "uxnet-tiny", "--patch", "32,32,32", "--network-args", '{"kernel_size": 5}']
    done = train(tiny_data, tmp_path, *args)
    assert done.exit_code == 0, done.output
    saved = load_checkpoint(tmp_path / "last.ckpt")
    assert saved["network"]["args"] == {"in_channels": 1, "out_channels": 3, "reparam": "plain", "kernel_size": 5}
    assert saved["model"]["encoder.stages.0.0.conv.weight"].shape == (4, 1, 5, 5, 5)


def test_a_second_run_starts_from_the_weights_of_the_first_and_resumes_only_with_them(tiny_data, tmp_path):
    first = ["--network", "rep3d-tiny", "--patch", "32,32,32", "--ema", "0.5"]
    assert train(tiny_data, tmp_path / "a", *first).exit_code == 0
    best = tmp_path / "a" / "best.ckpt"
    second = [*first, "--init", str(best), "--lr", "0"]
    done = train(tiny_data, tmp_path / "b", *second)
    assert done.exit_code == 0, done.output
    start, end = load_checkpoint(best)["ema"], load_checkpoint(tmp_path / "b" / "last.ckpt")["model"]
    weights = [name for name in end if name.endswith("weight") and "norm" not in name]
    assert all(torch.equal(start[name], end[name]) for name in weights)  # at rate 0 they stay where they began
    done = train(tiny_data, tmp_path / "b", *first, "--lr", "0")
    assert isinstance(done.exception, BadInput) and "init" in str(done.exception)
    done = train(tiny_data, tmp_path / "c", "--network", "rep3d-tiny", "--reparam", "plain", "--init", str(best))
    assert isinstance(done.exception, BadInput) and str(best) in str(done.exception)
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_baseline_trains_with_the_same_command_in_bf16(tiny_data, tmp_path):
    done = train(tiny_data, tmp_path, "--network", "segresnet", "--patch", "32,32,32", "--precision", "bf16")
    assert done.exit_code == 0, done.output
    assert load_checkpoint(tmp_path / "last.ckpt")["network"] == {
        "name": "segresnet",
        "args": {"in_channels": 1, "out_channels": 3},
    }


@pytest.mark.parametrize(
    "options, message",
    [
        (["--task", "knee"], "knee"),
        (["--network", "resnet"], "unknown network 'resnet'"),
        (["--network", "rep3d-tiny", "--patch", "a,b"], "--patch 'a,b'"),
        (["--network", "rep3d-tiny", "--loss", "l2"], "loss 'l2' is unknown"),
        (["--network", "rep3d-tiny", "--device", "tpu"], "tpu"),
        (["--network", "rep3d-tiny", "--reparam", "magic"], "'magic'"),
        (["--network", "segresnet", "--reparam", "fixed"], "--reparam"),
        (["--network", "rep3d-tiny", "--network-args", "{depth: 3}"], "not JSON"),
        (["--network", "rep3d-tiny", "--network-args", '{"out_channels": 9}'], "out_channels"),
        (["--network", "rep3d-tiny", "--network-args", '{"width": 9}'], "no argument width"),
        (["--network", "rep3d-tiny", "--network-args", '{"lrbm": {"depth": 9}}'], "9"),
        (["--network", "rep3d-tiny", "--network-args", '{"lrbm": {"deep": 2}}'], "deep"),
        (["--network", "rep3d-tiny", "--mirror-axes", "1,5"], "--mirror-axes"),
        (["--network", "rep3d-tiny", "--mirror-axes", "1,1"], "--mirror-axes"),
    ],
)
def test_wrong_options_have_clear_errors(tiny_data, tmp_path, options, message):
    done = train(tiny_data, tmp_path / "run", *options)
    assert isinstance(done.exception, BadInput) and message in str(done.exception)
    assert done.exception.hint


def test_run_folder_that_cannot_be_written(tiny_data, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = train(tiny_data, tmp_path / "file" / "run", "--network", "rep3d-tiny")
    assert isinstance(done.exception, OutputFailed) and "run folder" in str(done.exception)


def test_unpaired_files_are_reported(tiny_data, tmp_path):
    import shutil

    shutil.copytree(tiny_data, tmp_path / "data")
    shutil.copy(tmp_path / "data/images/case_00.nii.gz", tmp_path / "data/images/zz_lonely.nii.gz")
    done = train(tmp_path / "data", tmp_path / "run", "--network", "rep3d-tiny", "--patch", "32,32,32")
    assert done.exit_code == 0 and "1 files without a partner are left out: images/zz_lonely.nii.gz" in done.output
