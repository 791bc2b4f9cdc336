"""Segmentations with OpenVINO: the labels of PyTorch, and results and commands that say what ran."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
import torch
from rep3d.cli import app
from rep3d.errors import BadInput
from rep3d.inference.engines import openvino_engine
from rep3d.inference.pipeline import segment_volume
from torch import nn
from typer.testing import CliRunner

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="the extra `cpu` is not installed")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("REP3D_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("REP3D_ENGINE", raising=False)


class Blur(nn.Module):
    """Class 1 where a 5x5x5 neighbourhood is bright on average, class 2 where it is very bright."""

    def __init__(self):
        super().__init__()
        self.mean = nn.AvgPool3d(5, 1, 2, count_include_pad=False)

    def forward(self, x_BCDHW):
        x = self.mean(x_BCDHW)
        return torch.cat([torch.zeros_like(x), x - 0.3, 2 * x - 1.0], 1)


def test_the_labels_of_pytorch(scan, small_task):
    ours = segment_volume(scan, Blur(), small_task, device="cpu")
    theirs = segment_volume(scan, Blur(), small_task, device="cpu", engine="openvino")
    assert (ours.labelmap != theirs.labelmap).mean() < 1e-3 and (theirs.labelmap == 1).any()
    assert ours.settings["engine"].startswith("PyTorch") and ours.settings["engine_reason"] == "asked for"
    assert theirs.settings["engine"].startswith("OpenVINO") and theirs.settings["engine_reason"] == "asked for"


def test_a_function_has_no_other_engine(scan, small_task):
    blur = Blur()
    result = segment_volume(scan, lambda x: blur(x), small_task, device="cpu", engine="auto")
    assert result.settings["engine_reason"] == "the predictor is a function, not a network"
    with pytest.raises(BadInput, match="a function, not a network"):
        segment_volume(scan, lambda x: blur(x), small_task, device="cpu", engine="openvino")
    with pytest.raises(BadInput, match="Unknown engine"):
        segment_volume(scan, blur, small_task, device="cpu", engine="tensorrt")


def test_the_command_says_which_engine_ran(tiny_weights, scan_file, tmp_path, monkeypatch):
    # Compiling takes seconds and is tested above; here the network stands in for what is compiled.
    monkeypatch.setattr(openvino_engine, "compile_network", lambda network, *_, **__: network)
    arguments = ["segment", scan_file, "-o", tmp_path / "out.nii.gz", "--weights", tiny_weights]
    done = CliRunner().invoke(app, [*map(str, arguments), "--engine", "openvino"])
    assert done.exit_code == 0 and "engine OpenVINO" in done.output
    assert json.loads((tmp_path / "out.json").read_text())["settings"]["engine"].startswith("OpenVINO")
    done = CliRunner().invoke(app, [*map(str, arguments), "--engine", "tensorrt"])
    assert isinstance(done.exception, BadInput) and "Unknown engine" in str(done.exception)
