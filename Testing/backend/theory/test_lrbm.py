"""PAPER section 2: a mask that is held is a learning-rate field, M^2 under SGD and M under Adam."""

from __future__ import annotations

import pytest
from rep3d.layers import tap_distances
from rep3d.training.config import TrainConfig
from rep3d.training.fields import ElementwiseRates, field_of
from rep3d.training.optimizer import make_optimizer

from .twins import ROUNDING, copy_effective, distance, large_kernels, make_network, train


def config(optimizer: str, **changes) -> TrainConfig:
    rate = {"sgd": 0.05, "adamw": 1e-3}[optimizer]
    values = {"optimizer": optimizer, "weight_decay": 0.0, "lr": rate, "eps": 1e-30, **changes}
    return TrainConfig(task="t", network="rep3d-tiny", patch=(32, 32, 32), **values)


def twins(reparam: str):
    """A network with masks and the plain network of the same function."""
    masked = make_network(reparam)
    plain = make_network("plain", seed=1)
    copy_effective(masked, plain)
    return masked, plain


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_fixed_prior_is_the_prior_field(optimizer):
    masked, plain = twins("fixed")
    optimizers = make_optimizer(masked, config(optimizer)), make_optimizer(plain, config(optimizer, lr_field="prior"))
    assert distance(*(train(n, o) for n, o in zip((masked, plain), optimizers))) < ROUNDING


@pytest.mark.parametrize(("optimizer", "held"), [("sgd", True), ("adamw", True), ("sgd", False)])
def test_a_generated_mask_is_a_field_as_long_as_it_is_held(optimizer, held):
    """Its own motion is not in the field: once the generator learns, the paths part."""
    masked, plain = twins("lrbm")
    convs = large_kernels(masked)
    power = {"sgd": 2, "adamw": 1}[optimizer]
    fields = [conv.mask().detach()[0].abs() ** power for conv in convs]
    if held:
        for conv in convs:
            conv.mask.requires_grad_(False)
    step = make_optimizer(plain, config(optimizer))
    ElementwiseRates(step, [(conv.weight, field) for conv, field in zip(large_kernels(plain), fields)])
    steps = 20 if held else 5
    paths = train(masked, make_optimizer(masked, config(optimizer)), steps=steps), train(plain, step, steps=steps)
    assert distance(*paths) < ROUNDING if held else distance(*paths) > 1e-2


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_prior_without_its_square_under_sgd_and_with_it_under_adam_leaves_the_path(optimizer):
    masked, plain = twins("fixed")
    wrong = config({"sgd": "adamw", "adamw": "sgd"}[optimizer], lr_field="prior")
    step = make_optimizer(plain, config(optimizer))
    ElementwiseRates(step, [(c.weight, field_of(c.kernel_size, wrong)) for c in large_kernels(plain)])
    paths = train(masked, make_optimizer(masked, config(optimizer)), steps=5), train(plain, step, steps=5)
    assert distance(*paths) > 1e-2


def test_the_fields_are_those_of_the_equations():
    """Against numbers computed by hand: P = 1 / (1 + d); a_L^2 l_L + a_S^2 l_S or |a_L| l_L + |a_S| l_S inside."""
    sizes = (5, 7, 5)
    prior = 1 / (1 + tap_distances(sizes).double())
    assert (field_of(sizes, config("sgd", lr_field="prior")) - prior**2).abs().max() < 1e-12
    assert (field_of(sizes, config("adamw", lr_field="prior")) - prior).abs().max() < 1e-12
    branches = {"small_kernel_size": 3, "large_scale": 0.5, "small_scale": -2.0}
    csla = {"lr": 0.1, "lr_small": 0.3, "lr_field": "csla", "lr_field_args": branches}
    for optimizer, edge, centre in (("sgd", 0.25, 0.25 + 4 * 3), ("adamw", 0.5, 0.5 + 2 * 3)):
        field = field_of(sizes, config(optimizer, **csla))
        assert field.shape == sizes and abs(field[0, 0, 0] - edge) < 1e-12 and abs(field[2, 3, 2] - centre) < 1e-12
        assert ((field - centre).abs() < 1e-12).sum() == 27 and ((field - edge).abs() < 1e-12).sum() == 175 - 27
