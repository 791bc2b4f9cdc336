"""`rep3d evaluate`: the numbers are those of the label maps, the split is the training's, other data are noticed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.cli import app
from rep3d.data.reading import read_volume
from rep3d.errors import BadInput
from rep3d.evaluation.evaluate import evaluate, from_checkpoint, from_weights
from rep3d.evaluation.listing import remarks
from rep3d.evaluation.rows import labelmap_sha256
from rep3d.inference.pipeline import segment_volume
from rep3d.training.checkpoint import load_checkpoint
from typer.testing import CliRunner

from .threshold import make_islands, threshold_subject

RUN = dict(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def result(checkpoint, tiny_data):
    return evaluate(from_checkpoint(checkpoint), tiny_data, "test", **RUN)


def test_scores_are_those_of_the_label_maps(result, checkpoint, tiny_data):
    subject = from_checkpoint(checkpoint)
    assert [row["id"] for row in result["cases"]] == ["case_04", "case_09"]
    for row in result["cases"]:
        volume = read_volume(tiny_data / "images" / f"{row['id']}.nii.gz")
        pred = segment_volume(volume, subject.network, subject.task, patch=subject.patch, **RUN).labelmap
        label = tiny_data / "labels" / f"{row['id']}.nii.gz"
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(label))).transpose(2, 1, 0)
        for value, key in enumerate(("anterior-hippocampus", "posterior-hippocampus"), start=1):
            p, t = pred == value, truth == value
            assert row["dice"]["native"][key] == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()), abs=1e-5)
            # At the task's own spacing the two grids hold the same voxels.
            assert row["dice"]["network"][key] == pytest.approx(row["dice"]["native"][key], abs=0.02)


def test_summary_is_the_mean_over_cases_then_classes(result):
    for grid in ("native", "network"):
        table = np.array([list(row["dice"][grid].values()) for row in result["cases"]], float)
        summary = result["summary"][grid]
        np.testing.assert_allclose(list(summary["per_class"].values()), table.mean(0), atol=2e-5)
        assert summary["mean"] == pytest.approx(table.mean(0).mean(), abs=2e-5)
        assert summary["cases"] == 2 and summary["lowest"] == pytest.approx(table.mean(1).min(), abs=2e-5)
    assert json.loads(json.dumps(result)) == result


def test_val_score_is_the_one_that_chose_the_checkpoint(checkpoint, tiny_data):
    best = load_checkpoint(checkpoint)["best"]
    scores = evaluate(from_checkpoint(checkpoint), tiny_data, "val", overlap=0.25, **RUN)
    assert scores["summary"]["network"]["mean"] == pytest.approx(best["dice"], abs=1e-6)
    assert best["dice"] > 0.01


def test_other_data_are_noticed(result, checkpoint, tiny_data, tmp_path):
    assert result["same_data"] is True
    shutil.copytree(tiny_data, tmp_path / "data")
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder / "case_00.nii.gz").unlink()
        shutil.copy(tmp_path / "data" / folder / "case_01.nii.gz", tmp_path / "data" / folder / "case_99.nii.gz")
    other = evaluate(from_checkpoint(checkpoint), tmp_path / "data", "test", limit=1, **RUN)
    assert other["same_data"] is False and len(other["cases"]) == 1


def test_class_that_neither_has_is_null_not_a_number(checkpoint, tiny_data, tmp_path, monkeypatch):
    shutil.copytree(tiny_data, tmp_path / "data")
    for path in sorted((tmp_path / "data" / "labels").iterdir()):
        label = sitk.ReadImage(str(path))
        sitk.WriteImage(sitk.Cast(label == 1, sitk.sitkUInt8), str(path))
    subject = from_checkpoint(checkpoint)
    with np.errstate(all="raise"):
        import torch

        final = [m for m in subject.network.modules() if isinstance(m, torch.nn.Conv3d)][-1]
        final.bias.data[2] = -1e6  # never says class 2
        scores = evaluate(subject, tmp_path / "data", "test", limit=1, **RUN)
    assert scores["cases"][0]["dice"]["native"]["posterior-hippocampus"] is None
    assert scores["summary"]["native"]["per_class"]["posterior-hippocampus"] is None
    assert scores["summary"]["native"]["mean"] == pytest.approx(
        scores["summary"]["native"]["per_class"]["anterior-hippocampus"], abs=1e-4
    )


def test_fused_weights_score_as_their_checkpoint(result, checkpoint, tiny_data, tmp_path):
    from rep3d.fuse import fuse_checkpoint
    from rep3d.weights import save_weights

    tensors, meta, _ = fuse_checkpoint(checkpoint)
    save_weights(tmp_path / "w.safetensors", tensors, meta)
    fused = evaluate(from_weights(tmp_path / "w.safetensors"), tiny_data, "test", **RUN)
    assert fused["same_data"] is True and fused["subject"]["weights"] == meta.id
    for a, b in zip(fused["cases"], result["cases"], strict=True):
        assert a["mean"]["native"] == pytest.approx(b["mean"]["native"], abs=2e-3)


def test_unknown_split_and_missing_subject(checkpoint, tiny_data):
    with pytest.raises(BadInput, match="no case for 'holdout'"):
        evaluate(from_checkpoint(checkpoint), tiny_data, "holdout", **RUN)
    for options in ([], ["--weights", "w.safetensors", "--checkpoint", str(checkpoint)]):
        done = CliRunner().invoke(app, ["evaluate", "--data", str(tiny_data), *options])
        assert isinstance(done.exception, BadInput) and "one of --weights and --checkpoint" in str(done.exception)


def test_command_prints_the_table_and_writes_json(checkpoint, tiny_data, tmp_path):
    out = tmp_path / "new folder" / "results.json"
    options = ["--checkpoint", str(checkpoint), "--data", str(tiny_data), "--device", "cpu", "-o", str(out)]
    done = CliRunner().invoke(app, ["evaluate", *options, "--limit", "1"])
    assert done.exit_code == 0, done.output
    written = json.loads(out.read_text(encoding="utf-8"))
    mean = written["summary"]["native"]["mean"]
    assert "anterior-hippocampus" in done.output and f"{mean:.3f}" in done.output
    assert "warning" not in done.output


class Sided(torch.nn.Module):
    """Class 1 where the neighbour to the left is brighter: another answer in a mirrored image."""

    def forward(self, x):
        left = torch.roll(x, 1, 2)
        return torch.cat([torch.zeros_like(x), 3 * (left - x) + 0.1, x - 1.5], dim=1)


@pytest.mark.parametrize(("axes", "views"), [((), "shift"), ((0,), "mirror"), ((0, 2), "mirror")])
def test_views_are_those_of_segment(tmp_path, axes, views):
    """--tta means one thing: the label map that is scored is the one that `rep3d segment --tta` writes."""
    data = make_islands(tmp_path / "data", val=1)
    subject = replace(threshold_subject(), network=Sided(), mirror_axes=axes)
    scored = evaluate(subject, data, tta=True, device="cpu", grids=("native",))
    for row in scored["cases"]:
        volume = read_volume(data / "test" / "images" / f"{row['id']}.nii.gz")
        options = {"patch": subject.patch, "device": "cpu", "tta": True, "mirror_axes": axes}
        made = segment_volume(volume, subject.network, subject.task, **options)
        assert row["prediction_sha256"] == labelmap_sha256(made.labelmap)
        assert row["tta"] == made.settings["tta"] == views
    assert any("views" in text or "copies" in text for text in remarks(scored))


def test_weights_and_checkpoint_say_how_they_were_mirrored(weights_file, checkpoint, tmp_path):
    assert from_weights(weights_file).mirror_axes == () and from_checkpoint(checkpoint).mirror_axes == ()
    content = torch.load(checkpoint, weights_only=True)
    content["config"]["augment"]["mirror_axes"] = [1, 2]
    torch.save(content, tmp_path / "best.ckpt")
    assert from_checkpoint(tmp_path / "best.ckpt").mirror_axes == (1, 2)


def test_the_engine_is_said(result):
    assert result["settings"]["engine"] == "torch"
    assert all(row["engine"].startswith("PyTorch ") for row in result["cases"])
    assert any("PyTorch" in text and "--engine" in text for text in remarks(result))
    with pytest.raises(BadInput, match="Unknown engine"):
        evaluate(threshold_subject(), Path("nowhere"), engine="fast")
