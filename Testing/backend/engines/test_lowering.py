"""The copy that is compiled computes what the network does and leaves the network alone."""

from __future__ import annotations

import copy

import torch
from rep3d.inference.engines.lowering import ExplicitInstanceNorm, lowered_copy, operator_sizes
from rep3d.inference.engines.spectral_module import SpectralConv3d
from rep3d.networks import create_network
from torch import nn

from .conftest import SHAPE


def test_same_logits_and_an_untouched_network(network):
    before = copy.deepcopy(network.state_dict())
    lowered = lowered_copy(network, SHAPE)
    x = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = network(x), lowered(x)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in before.items())
    kinds = [type(m) for m in lowered.modules()]
    assert kinds.count(SpectralConv3d) >= 2 and ExplicitInstanceNorm in kinds and nn.InstanceNorm3d not in kinds
    # Direct on the smallest maps, without the taps that never meet data.
    deepest = lowered.get_submodule("encoder.stages.3.0.conv")
    assert isinstance(deepest, nn.Conv3d) and deepest.weight.shape[2:] == (3, 3, 3)


def test_masks_are_part_of_the_kernel():
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", in_channels=1, out_channels=2, reparam="lrbm", kernel_size=9).eval()
    x = torch.rand(SHAPE)
    with torch.no_grad():
        expected, found = network(x), lowered_copy(network, SHAPE)(x)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_sizes_of_maps(network):
    sizes = operator_sizes(network, (1, 1, 48, 32, 64))
    assert sizes["encoder.stages.0.0.conv"] == (24, 16, 32) and sizes["encoder.stages.3.1.conv"] == (3, 2, 4)
    assert operator_sizes(nn.Conv3d(1, 1, 1), SHAPE) == {}
