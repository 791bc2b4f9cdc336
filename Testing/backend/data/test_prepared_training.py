"""A prepared folder takes the place of a raw one in `rep3d train` and `rep3d evaluate`."""

from __future__ import annotations

import json
import shutil

import pytest
from rep3d.cli import app
from rep3d.data.prepare import PrepareConfig, prepare
from rep3d.errors import BadInput
from rep3d.tasks import load_task
from typer.testing import CliRunner

from .layout_trees import put_image, scan


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_training_and_evaluation_read_the_prepared_folder(source, prepared, tmp_path):
    scans, folder = tmp_path / source.name, tmp_path / "prepared"
    shutil.copytree(source, scans)
    shutil.copytree(prepared, folder)
    prepare(PrepareConfig("msd", load_task("msd-hippocampus"), workers=1), scans, folder)
    settings = (
        "--task", folder / "task.yaml", "--network", "rep3d-tiny", "--reparam", "plain", "--patch", "32,32,32",
        "--steps", 1, "--val-every", 1, "--batch-size", 1, "--crops-per-volume", 1, "--threads", 1, "--device", "cpu",
    )  # fmt: skip
    done = run("train", "--data", folder, "--out", tmp_path / "run", *settings)
    assert done.exit_code == 0, done.exception
    assert not (tmp_path / "run/cache").exists()  # the prepared folder's cache has it all
    assert len(list((folder / "cache").glob("*.npy"))) == len(list((prepared / "cache").glob("*.npy")))
    scored = run(
        "evaluate", "--checkpoint", tmp_path / "run/best.ckpt", "--data", scans, "--limit", 1, "--threads", 1,
        "--device", "cpu", "-o", tmp_path / "result.json",
    )  # fmt: skip
    assert scored.exit_code == 0, scored.exception
    assert json.loads((tmp_path / "result.json").read_text())["same_data"]  # trained on prepared, scored on raw data
    put_image(scans / "imagesTr/hippocampus_001.nii.gz", scan(77)[0])
    refused = run("train", "--data", folder, "--out", tmp_path / "other", *settings)
    assert isinstance(refused.exception, BadInput) and "hippocampus_001" in str(refused.exception)
    assert "have changed since" in str(refused.exception)


def test_folds_that_a_prepared_folder_lacks(prepared):
    from rep3d.training.folds import parse_folds

    with pytest.raises(BadInput, match="one split"):
        parse_folds("all", prepared, load_task("msd-hippocampus"))
