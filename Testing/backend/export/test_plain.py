"""The operator as PyTorch's convolution, and norms that add up in steps: the same function, nothing of ours left."""

from __future__ import annotations

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.export.norms import StepwiseNorm, stepwise_norms
from rep3d.export.plain import check_plain, plain_copy
from rep3d.layers import LargeKernelConv3d
from rep3d.networks import create_network
from rep3d.ops import depthwise_conv3d
from torch import nn


@pytest.mark.parametrize("args", [{"deployed": True}, {"reparam": "lrbm"}, {"reparam": "csla", "norm": "batch-first"}])
def test_plain_copy_computes_the_same(args):
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, kernel_size=7, **args).eval()
    x = torch.rand(2, 1, 32, 48, 32)
    plain = plain_copy(network)
    with torch.no_grad():
        torch.testing.assert_close(check_plain(plain, x), network(x), rtol=0, atol=2e-5)
    assert not any(hasattr(m, "effective_weight") for m in plain.modules())
    assert any(isinstance(m, LargeKernelConv3d) or hasattr(m, "effective_weight") for m in network.modules())
    with pytest.raises(BadInput, match="depthwise_conv3d"):
        check_plain(network, x)


def test_state_fits_both_forms(source):
    plain = plain_copy(source.network)
    assert plain.state_dict().keys() == source.network.state_dict().keys()
    plain.load_state_dict(source.network.state_dict())


def test_an_operator_called_by_hand_is_found():
    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.ones(1, 1, 3, 3, 3))

        def forward(self, x):
            return depthwise_conv3d(x, self.kernel)

    with pytest.raises(BadInput, match="depthwise_conv3d"):
        check_plain(plain_copy(ByHand()), torch.rand(1, 1, 4, 4, 4))


@pytest.mark.parametrize(
    "norm", [nn.InstanceNorm3d(6), nn.InstanceNorm3d(6, affine=True, eps=1e-2), nn.GroupNorm(3, 6, eps=1e-3)]
)
def test_stepwise_norms_are_the_norms(norm):
    torch.manual_seed(1)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    x = 5 + torch.randn(2, 6, 7, 5, 4)
    stepwise = stepwise_norms(nn.Sequential(norm))
    assert isinstance(stepwise[0], StepwiseNorm)
    torch.testing.assert_close(stepwise(x), norm(x), rtol=1e-5, atol=1e-5)
