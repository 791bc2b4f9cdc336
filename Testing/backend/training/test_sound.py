"""Convolutions that a machine computes wrongly in bfloat16 are found and run in float32; right ones are left alone."""

from __future__ import annotations

import pytest
import torch
from rep3d.networks import create_network
from rep3d.training import sound
from torch import nn

PATCH = (32, 48, 32)


class Small(nn.Module):
    in_channels = 1

    def __init__(self):
        super().__init__()
        self.first = nn.Conv3d(1, 8, 3, padding=1, stride=2)
        self.norm = nn.BatchNorm3d(8)
        self.second = nn.Conv3d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose3d(8, 2, 2, stride=2)

    def forward(self, x):
        return self.up(self.second(self.norm(self.first(x))))


def broken(where, monkeypatch):
    """A conv3d whose bfloat16 result at depth ``where`` is NaN, as a library's fault would make it."""
    right = nn.functional.conv3d

    def conv3d(x, *rest):
        y = right(x, *rest)
        return y * float("nan") if x.dtype == torch.bfloat16 and x.shape[2] == where else y

    monkeypatch.setattr(nn.functional, "conv3d", conv3d)


def test_a_fault_is_found_where_it_is(monkeypatch):
    broken(4, monkeypatch)
    network = Small()
    before = torch.get_rng_state(), network.norm.running_mean.clone()
    found = sound.unsound_convolutions(network, 2, (8, 8, 8), "cpu", torch.bfloat16)
    assert found == {"second": float("inf")}
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(network.norm.running_mean, before[1]) and network.training


def test_what_is_wrong_runs_in_float32(monkeypatch):
    network = Small()
    x = torch.randn(2, 1, 8, 8, 8)
    network.eval()
    exact = network(x)
    names = sorted(network.state_dict())
    broken(4, monkeypatch)
    monkeypatch.setattr(sound, "TOLERANCE", 0.05)
    assert sound.make_sound(network, 2, (8, 8, 8), "cpu", torch.bfloat16) == ["second"]
    with torch.autocast("cpu", torch.bfloat16):
        assert network.second(torch.randn(1, 8, 4, 4, 4)).dtype == torch.float32
        torch.testing.assert_close(network(x).float(), exact, rtol=0.1, atol=0.05)
    assert sorted(network.state_dict()) == names


@pytest.mark.parametrize("shape", [(2, 32, 2, 2, 2), (1, 32, 2, 4, 6), (2, 16, 4, 4, 4)])
def test_gradients_of_a_guarded_network_are_right_on_this_machine(shape):
    """At depth 2 oneDNN's bfloat16 weight gradient is wrong on some machines; with the guard it is right on all."""
    torch.manual_seed(0)
    conv = nn.Conv3d(shape[1], 32, 3, padding=1)
    conv.in_channels = shape[1]
    sound.make_sound(conv, shape[0], shape[2:], "cpu", torch.bfloat16)
    x = torch.randn(shape)
    grads = []
    for enabled in (False, True):
        conv.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = conv(x)
        y.float().square().sum().backward()
        grads.append(conv.weight.grad.clone())
    torch.testing.assert_close(grads[1], grads[0], rtol=0.05, atol=0.05 * grads[0].abs().max().item())


def test_float32_finds_nothing_wrong():
    network = create_network("rep3d-tiny", out_channels=3)
    assert sound.unsound_convolutions(network, 1, (32, 32, 32), "cpu", torch.float32) == {}
