"""`rep3d export`: what it takes, what it says, what it refuses."""

from __future__ import annotations

import json

import pytest
import torch
from rep3d.cli import app
from rep3d.errors import BadInput, OutputFailed, WeightsMissing
from rep3d.export.source import load_source
from rep3d.weights import load_weights
from typer.testing import CliRunner


def invoke(*args):
    return CliRunner().invoke(app, ["export", *map(str, args)])


def test_a_checkpoint_is_fused_first_and_a_scan_compared(checkpoint, scans, tmp_path):
    out = tmp_path / "net.ts"
    done = invoke(checkpoint, "-o", out, "--format", "torchscript", "--batch", 1, "--scan", scans / "plain.nii.gz")
    assert done.exit_code == 0, done.output
    assert "it was fused first" in done.stdout and "largest logit difference" in done.stdout
    extra = {"rep3d.json": ""}
    torch.jit.load(str(out), _extra_files=extra)
    about = json.loads(extra["rep3d.json"])
    assert about["weights_kind"] == "checkpoint" and about["check"]["scans"] == ["plain.nii.gz"]
    assert about["check"]["real_windows"] > 1 and about["check"]["random_windows"] == 2


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        (("--format", "tflite", "-o", "a.onnx"), BadInput, "tflite"),
        (("--format", "onnx", "-o", "a.pt2"), BadInput, r"\.onnx"),
        (("--format", "onnx", "-o", "a.onnx", "--batch", "-1"), BadInput, "negative"),
        (("--format", "bundle", "-o", "a", "--dynamic-size"), BadInput, "single files"),
        (("--format", "onnx", "-o", "taken.onnx"), OutputFailed, "there already"),
    ],
)
def test_refused_before_any_work(args, error, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.onnx").write_text("mine")
    done = invoke("no-such-weights", *args)
    assert isinstance(done.exception, error)
    assert __import__("re").search(text, str(done.exception))
    assert [p.name for p in tmp_path.iterdir()] == ["taken.onnx"]


def test_names(tmp_path, weights_file, monkeypatch):
    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(tmp_path))
    shipped = load_source("openkbp")
    assert shipped.card is not None and shipped.card.record["weights_sha256"] == shipped.sha256
    assert shipped.card.picture.suffix == ".png"
    assert load_source(shipped.meta.id).path == shipped.path
    own = load_source(weights_file)
    assert own.card is None and own.sha256 == load_weights(weights_file).sha256
    with pytest.raises(WeightsMissing, match="nonsense") as error:
        load_source("nonsense")
    assert "openkbp" in error.value.hint
    (tmp_path / "a.pth").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"a\.pth"):
        load_source(tmp_path / "a.pth")
