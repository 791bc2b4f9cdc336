"""A network compiled by OpenVINO: the same logits, kept on the disk, made again when that is damaged."""

from __future__ import annotations

import copy
from importlib.util import find_spec

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.inference.engines import disk
from rep3d.inference.engines import openvino_engine as engine
from rep3d.inference.engines.lowering import lowered_copy
from torch import nn

from .conftest import SHAPE

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="the extra `cpu` is not installed")


@pytest.fixture(scope="module")
def model(network):
    """Converted once, for that takes most of the time."""
    return engine.convert(lowered_copy(network, SHAPE), SHAPE)


@pytest.fixture(autouse=True)
def converted(model, monkeypatch):
    convert = engine.convert
    monkeypatch.setattr(engine, "convert", lambda lowered, shape: model if shape == SHAPE else convert(lowered, shape))


@pytest.fixture
def compiled(network, converted):
    return engine.compile_network(network, SHAPE, "float32")


def test_same_logits_for_windows_and_batches(network, compiled):
    x = torch.rand(2, *SHAPE[1:], generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = network(x)
    first, both = compiled(x[:1]), compiled(x)
    assert (both - expected).abs().max() < 1e-4 * expected.abs().max()
    assert torch.equal(first, both[:1]) and torch.equal(first, compiled(x[:1].clone()))
    with pytest.raises(ValueError, match=r"compiled for windows of \[1, 32, 32, 32\]"):
        compiled(torch.rand(1, 1, 32, 32, 48))


def test_kept_on_the_disk_and_made_again_when_damaged(network, compiled):
    key = engine.key_of(network, SHAPE, "float32", torch.get_num_threads())
    file = disk.folder() / f"{key}.blob"
    x = torch.rand(SHAPE)
    again = engine.compile_network(network, SHAPE, "float32")
    assert again.from_disk and torch.equal(again(x), compiled(x))
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.warns(RuntimeWarning, match="damaged"):
        repaired = engine.compile_network(network, SHAPE, "float32")
    assert not repaired.from_disk and disk.read(file) is not None
    assert torch.allclose(repaired(x), compiled(x), atol=1e-4)


def test_the_key_follows_weights_window_and_precision(network):
    keys = {engine.key_of(network, SHAPE, "float32", 1), engine.key_of(network, SHAPE, "bfloat16", 1)}
    keys |= {engine.key_of(network, (1, 1, 32, 32, 48), "float32", 1), engine.key_of(network, SHAPE, "float32", 2)}
    other = copy.deepcopy(network)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0].add_(1e-3)
    assert len(keys | {engine.key_of(other, SHAPE, "float32", 1)}) == 5


def test_matrices_are_kept_once_for_all_channels(model):
    shared = [
        constant.shape
        for node in model.get_ops()
        if node.get_type_name() == "MatMul"
        for constant in [engine.constant_of(node.input(0).get_source_output().get_node())]
        if constant is not None
    ]
    assert shared and all(shape[0] == 1 for shape in shared)


def test_what_cannot_be_converted_says_so():
    class Undecided(nn.Module):
        def forward(self, x_BCDHW):
            return x_BCDHW if x_BCDHW.sum() > 0 else -x_BCDHW

    with pytest.raises(engine.EngineFailed, match="cannot take this network"):
        engine.compile_network(Undecided(), (1, 1, 4, 4, 4), "float32")


def test_bfloat16_needs_a_processor_that_has_it(network, monkeypatch):
    class Old:
        def get_property(self, device, name):
            return ["FP32"] if name == "OPTIMIZATION_CAPABILITIES" else "old"

    monkeypatch.setattr(engine, "core", Old)
    with pytest.raises(BadInput, match="has none"):
        engine.compile_network(network, SHAPE, "bfloat16")


def test_the_folder_does_not_grow_without_end(tmp_path):
    import os

    files = [tmp_path / f"{i}.blob" for i in range(4)]
    for i, file in enumerate(files):
        file.write_bytes(bytes(100))
        file.with_suffix(".json").write_text("{}")
        os.utime(file, (1000 + i, 1000 + i))
    disk.make_room(files[3], limit=250)
    assert [f.exists() for f in files] == [False, False, True, True] and not files[0].with_suffix(".json").exists()
    disk.make_room(files[3], limit=1)
    assert [f.exists() for f in files] == [False, False, False, True]  # the one just written stays
