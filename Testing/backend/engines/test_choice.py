"""Which engine runs: what is asked for or refused, and what "auto" takes and says."""

from __future__ import annotations

import copy
import itertools
import json
import sys
from importlib.util import find_spec

import pytest
import torch
from rep3d.errors import BadInput, WeightsInvalid
from rep3d.inference.engines import check_engine, choice, choose_engine, disk, openvino_engine

from .conftest import SHAPE

CPU = torch.device("cpu")
MISSING = "the extra `cpu` is not installed"


class Fake:
    """Stands in for OpenVINO: the network's own logits, changed by ``change``."""

    def __init__(self, network, change=lambda logits: logits):
        self.network, self.change = network, change

    def __call__(self, x_BCDHW):
        return self.change(self.network(x_BCDHW))


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Let OpenVINO be a Fake with this change; counts how often it was compiled."""
    if find_spec("openvino") is None:
        pytest.skip(MISSING)
    monkeypatch.setenv("REP3D_CACHE_DIR", str(tmp_path))
    compiled = []

    def use(change=lambda logits: logits):
        def compile_network(network, shape, precision, **_):
            compiled.append(precision)
            return Fake(network, change)

        monkeypatch.setattr(openvino_engine, "compile_network", compile_network)
        return compiled

    return use


def choose(network, name="auto", windows=100, device=CPU, precision="float32", report=lambda stage: None):
    return choose_engine(name, network, device, precision, SHAPE, windows, report)


def speeds(monkeypatch, openvino_s: float, torch_s: float):
    """What a window takes with each, in turn."""
    turns = itertools.cycle((openvino_s, torch_s))

    def seconds(run):
        run()
        return next(turns)

    monkeypatch.setattr(choice, "seconds", seconds)


def test_the_faster_one_is_taken_and_remembered(network, fake, monkeypatch):
    compiled = fake()
    speeds(monkeypatch, 1.0, 2.5)
    stages = []
    chosen = choose(network, report=stages.append)
    assert chosen.name == "openvino" and chosen.reason == "2.5 times as fast as PyTorch on a window here"
    assert str(chosen).startswith("OpenVINO 20") and stages == ["preparing the network for OpenVINO (once)"]
    assert choose(network) is chosen and compiled == ["float32"]  # in this process
    monkeypatch.setattr(choice, "compare", None)  # another one reads what was measured
    assert choose(copy.deepcopy(network), windows=1).reason == chosen.reason


def test_pytorch_where_it_is_faster(network, fake, monkeypatch):
    fake()
    speeds(monkeypatch, 3.0, 1.5)
    network = copy.deepcopy(network)
    chosen = choose(network)
    assert (chosen.name, chosen.predictor) == ("torch", network)
    assert chosen.reason == "OpenVINO is 0.5 times as fast as PyTorch on a window here"
    assert choose(network).reason == chosen.reason
    assert choose(network, "openvino").name == "openvino"  # asked for all the same


def test_other_logits_are_never_used(network, fake):
    fake(lambda logits: logits + 0.1 * logits.abs().max())
    network = copy.deepcopy(network)
    chosen = choose(network)
    assert chosen.name == "torch" and "computes other logits here" in chosen.reason
    with pytest.raises(WeightsInvalid, match="computes other logits here"):
        choose(network, "openvino")


def test_few_windows_are_not_worth_preparing_for(network, fake):
    compiled = fake()
    network = copy.deepcopy(network)
    assert choose(network, windows=1).name == "torch" and not compiled
    assert choose(network, "openvino", windows=1).name == "openvino"


def test_changed_weights_are_looked_at_again(network, fake, monkeypatch):
    compiled = fake()
    speeds(monkeypatch, 1.0, 2.5)
    network = copy.deepcopy(network)
    choose(network)
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    choose(network)
    assert len(compiled) == 2


@pytest.mark.skipif(find_spec("openvino") is None, reason=MISSING)
def test_a_network_that_openvino_cannot_take(network, monkeypatch, tmp_path):
    monkeypatch.setenv("REP3D_CACHE_DIR", str(tmp_path))

    def fail(*_, **__):
        raise openvino_engine.EngineFailed("OpenVINO cannot take this network: because")

    monkeypatch.setattr(openvino_engine, "compile_network", fail)
    network = copy.deepcopy(network)
    assert choose(network).reason == "OpenVINO cannot take this network: because"
    with pytest.raises(BadInput, match="cannot be used: OpenVINO cannot take this network: because"):
        choose(network, "openvino")
    assert [json.loads(f.read_text())["engine"] for f in disk.folder().glob("*.json")] == ["torch"]


def test_what_does_not_fit_is_refused_or_said(network, monkeypatch):
    assert choose(network, "torch").reason == "asked for"
    assert "function" in choose(lambda x: x).reason
    assert "not on cuda" in choose(network, device=torch.device("cuda:0")).reason
    with pytest.raises(BadInput, match="asked for, but OpenVINO runs on the processor, not on cuda:0"):
        choose(network, "openvino", device=torch.device("cuda:0"))
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert choose(network).reason == "OpenVINO is not installed"
    with pytest.raises(BadInput, match="not installed") as refused:
        choose(network, "openvino")
    assert "[cpu]" in refused.value.hint


def test_names_and_the_environment(monkeypatch):
    assert check_engine("auto") == "auto"
    with pytest.raises(BadInput, match="Unknown engine 'onnx'"):
        check_engine("onnx")
    monkeypatch.setenv("REP3D_ENGINE", "torch")
    assert check_engine("auto") == "torch"
    monkeypatch.setenv("REP3D_ENGINE", "fast")
    with pytest.raises(BadInput, match="REP3D_ENGINE says 'fast'"):
        check_engine("auto")
