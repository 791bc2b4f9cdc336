"""Rates by group and by element: who gets which, what is refused, and the arithmetic of one step."""

from __future__ import annotations

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.networks import create_network
from rep3d.training.build import build_network
from rep3d.training.fields import ElementwiseRates, field_of
from rep3d.training.optimizer import make_optimizer
from rep3d.training.rates import RATIO, set_rates

CSLA = {"in_channels": 1, "reparam": "csla", "kernel_size": 5}
PLAIN = {"in_channels": 1, "reparam": "plain", "kernel_size": 5}


def test_small_branches_follow_the_schedule_in_proportion(config_of):
    config = config_of(network_args=CSLA, lr=2e-4, lr_small=6e-4)
    network = build_network(config, 3)
    optimizer = make_optimizer(network, config)
    small = [p for n, p in network.named_parameters() if n.endswith("weight_small")]
    assert len(small) == 8 and optimizer.param_groups[2]["params"] == small
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(network.parameters()))
    assert [g["lr"] for g in optimizer.param_groups] == [2e-4, 2e-4, 6e-4]
    set_rates(optimizer, 1e-4)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([1e-4, 1e-4, 3e-4])
    again = make_optimizer(network, config)
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[2][RATIO] == pytest.approx(3)


def test_without_rates_of_their_own_there_are_the_two_usual_groups(config_of):
    config = config_of(network_args=CSLA)
    assert len(make_optimizer(build_network(config, 3), config).param_groups) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_small": 1e-3}, "--lr-small 0.001 has no effect"),
        ({"network_args": CSLA, "lr_small": 1e-3, "lr": 0.0}, "above 0"),
        ({"network_args": CSLA, "lr_field": "prior"}, "--lr-field prior has no effect"),
        ({"network_args": {"in_channels": 1}, "network": "segresnet", "lr_field": "csla"}, "has no effect"),
        ({"lr_field_args": {"exponent": 1.0}}, "without --lr-field"),
        ({"lr_field": "prior", "lr_field_args": {"exponents": 1.0}}, "no setting exponents"),
        ({"lr_field": "prior", "lr_field_args": {"exponent": "a"}}, "exponent"),
        ({"lr_field": "csla", "lr_field_args": {"init": "none"}}, "init must be"),
        ({"lr_field": "csla", "lr_field_args": {"small_kernel_size": 4}}, "odd"),
        ({"lr_field": "csla", "network_args": {**PLAIN, "kernel_size": 1}}, "does not fit"),
    ],
)
def test_settings_without_effect_and_wrong_ones_are_refused(config_of, changes, message):
    config = config_of(**{"network_args": PLAIN, **changes})
    with pytest.raises(BadInput, match=message), torch.device("meta"):
        make_optimizer(build_network(config, 3), config)


def test_the_merged_start_is_that_of_the_csla_network_of_the_same_seed(config_of):
    branches = {"small_kernel_size": 3, "large_scale": 0.5, "small_scale": 2.0}
    torch.manual_seed(3)
    config = config_of(network_args=PLAIN, lr_field="csla", lr_field_args=branches)
    one, after = build_network(config, 3), torch.rand(1)
    torch.manual_seed(3)
    two = create_network("rep3d-tiny", out_channels=3, **{**CSLA, "csla": branches})
    for name, tensor in one.state_dict().items():
        conv = two.get_submodule(name.removesuffix(".weight")) if ".conv.weight" in name and "stages" in name else None
        assert torch.equal(tensor, conv.effective_weight() if conv else two.state_dict()[name]), name
    torch.manual_seed(3)
    create_network("rep3d-tiny", out_channels=3, **PLAIN)
    assert torch.equal(after, torch.rand(1))  # what is drawn afterwards does not depend on the rule


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_step_by_hand_with_weight_decay_outside_the_field(config_of, optimizer):
    config = config_of(
        network_args=PLAIN, lr_field="prior", optimizer=optimizer, lr=0.1, weight_decay=0.5, momentum=0.0
    )
    weight = torch.nn.Parameter(torch.randn(2, 1, 5, 5, 5, dtype=torch.float64))
    other = torch.nn.Parameter(torch.randn(3, dtype=torch.float64))
    groups = [{"params": [weight, other], "weight_decay": 0.5}]
    step = torch.optim.SGD(groups, lr=0.1) if optimizer == "sgd" else torch.optim.AdamW(groups, lr=0.1)
    field = field_of((5, 5, 5), config)
    ElementwiseRates(step, [(weight, field)])
    before, rest = weight.detach().clone(), other.detach().clone()
    weight.grad, other.grad = torch.randn_like(weight), torch.randn_like(other)
    gradients = [weight.grad.clone(), other.grad.clone()]
    step.step()
    moves = gradients if optimizer == "sgd" else [g / (g.abs() + 1e-8) for g in gradients]
    assert torch.allclose(weight, before - 0.1 * (0.5 * before + field * moves[0]), rtol=0, atol=1e-12)
    assert torch.allclose(other, rest - 0.1 * (0.5 * rest + moves[1]), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="closure"):
        step.step(lambda: 0.0)


@pytest.mark.parametrize("changes", [{"lr_field": "prior"}, {"lr_field": "csla", "lr_small": 1e-3}])
def test_a_field_trains_from_a_folder_and_goes_on_exactly(config_of, tiny_data, tmp_path, changes):
    """Through all of a run: looked at for its shapes, trained, stopped after a step and continued."""
    from rep3d.tasks import load_task
    from rep3d.training.checkpoint import load_checkpoint
    from rep3d.training.run import run_training

    states = []
    for name, counts in (("whole", [2]), ("parts", [1, 2])):
        for steps in counts:
            config = config_of(steps=steps, val_limit=1, val_overlap=0.0, val_every=9, schedule="constant", **changes)
            cache = tmp_path / "cache"
            run_training(config, load_task("msd-hippocampus"), tiny_data, tmp_path / name, cache=cache)
        states.append(load_checkpoint(tmp_path / name / "last.ckpt")["model"])
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
