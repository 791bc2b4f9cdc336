"""`rep3d models`: counted when asked for, the paper's figures beside it, the weights that are installed."""

from __future__ import annotations

import json
import sys

import pytest
from rep3d.cli import app
from rep3d.commands import models
from rep3d.networks import create_network, list_networks
from rep3d.networks.paper import ROWS
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(tmp_path))


def invoke(*args: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["models", *args])
    assert done.exit_code == code, done.output
    return done.stdout


def test_all_networks_are_listed_and_nothing_is_counted_unless_asked_for(monkeypatch):
    monkeypatch.setattr(models, "_counts", None)  # calling it would fail
    rows = json.loads(invoke("--json"))["networks"]
    assert [row["name"] for row in rows] == list_networks()
    assert {row["name"]: row["paper"]["title"] for row in rows if row["paper"]} == {n: r.title for n, r in ROWS.items()}
    text = invoke()
    assert "nnFormer" in text and "Wang et al., MICCAI 2021" in text and "msd-hippocampus" in text


def test_counts_stand_beside_the_papers_with_their_difference():
    made = json.loads(invoke("uxnet-tiny", "segresnet-paper", "--flops", "--json"))
    assert "weights" not in made
    tiny, segresnet = made["networks"]
    network = create_network("uxnet-tiny", in_channels=1, out_channels=16)
    assert tiny["parameters"] == sum(p.numel() for p in network.parameters()) and tiny["paper"] is None
    assert tiny["parameters_difference"] is None and tiny["multiply_adds_difference"] is None
    assert segresnet["parameters_difference"] == pytest.approx(segresnet["parameters"] / 1.18e6 - 1)
    assert segresnet["multiply_adds_difference"] == pytest.approx(segresnet["multiply_adds_paper"] / 15.6e9 - 1)
    assert "multiply_adds" not in json.loads(invoke("uxnet-tiny", "--params", "--json"))["networks"][0]


def test_a_large_difference_is_explained_below_the_table():
    text = invoke("nnunet", "segresnet-paper", "--flops")
    assert "-69.7%" in text and "nnunet: nnU-Net's plan" in text and "segresnet-paper:" not in text
    assert "nnunet:" not in invoke("nnunet", "--params")


def test_a_network_that_lacks_a_package_is_named_and_the_others_are_counted(monkeypatch):
    monkeypatch.setitem(sys.modules, "einops", None)
    text = invoke("unetr", "uxnet-tiny", "--params")
    assert "unetr is not counted. A network of MONAI's needs the package einops" in text and "backend[train]" in text
    assert "0.06" in text


def test_unknown_names_are_refused():
    done = CliRunner().invoke(app, ["models", "resnet", "uxnet"])
    assert done.exit_code == 1 and "unknown network resnet" in str(done.exception)
