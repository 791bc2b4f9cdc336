"""Theoretical receptive fields against arithmetic, and against the support of real gradients."""

from __future__ import annotations

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.interpret.theory import theoretical_field
from rep3d.networks import create_network
from torch import nn


def test_stacked_convolutions():
    net = nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv3d(2, 2, (5, 3, 1), padding=(4, 1, 0), dilation=(2, 1, 1))
    )
    found = theoretical_field(net, (16, 32, 8), (1, 16, 4))
    assert found.extent == (3 + 2 * 4, 5, 3)
    assert found.box == ((0, 1 + 5 + 1), (14, 19), (3, 6))
    assert found.share == pytest.approx(7 * 5 * 3 / (16 * 32 * 8))


class UNet(nn.Module):
    """One halving, one skip; positive weights, so that the gradient's support is the connected set."""

    in_channels = 1

    def __init__(self):
        super().__init__()
        self.skip = nn.Conv3d(1, 2, 3, padding=1)
        self.down = nn.Conv3d(1, 2, 4, stride=2, padding=1)
        self.deep = nn.Conv3d(2, 2, 5, padding=2)
        self.up = nn.ConvTranspose3d(2, 2, 2, stride=2)
        self.out = nn.Conv3d(4, 2, 1)
        for parameter in self.parameters():
            parameter.data.abs_().add_(0.1)

    def forward(self, x):
        return self.out(torch.cat([self.skip(x), self.up(self.deep(self.down(x)))], 1))


@pytest.mark.parametrize("voxel", [(16, 16, 16), (17, 12, 3)])
def test_the_support_of_a_real_gradient(voxel):
    net = UNet().double()
    x = torch.rand(1, 1, 32, 32, 32, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[(0, 1, *voxel)], x)
    reached = (gradient[0, 0] > 0).nonzero()
    found = theoretical_field(net, (32, 32, 32), voxel)
    assert [list(b) for b in zip(*found.box)] == [reached.min(0).values.tolist(), (reached.max(0).values + 1).tolist()]
    assert len(reached) == round(found.share * 32**3)
    assert next(net.parameters()).requires_grad  # the network itself is as it was


def test_registered_networks():
    # stem 7 at stride 2; per stage 2 blocks of k, then k2 s2; decoder of 3^3 blocks
    small, large = (theoretical_field(create_network("rep3d-tiny", kernel_size=k), (64, 64, 64)) for k in (3, 7))
    # eight blocks grow by 4 taps each, at strides 2, 4, 8, 16 (two each)
    assert large.extent[0] - small.extent[0] == 4 * 2 * (2 + 4 + 8 + 16)
    assert theoretical_field(create_network("uxnet-tiny", kernel_size=7), (64, 64, 64)).extent == large.extent
    assert large.share == 1 and len(set(large.extent)) == 1


def test_depths():
    net = create_network("rep3d-tiny", kernel_size=3)
    found = theoretical_field(net, (64, 64, 64), module="encoder.stages.0")
    assert found.extent == (7 + 2 * 4,) * 3  # the stem, then two blocks of 3^3 at stride 2


def test_networks_without_convolutions_have_none():
    with pytest.raises(BadInput, match="no convolution"):
        theoretical_field(nn.ReLU(), (8, 8, 8))
