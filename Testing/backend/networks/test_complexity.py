"""Counts of multiply-adds: by hand, against torch's own counter, and beside the paper's figures."""

from __future__ import annotations

import pytest
import torch
from rep3d.networks import create_network, list_networks
from rep3d.networks import registry as networks_registry
from rep3d.networks.baselines.attention import EncoderLayer, WindowAttention
from rep3d.networks.complexity import complexity
from rep3d.networks.paper import CLASSES, CLOSE, PATCH, ROWS, difference
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..tiny_baselines import TINY


class Tokens(nn.Module):
    """A transformer layer over the voxels of a map of 8 channels."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.flatten(2).transpose(1, 2))


class Last(nn.Module):
    """A layer for maps with channels last."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.permute(0, 2, 3, 4, 1))


@pytest.fixture
def counted(monkeypatch):
    """A function: the complexity of what ``build()`` makes, on 8 channels of the given size."""

    def counted(build, size):
        monkeypatch.setitem(networks_registry._BUILDERS, "for-this-test", build)
        return complexity(create_network("for-this-test"), 8, size)

    return counted


def test_a_transformer_layer_by_hand(counted):
    n, c, hidden = 4 * 3 * 2, 8, 32
    count = counted(lambda: Tokens(EncoderLayer(c, 2, mlp_ratio=4)), (4, 3, 2))
    linear = n * (c * 3 * c + c * c + 2 * c * hidden)
    assert count.multiply_adds_paper == linear
    assert count.multiply_adds == linear + 2 * n * n * c  # q k^T and its product with v, over both heads together


def test_attention_in_windows_by_hand(counted):
    windows, inside, c = 2 * 2 * 1, 4**3, 8  # 6 x 7 x 4 voxels are padded to 8 x 8 x 4
    count = counted(lambda: Last(WindowAttention(c, 2, 4, shifted=True)), (6, 7, 4))
    assert count.multiply_adds_paper == windows * inside * 4 * c * c
    assert count.multiply_adds - count.multiply_adds_paper == 2 * windows * inside**2 * c


def test_convolutions_by_hand(counted):
    def build():
        return nn.Sequential(nn.Conv3d(8, 4, 3, stride=2, padding=1), nn.ConvTranspose3d(4, 2, 4, stride=4))

    count = counted(build, (8, 8, 4))
    down, taps, up_from = 8 * 4 * 27 * (4 * 4 * 2), 4 * 2 * 64, 4 * 4 * 2
    assert count.multiply_adds == down + taps * up_from
    assert count.multiply_adds_paper == down + taps * up_from * 64
    assert count.parameters == 8 * 4 * 27 + 4 + 4 * 2 * 64 + 2


@pytest.mark.parametrize("name", ["unet3d", "nnunet", "unetr", "swinunetr", "nnformer", "unest-b", "rapnet"])
def test_torchs_own_counter_agrees(name):
    args, size = TINY[name]
    with torch.device("meta"):
        network = create_network(name, out_channels=3, **args)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.eval()(torch.empty(1, 1, *size))
    assert 2 * complexity(network, 1, size).multiply_adds == counter.get_total_flops()


#: Cost needs a walk through the whole network: the quick ones, and those whose difference is explained.
COSTS = ("segresnet-paper", "transbts", "unest-b", "unet3d", "nnunet")


@pytest.mark.parametrize("name", ROWS)
def test_sizes_are_the_papers_or_the_difference_is_explained(name):
    row = ROWS[name]
    assert name in list_networks()
    with torch.device("meta"):
        network = create_network(name, in_channels=1, out_channels=CLASSES)
    if row.parameters:
        assert abs(difference(sum(p.numel() for p in network.parameters()), row.parameters)) < 0.005
    if name in COSTS and row.multiply_adds:
        off = difference(complexity(network, 1, PATCH).multiply_adds_paper, row.multiply_adds)
        assert (abs(off) > CLOSE) == bool(row.note)
