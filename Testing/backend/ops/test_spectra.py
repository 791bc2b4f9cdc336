"""The cache of weight spectra: used for constant weights, never stale, bounded, released with the weight."""

import gc

import pytest
import torch
from rep3d.ops import clear_spectrum_cache, depthwise_conv3d, set_spectrum_cache_limit, spectrum_cache_report
from rep3d.ops.fingerprint import fingerprint
from rep3d.ops.oracle import conv3d_reference


def agrees(x, weight):
    with torch.no_grad():
        y = depthwise_conv3d(x, weight, algorithm="fft")
    reference = conv3d_reference(x, weight)
    return bool((y - reference).abs().max() <= 1e-5 * reference.abs().max())


@pytest.fixture
def x():
    return torch.randn(1, 2, 5, 6, 7)


@pytest.fixture
def weight():
    return torch.nn.Parameter(torch.randn(2, 1, 3, 5, 7))


def test_a_constant_weight_is_transformed_once(x, weight):
    assert agrees(x, weight) and agrees(x, weight) and agrees(x, weight)
    report = spectrum_cache_report()
    assert (report.entries, report.misses, report.hits) == (1, 1, 2)
    assert report.bytes == 2 * 6 * 8 * 6 * 8  # channels, lengths 5 + 1 and 6 + 2, half of 7 + 3, bytes of a complex64


def test_a_training_weight_is_not_kept(x, weight):
    depthwise_conv3d(x, weight, algorithm="fft").sum().backward()
    assert spectrum_cache_report().entries == 0
    frozen = weight.detach()
    depthwise_conv3d(x.requires_grad_(), frozen, algorithm="fft").sum().backward()
    report = spectrum_cache_report()
    assert report.entries == 1 and report.hits == 1  # forward made it, the backward for x used it


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.mul_(2),
        lambda w: w[1, 0, 0, 0, 0].fill_(7),
        lambda w: w.data.mul_(2),  # moves no version counter
        lambda w: w.data.copy_(w.data.flip(4)),  # nor does this, and the values are the same ones
        lambda w: w.data.neg_(),
        lambda w: w.data.view(-1)[:40:2].neg_(),
        lambda w: w.data.copy_(w.data.roll(1, 4)),
        lambda w: w.data.copy_(w.data.flip(0)),
        lambda w: setattr(w, "data", w.data * 3),
        lambda w: torch.optim.SGD([w], lr=1.0).step(),
        lambda w: w.detach().numpy().fill(0.25),
    ],
)
def test_a_changed_weight_is_transformed_anew(x, weight, change):
    weight.grad = torch.ones_like(weight)
    assert agrees(x, weight)
    with torch.no_grad():
        change(weight)
    assert agrees(x, weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("numel", [1, 7, 130, 4999])
def test_two_values_that_change_places_are_noticed(dtype, numel):
    values = torch.randn(numel + 1).to(dtype)
    for part in (values[:numel], values[1:]):  # the second does not begin at a whole integer of 8 bytes
        before = fingerprint(part)
        assert torch.equal(before, fingerprint(part.clone()))
        for a, b in zip(torch.randint(numel, (50,)).tolist(), torch.randint(numel, (50,)).tolist()):
            part[[a, b]] = part[[b, a]]
            assert torch.equal(before, fingerprint(part)) == (part[a] == part[b] or a == b)
            part[[a, b]] = part[[b, a]]
        for distance in (1, 2, 64, 66, 128):  # neighbours, and places in one column or in one row
            if distance < numel:
                part[[0, distance]] = part[[distance, 0]]
                assert not torch.equal(before, fingerprint(part)) or part[0] == part[distance]
                part[[0, distance]] = part[[distance, 0]]


def test_a_step_of_training_between_two_evaluations(x, weight):
    optimiser = torch.optim.AdamW([weight], lr=0.1)
    for _ in range(3):
        assert agrees(x, weight)
        optimiser.zero_grad()
        depthwise_conv3d(x, weight, algorithm="fft").square().sum().backward()
        optimiser.step()
    assert agrees(x, weight)


def test_loading_a_state_dict(x):
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.randn(2, 1, 3, 5, 7))
    assert agrees(x, module.weight)
    for assign in (False, True):
        module.load_state_dict({"weight": torch.randn(2, 1, 3, 5, 7)}, assign=assign)
        assert agrees(x, module.weight)


def test_entries_go_with_their_weight(x):
    for _ in range(20):  # new tensors reuse the ids of dead ones
        assert agrees(x, torch.randn(2, 1, 3, 5, 7))
    gc.collect()
    report = spectrum_cache_report()
    assert (report.entries, report.bytes, report.hits) == (0, 0, 0)


def test_inference_tensors(x):
    with torch.inference_mode():
        weight = torch.randn(2, 1, 3, 5, 7)
        assert agrees(x, weight) and agrees(x, weight)
        weight.mul_(2)  # inference tensors have no version counter
        assert agrees(x, weight)
    assert agrees(x, weight)


def test_a_spectrum_made_in_inference_mode_serves_training(x, weight):
    frozen = weight.detach()
    with torch.inference_mode():
        depthwise_conv3d(x, frozen, algorithm="matmul")
    leaf = x.clone().requires_grad_()
    depthwise_conv3d(leaf, frozen, algorithm="matmul").square().sum().backward()
    assert spectrum_cache_report().hits >= 1 and leaf.grad is not None


def test_one_weight_at_two_sizes_and_types(weight):
    for _ in range(2):
        assert agrees(torch.randn(1, 2, 5, 6, 7), weight)
        assert agrees(torch.randn(2, 2, 4, 4, 4), weight)
    assert spectrum_cache_report().entries == 2


def test_the_limit_holds(x):
    weights = [torch.randn(2, 1, 3, 5, 7) for _ in range(4)]
    assert agrees(x, weights[0])
    one = spectrum_cache_report().bytes
    set_spectrum_cache_limit(2 * one)
    for weight in weights:
        assert agrees(x, weight)
    report = spectrum_cache_report()
    assert report.entries == 2 and report.bytes <= report.limit
    set_spectrum_cache_limit(0)
    assert agrees(x, weights[0])
    assert spectrum_cache_report().entries == 0
    set_spectrum_cache_limit(one)
    assert agrees(x, weights[0])
    clear_spectrum_cache()
    assert spectrum_cache_report().bytes == 0
