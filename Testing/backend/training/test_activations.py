"""Activation checkpointing and torch.compile: the same gradients, with norm statistics moved once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.layers import LargeKernelConv3d
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.training import compiling, loop
from rep3d.training.activations import blocks, checkpoint_activations
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.run import run_training
from torch import nn

TASK = load_task("msd-hippocampus")
PATCH = (32, 32, 32)


class Noisy(nn.Module):
    """A network with what is easily done twice: dropout, batch norm, instance norm that keeps statistics."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Dropout(0.5))
        self.second = nn.Sequential(nn.Conv3d(4, 4, 3, padding=1), nn.InstanceNorm3d(4, track_running_stats=True))
        self.out = nn.Conv3d(4, 2, 1)

    def forward(self, x):
        return self.out(self.second(self.first(x)))


class Small(nn.Module):
    """Enough of a network for a run: a large kernel with its norm, and logits."""

    in_channels, stride = 1, 1

    def __init__(self):
        super().__init__()
        self.conv = LargeKernelConv3d(1, 5, reparam="lrbm")
        self.norm, self.out = nn.BatchNorm3d(1), nn.Conv3d(1, 3, 1)
        self.spec = {"name": "small", "args": {}}

    def forward(self, x):
        return self.out(nn.functional.gelu(self.norm(self.conv(x))))


def networks():
    yield lambda: create_network("rep3d-tiny", out_channels=3, kernel_size=3, reparam="lrbm"), 12 + 11
    yield lambda: create_network("segresnet", out_channels=3, init_filters=8), None
    yield Noisy, 2


def gradients(network: nn.Module) -> tuple[list, dict]:
    torch.manual_seed(1)
    network.train()
    for _ in range(2):
        loss = network(torch.rand(2, 1, *PATCH)).square().mean()
        loss.backward()
    return [p.grad for p in network.parameters()], network.state_dict()


@pytest.mark.parametrize(("make", "expected"), list(networks()))
def test_gradients_and_statistics_are_those_without_it(make, expected):
    torch.manual_seed(0)
    plain = make()
    saving = make()
    saving.load_state_dict(plain.state_dict())
    found = checkpoint_activations(saving)
    assert found == blocks(saving) and (expected is None or len(found) == expected)
    assert saving.state_dict().keys() == plain.state_dict().keys()
    (a, state_a), (b, state_b) = gradients(plain), gradients(saving)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert all(torch.equal(state_a[k], state_b[k]) for k in state_a)
    assert isinstance(plain, Noisy) is (state_a.get("first.1.num_batches_tracked", torch.tensor(0)).item() == 2)


def test_fewer_activations_are_kept():
    """Counted where autograd keeps tensors, not by the clock or the allocator."""

    def kept(network: nn.Module) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor):
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network.train()(torch.rand(1, 1, *PATCH)).sum()
        return sum(sizes.values())

    plain = create_network("rep3d-tiny", out_channels=3, kernel_size=3, reparam="plain")
    before = kept(plain)
    checkpoint_activations(plain)
    assert kept(plain) < before / 2


def test_compile_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match=r"needs a C\+\+ compiler"):
        compiling.compiled(nn.Conv3d(1, 1, 1))


def test_a_compiled_run_is_the_plain_one(config_of, tiny_data, tmp_path, monkeypatch):
    """A small network, and torch's backend that traces and differentiates as the real one but generates no C++."""
    torch.compiler.reset()
    monkeypatch.setattr(compiling, "_cpp_compiler", lambda: True)
    compile = torch.compile  # Fabric unwraps a compiled network and compiles it again with the same arguments
    monkeypatch.setattr(torch, "compile", lambda network, **_: compile(network, backend="aot_eager"))
    monkeypatch.setattr(loop, "build_network", lambda *_: Small())
    config = config_of(steps=2, val_every=9)
    saved = []
    for name, changes in (("plain", {}), ("compiled", {"compile": True})):
        run_training(replace(config, **changes), TASK, tiny_data, tmp_path / name, cache=tmp_path / "cache")
        saved.append(load_checkpoint(tmp_path / name / "last.ckpt"))
    assert saved[0]["step"] == 2 and saved[0]["model"].keys() == saved[1]["model"].keys()
    assert all(torch.allclose(v, saved[1]["model"][k], atol=1e-5) for k, v in saved[0]["model"].items())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


def test_compile_and_checkpointing_exclude_each_other(config_of):
    with pytest.raises(BadInput, match="--compile and --checkpointing"):
        config_of(compile=True, checkpointing=True)
