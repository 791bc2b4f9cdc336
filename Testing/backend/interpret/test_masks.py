"""Masks as numbers: names, priors, profiles, energies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rep3d.interpret import energy, masks_from_network, radial_profile
from rep3d.interpret.masks import distances, radius_holding
from rep3d.networks import create_network


@pytest.mark.parametrize("reparam", ["lrbm", "fixed"])
def test_masks_of_a_network_are_those_it_multiplies_with(reparam):
    torch.manual_seed(3)
    net = create_network("rep3d-tiny", in_channels=1, out_channels=2, reparam=reparam)
    with torch.no_grad():
        for stage in net.encoder.stages:
            stage[0].conv.mask.prior.exponent.fill_(0.7)
    blocks = masks_from_network(net)
    assert [b.name for b in blocks] == [f"stage{i}.block{j}" for i in (1, 2, 3, 4) for j in (1, 2)]
    conv = net.encoder.stages[1][0].conv
    effective = conv.effective_weight().detach().numpy()
    assert np.allclose(conv.weight.detach().numpy()[:, 0] * blocks[2].mask_CKKK, effective[:, 0], atol=1e-6)
    assert np.allclose(blocks[2].prior_KKK, conv.mask.prior().detach().numpy(), atol=1e-6) or reparam == "fixed"


def test_exponents():
    net = create_network("rep3d-tiny", in_channels=1, out_channels=2)
    with torch.no_grad():
        net.encoder.stages[0][0].conv.mask.prior.exponent.fill_(-0.4)
    block = masks_from_network(net)[0]
    assert block.exponent == pytest.approx(-0.4) and block.exponent_known
    # eq. 14 by hand: e^a / (d + e^a)
    scale = np.exp(-0.4)
    assert block.prior_KKK[10, 10, 10] == pytest.approx(1)
    assert block.prior_KKK[10, 13, 14] == pytest.approx(scale / (5 + scale), rel=1e-5)


def test_plain_networks_have_no_masks():
    assert masks_from_network(create_network("rep3d-tiny", in_channels=1, out_channels=2, reparam="plain")) == []


def test_radial_profile_of_the_distance_is_the_radius():
    profile = radial_profile(distances((11, 11, 11)))
    assert profile.radius.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.allclose(profile.mean, profile.radius, atol=0.3)
    assert (profile.low <= profile.mean).all() and (profile.mean <= profile.high).all()


def test_energy_of_known_kernels():
    delta = np.zeros((2, 7, 7, 7))
    delta[:, 3, 3, 3] = -2
    made = energy(delta)
    assert made.centre == 1 and made.radius90 == 0 and made.minimum == -2
    ring = np.zeros((7, 7, 7))
    ring[3, 3, 6] = ring[3, 3, 0] = 1
    made = energy(ring)
    assert made.centre == 0 and made.radius50 == 3 and made.within == (0, 0, 1)
    with pytest.raises(ValueError, match="zero everywhere"):
        energy(np.zeros((3, 3, 3)))


@given(st.integers(0, 10_000), st.floats(0.01, 1))
def test_radius_holding_is_the_smallest_that_does(seed, fraction):
    rng = np.random.default_rng(seed)
    distance, amount = rng.random(50), rng.random(50)
    radius = radius_holding(distance, amount, fraction)
    total = amount.sum()
    assert amount[distance <= radius].sum() >= fraction * total * (1 - 1e-9)
    assert amount[distance < radius].sum() < fraction * total
