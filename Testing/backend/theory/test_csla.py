"""PAPER section 1: a CSLA block and its single operator with the learning-rate field follow the same path."""

from __future__ import annotations

import pytest
import torch
from rep3d.layers import CSLAConfig
from rep3d.training.config import TrainConfig
from rep3d.training.fields import ElementwiseRates, field_of, rate_fields
from rep3d.training.optimizer import make_optimizer
from rep3d.training.rates import parameter_groups

from .twins import ROUNDING, STEPS, as_branches, copy_effective, distance, large_kernels, make_network, train

SCALES = {"small_kernel_size": (3, 3, 3), "large_scale": 0.8, "small_scale": -1.7}
RATES = {"sgd": {"lr": 0.05, "lr_small": 0.15}, "adamw": {"lr": 1e-3, "lr_small": 3e-3}}


def config(optimizer: str, **changes) -> TrainConfig:
    values = {"optimizer": optimizer, "weight_decay": 0.0, **RATES[optimizer], **changes}
    return TrainConfig(task="t", network="rep3d-tiny", patch=(32, 32, 32), **values)


def field_config(optimizer: str, **changes) -> TrainConfig:
    return config(optimizer, lr_field="csla", lr_field_args=SCALES, **changes)


def twins(*, scales: dict = SCALES):
    """A CSLA network in its two-branch form and the plain network of the same function."""
    two = make_network("csla", csla=CSLAConfig(**scales))
    as_branches(two)
    one = make_network("plain", seed=1)
    copy_effective(two, one)
    return two, one


def warm_up(base: float):
    """A schedule: the field and both branches have to follow it in proportion."""
    return lambda step: base * min(1.0, (step + 1) / 10)


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_with_momentum(nesterov):
    two, one = twins()
    a, b = config("sgd"), field_config("sgd")
    if nesterov:
        optimizers = make_optimizer(two, a), make_optimizer(one, b)
    else:
        optimizers = (
            torch.optim.SGD(parameter_groups(two, a), lr=a.lr, momentum=0.9),
            torch.optim.SGD(parameter_groups(one, b), lr=b.lr, momentum=0.9),
        )
        ElementwiseRates(optimizers[1], rate_fields(one, b))
    assert all(g["nesterov"] is nesterov for o in optimizers for g in o.param_groups)
    paths = [train(n, o, rate=warm_up(a.lr)) for n, o in zip((two, one), optimizers)]
    assert distance(*paths) < ROUNDING


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_at_equal_rates_is_not_part_of_the_field(optimizer):
    two, one = twins(scales={**SCALES, "large_scale": 1.0, "small_scale": 1.0})
    same = {"lr_small": 0.0, "weight_decay": 0.1}
    unit = {"small_kernel_size": [3, 3, 3]}
    a, b = config(optimizer, **same), config(optimizer, **same, lr_field="csla", lr_field_args=unit)
    assert distance(*(train(n, make_optimizer(n, c)) for n, c in ((two, a), (one, b)))) < ROUNDING


def scale_eps(network, optimizer, settings: CSLAConfig) -> None:
    """Move each branch to a group of its own whose eps is the configured one times the branch's scale."""
    groups, branches = [], {}
    for conv in large_kernels(network):
        branches[conv.weight] = abs(settings.large_scale)
        branches[conv.weight_small] = abs(settings.small_scale)
    for group in optimizer.param_groups:
        others = [p for p in group["params"] if p not in branches]
        for p in group["params"]:
            if p in branches:
                groups.append({**group, "params": [p], "eps": group["eps"] * branches[p]})
        groups.append({**group, "params": others})
    optimizer.param_groups[:] = groups


def test_adam_with_any_eps_that_is_scaled_with_the_branch():
    """A branch's gradient is a_B times the operator's, so that a_B eps does to it what eps does to the operator's."""
    two, one = twins()
    a, b = config("adamw", eps=1e-2), field_config("adamw", eps=1e-2)
    optimizers = make_optimizer(two, a), make_optimizer(one, b)
    scale_eps(two, optimizers[0], CSLAConfig(**SCALES))
    paths = [train(n, o, rate=warm_up(a.lr)) for n, o in zip((two, one), optimizers)]
    assert distance(*paths) < ROUNDING


def test_adam_with_one_eps_that_is_nothing_beside_the_gradients():
    two, one = twins()
    a, b = config("adamw", eps=1e-30), field_config("adamw", eps=1e-30)
    assert distance(*(train(n, make_optimizer(n, c)) for n, c in ((two, a), (one, b)))) < ROUNDING


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("wrong", ["none", "other optimiser's", "shifted rate"])
def test_a_wrong_field_leaves_the_path(optimizer, wrong):
    two, one = twins()
    a, b = config(optimizer), field_config(optimizer)
    step = make_optimizer(one, config(optimizer, lr_small=0.0))
    if wrong == "other optimiser's":
        other = field_config({"sgd": "adamw", "adamw": "sgd"}[optimizer], lr=b.lr, lr_small=b.lr_small)
        ElementwiseRates(step, [(c.weight, field_of(c.kernel_size, other)) for c in large_kernels(one)])
    elif wrong == "shifted rate":
        other = field_config(optimizer, lr_small=b.lr_small * 1.05)
        ElementwiseRates(step, rate_fields(one, other))
    paths = train(two, make_optimizer(two, a), steps=5), train(one, step, steps=5)
    assert distance(*paths) > 1e-3


@pytest.mark.parametrize(("optimizer", "matters"), [("adamw", False), ("sgd", True)])
def test_a_constant_factor_on_gradients_does_nothing_under_adam(optimizer, matters):
    """RepOptimizer's gradient re-parameterisation is for SGD: Adam divides the factor out again."""
    c = config(optimizer, eps=1e-30, lr_small=0.0)
    field = field_of((5, 7, 5), field_config("sgd"))
    networks = make_network("plain"), make_network("plain")

    def mask() -> None:
        for conv in large_kernels(networks[1]):
            conv.weight.grad *= field

    steps = 10 if matters else STEPS
    paths = [train(n, make_optimizer(n, c), steps=steps, before_step=f) for n, f in zip(networks, (None, mask))]
    assert distance(*paths) > 1e-2 if matters else distance(*paths) < ROUNDING
