"""Receptive fields in numbers, where the answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rep3d.errors import BadInput
from rep3d.interpret.erf import ReceptiveField, Target, distances_mm, receptive_field, receptive_fields
from rep3d.interpret.reach import fit_gaussian, measure, summarise
from rep3d.interpret.theory import theoretical_field
from torch import nn


def field(gradient, voxel=None, spacing=(1.0, 1.0, 1.0), negative=None):
    voxel = voxel or tuple(n // 2 for n in gradient.shape)
    return ReceptiveField(gradient, voxel, 1, 0.0, spacing, 0.0, 0.0, negative)


def box_filters(layers: int, kernel: int = 3) -> nn.Sequential:
    convs = [nn.Conv3d(1, 1, kernel, padding=kernel // 2, bias=False) for _ in range(layers)]
    for conv in convs:
        nn.init.constant_(conv.weight, 1 / kernel**3)
    return nn.Sequential(*convs)


@pytest.mark.parametrize(("layers", "kernel"), [(12, 3), (6, 5)])
def test_a_stack_of_box_filters_tends_to_a_gaussian_of_known_width(layers, kernel):
    net = box_filters(layers, kernel)
    spacing = (2.0, 2.0, 2.0)
    made = receptive_field(net, torch.rand(1, 33, 33, 33), (16, 16, 16), 0, spacing_mm=spacing)
    numbers = measure(made, theoretical_field(net, (33, 33, 33))).numbers
    sigma = 2.0 * np.sqrt(layers * (kernel**2 - 1) / 12)  # a box of k voxels has variance (k^2 - 1) / 12
    assert numbers["sigma_moment_mm"] == pytest.approx(sigma, rel=1e-3)
    assert numbers["sigma_mm"] == pytest.approx(sigma, rel=0.03) and numbers["fit_r2"] > 0.99
    assert numbers["radius50_mm"] == pytest.approx(1.5382 * sigma, rel=0.05)  # median of the chi distribution, 3 axes
    assert numbers["negative"] == pytest.approx(0, abs=1e-6)
    assert numbers["theory_volume"] < 0.3 and numbers["theory_radius"] < 0.6  # far smaller than the theoretical field


def test_radii_volumes_and_the_negative_part():
    gradient = np.zeros((9, 9, 9), np.float32)
    gradient[4, 4, 4], gradient[4, 4, 6], gradient[4, 0, 4] = 0.3, 0.45, 0.25
    negative = np.zeros_like(gradient)
    negative[4, 4, 6] = 0.45
    made = measure(field(gradient, spacing=(1.0, 2.0, 3.0), negative=negative))
    n = made.numbers
    assert (n["radius20_mm"], n["radius50_mm"], n["radius90_mm"], n["radius99_mm"]) == (0, 6, 8, 8)
    assert [round(n[f"volume{f}"] * 729) for f in (20, 50, 90, 99)] == [1, 2, 3, 3]
    assert n["negative"] == pytest.approx(0.45)
    assert made.shell_mm == 3 and made.cumulative[[0, 1, 2, 3]] == pytest.approx([0.3, 0.3, 0.75, 1.0])


def test_a_uniform_field_fills_its_theoretical_box():
    net = box_filters(1, 7)
    made = receptive_field(net, torch.rand(1, 17, 17, 17), (8, 8, 8), 0)
    n = measure(made, theoretical_field(net, (17, 17, 17))).numbers
    assert n["theory_radius"] == pytest.approx(1) and n["theory_volume"] == pytest.approx(0.9, abs=0.01)
    assert n["volume90"] == pytest.approx(0.9 * 343 / 17**3, rel=0.01)


def test_the_fit_is_by_voxels_not_by_logarithms():
    distance = distances_mm((41, 41, 41), (20, 20, 20), (1.0, 1.0, 1.0))
    narrow, wide = np.exp(-(distance**2) / 8), np.exp(-(distance**2) / 200)
    sigma, r2 = fit_gaussian(distance, narrow)
    assert sigma == pytest.approx(2, rel=1e-4) and r2 == pytest.approx(1)
    assert fit_gaussian(distance, narrow + 1e-6 * wide)[0] == pytest.approx(2, rel=0.01)  # a faint halo changes nothing
    assert np.isnan(fit_gaussian(distance, np.ones_like(distance))[0])  # flat: no Gaussian of this size
    point = np.zeros_like(distance)
    point[20, 20, 20] = 1
    assert fit_gaussian(distance, point) == (0.0, 1.0)


def test_zero_fields_are_refused():
    with pytest.raises(BadInput, match="zero everywhere"):
        measure(field(np.zeros((5, 5, 5), np.float32)))


def test_several_targets_in_one_pass():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1, stride=2), nn.ConvTranspose3d(2, 3, 2, stride=2))
    x = torch.rand(1, 12, 12, 12)
    targets = [Target((5, 6, 7), 2), Target((5, 6, 7), module="0"), Target((1, 1, 1), 0)]
    logit, deep, other = receptive_fields(net, x, targets)
    assert np.array_equal(logit.gradient, receptive_field(net, x, (5, 6, 7), 2).gradient)
    weight = net[0].weight.detach().sum(0)[0].numpy()  # the sum over channels at map voxel (2, 3, 3)
    expected = np.zeros((12, 12, 12), np.float32)
    expected[3:6, 5:8, 5:8] = weight
    assert np.allclose(deep.gradient, np.abs(expected), atol=1e-6) and deep.class_index == -1
    assert np.allclose(deep.negative, np.clip(-expected, 0, None), atol=1e-6)
    assert other.gradient[6:].max() == 0
    with pytest.raises(BadInput, match="no part '7'"):
        receptive_fields(net, x, [Target((1, 1, 1), module="7")])


def test_summaries_over_patches():
    rng = np.random.default_rng(3)
    pairs = []
    for width in (2.0, 2.5, 3.0, 3.5):
        at = tuple(int(v) for v in rng.integers(8, 12, 3))
        gradient = np.exp(-(distances_mm((20, 20, 20), at, (1, 1, 1)) ** 2) / (2 * width**2)).astype(np.float32)
        one = field(gradient, at, negative=0.25 * gradient)
        pairs.append((one, measure(one)))
    made = summarise("net", "logits", "liver", pairs)
    sigma = made.numbers["sigma_mm"]
    assert sigma.mean == pytest.approx(2.75, rel=1e-3) and 2.0 <= sigma.low < sigma.mean < sigma.high <= 3.5
    assert made.patches == 4 and np.unravel_index(made.map.argmax(), made.map.shape) == (10, 10, 10)
    assert (made.cumulative[1] <= made.cumulative[0] + 1e-12).all() and made.cumulative[0, -1] == pytest.approx(1)
    assert np.allclose(made.negative_map, 0.25 * made.map, atol=1e-7)
    assert summarise("net", "logits", "liver", pairs).numbers == made.numbers  # the same seed, the same interval
    json.dumps(made.to_dict(), allow_nan=False)
    alone = summarise("net", "logits", "liver", pairs[:1]).numbers["sigma_mm"]
    assert alone.low is None and alone.high is None
    with pytest.raises(ValueError, match="no patch"):
        summarise("net", "logits", "liver", [])


def test_intervals_hold_what_they_promise():
    """Of 95 % intervals of the mean of 12 normal numbers, most hold the true mean (resampling is a bit too sure)."""
    rng = np.random.default_rng(0)
    hits = 0
    gradient = np.zeros((3, 3, 3), np.float32)
    gradient[1, 1, 1] = 1
    template = measure(field(gradient))
    for seed in range(60):
        values = rng.normal(5, 1, 12)
        reaches = [(field(gradient), replace(template, numbers={"x": float(v)})) for v in values]
        found = summarise("n", "d", "c", reaches, seed=seed).numbers["x"]
        hits += found.low <= 5 <= found.high
    assert 50 <= hits < 60


def test_attention_and_what_cannot_be_followed_give_the_whole_patch():
    class Attends(nn.Module):
        in_channels = 1

        def __init__(self):
            super().__init__()
            self.conv, self.mix = nn.Conv3d(1, 2, 3, padding=1), nn.Linear(2, 2)

        def forward(self, x):
            return self.mix(self.conv(x).movedim(1, -1)).movedim(-1, 1)

    class Folds(nn.Module):
        in_channels = 1

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(1, 2, 3, padding=1)

        def forward(self, x):
            return self.conv(x.reshape(x.shape[0], 1, 8, 8, 8))

    for network in (Attends(), Folds()):
        field = theoretical_field(network, (8, 8, 8))
        assert (field.extent, field.box, field.exact) == ((8, 8, 8), ((0, 8),) * 3, False)
    assert theoretical_field(nn.Sequential(nn.Conv3d(1, 2, 3, padding=1)), (8, 8, 8)).exact
