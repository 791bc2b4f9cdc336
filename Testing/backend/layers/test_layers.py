"""Distance prior, LRBM, re-parameterised convolution and CSLA against their equations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.layers import LRBM, CSLAConv3d, DistancePrior, LargeKernelConv3d, LRBMConfig


def test_prior_is_one_over_one_plus_distance_at_the_start():
    prior = DistancePrior((21, 21, 21), learnable=True)()
    assert prior[10, 10, 10] == 1
    assert torch.isclose(prior[10, 10, 13], torch.tensor(1 / 4))
    assert torch.isclose(prior[0, 0, 0], torch.tensor(1 / (1 + 300**0.5)))


def test_prior_exponent_has_the_gradient_of_eq_14():
    module = DistancePrior((5, 5, 5), learnable=True).double()
    module.exponent.data.fill_(0.3)

    def f(a):
        return a.exp() / (module.distance.double() + a.exp())

    a = module.exponent.detach().clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(f(a).sum(), a)
    module().sum().backward()
    assert torch.isclose(module.exponent.grad, expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("channels", ["shared", "depthwise"])
@pytest.mark.parametrize("kernel", [3, 9])
@pytest.mark.parametrize("bounded", [False, True])
def test_lrbm_mask_varies_and_every_part_of_the_generator_learns(depth, channels, kernel, bounded):
    torch.manual_seed(0)
    config = LRBMConfig(channels=channels, depth=depth, kernel=kernel, bounded=bounded)
    lrbm = LRBM((9, 9, 9), 3, config)
    mask = lrbm()
    assert mask.shape == ((3 if channels == "depthwise" else 1), 9, 9, 9)
    assert mask.std() > 0.01
    if bounded:
        assert mask.min() > 0 and mask.max() < 1
    (mask * torch.randn_like(mask)).sum().backward()
    for name, parameter in lrbm.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_lrbm_is_eq_15_and_16_written_out():
    torch.manual_seed(1)
    lrbm = LRBM((9, 9, 9), 4)
    prior = lrbm.prior()
    hidden = prior[None, None]
    for index, weight in enumerate(lrbm.conv_weights):
        hidden = torch.nn.functional.conv3d(hidden, weight, padding=3)
        hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + 1e-6).sqrt()
        if index == 0:
            hidden = torch.sigmoid(hidden)
    assert torch.allclose(lrbm()[0], prior + hidden[0, 0], atol=1e-5)


@pytest.mark.parametrize("bad", [{"channels": "all"}, {"depth": 4}, {"kernel": 4}])
def test_lrbm_config_refuses_what_it_does_not_know(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        LRBMConfig(**bad)


@pytest.mark.parametrize("reparam", ["lrbm", "fixed", "plain"])
def test_fifty_forwards_leave_the_weight_unchanged(reparam):
    torch.manual_seed(0)
    conv = LargeKernelConv3d(3, 7, reparam=reparam)
    before = {name: tensor.clone() for name, tensor in conv.state_dict().items()}
    x = torch.randn(1, 3, 8, 8, 8)
    first = conv(x)
    for _ in range(49):
        last = conv(x)
    assert torch.equal(first, last)
    for name, tensor in conv.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_effective_weight_is_weight_times_mask_and_sgd_moves_it_by_the_mask_squared():
    torch.manual_seed(0)
    conv = LargeKernelConv3d(2, 5, reparam="fixed").double()
    x = torch.randn(1, 2, 6, 6, 6, dtype=torch.float64)
    mask = conv.mask().detach()
    old = conv.effective_weight().detach().clone()
    effective = old.clone().requires_grad_(True)
    plain = torch.nn.functional.conv3d(x, effective, conv.bias, padding=2, groups=2)
    plain.square().sum().backward()
    conv(x).square().sum().backward()
    with torch.no_grad():
        conv.weight -= 0.01 * conv.weight.grad
    expected = old - 0.01 * mask[:, None].square() * effective.grad
    assert torch.allclose(conv.effective_weight(), expected, atol=1e-9)


def test_the_frozen_prior_has_no_trainable_mask_parameter():
    conv = LargeKernelConv3d(2, 5, reparam="fixed")
    assert not any(p.requires_grad for p in conv.mask.parameters())


@settings(max_examples=25, deadline=None)
@given(
    large=st.sampled_from([5, 7, 9, 21]),
    small=st.sampled_from([1, 3, 5]),
    channels=st.integers(1, 3),
    scales=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    size=st.tuples(*[st.integers(4, 9)] * 3),
    seed=st.integers(0, 2**31),
)
def test_csla_merge_is_exact(large, small, channels, scales, size, seed):
    torch.manual_seed(seed)
    csla = CSLAConv3d(channels, large, small, large_scale=scales[0], small_scale=scales[1]).double()
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    assert torch.allclose(csla(x), csla.forward_branches(x), atol=1e-10)


def test_csla_merge_has_the_gradients_of_the_branches():
    torch.manual_seed(0)
    csla = CSLAConv3d(2, 7, 3, large_scale=0.5, small_scale=2.0).double()
    x = torch.randn(1, 2, 6, 5, 7, dtype=torch.float64)
    csla(x).square().sum().backward()
    merged = [csla.weight_large.grad.clone(), csla.weight_small.grad.clone()]
    csla.zero_grad()
    csla.forward_branches(x).square().sum().backward()
    assert torch.allclose(merged[0], csla.weight_large.grad)
    assert torch.allclose(merged[1], csla.weight_small.grad)


def test_csla_small_kernel_must_fit():
    with pytest.raises(ValueError, match="does not fit"):
        CSLAConv3d(2, 3, 5)


def test_the_mask_stays_float32_under_autocast():
    lrbm = LRBM((7, 7, 7), 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert lrbm().dtype == torch.float32
