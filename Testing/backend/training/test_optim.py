"""Configuration, schedules, weight decay, loss and moving average."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from rep3d.data.augment import AugmentConfig
from rep3d.errors import BadInput
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.training.config import TrainConfig, differences
from rep3d.training.optim import MovingAverage, Schedule, make_loss
from rep3d.training.optimizer import decays, make_optimizer
from rep3d.training.rates import set_rates

TASK = load_task("msd-hippocampus")


def test_schedules(config_of):
    cosine = Schedule(config_of(schedule="cosine", lr=1.0, warmup=10, steps=110))
    assert cosine.rate(0) == pytest.approx(0.1) and cosine.rate(9) == 1.0 and cosine.rate(10) == 1.0
    assert cosine.rate(60) == pytest.approx(0.5) and cosine.rate(109) < 1e-3
    poly = Schedule(config_of(schedule="poly", lr=1.0, warmup=10, steps=110, poly_power=2.0))
    assert poly.rate(9) == 1.0 and poly.rate(60) == pytest.approx(0.25) and poly.rate(110) == 0
    plateau = Schedule(config_of(schedule="plateau", lr=1.0, plateau_patience=2, plateau_factor=0.5))
    for dice in (0.1, 0.2, 0.2, 0.1):
        plateau.validated(dice)
    assert plateau.rate(50) == 1.0
    plateau.validated(math.nan)
    assert plateau.rate(50) == 0.5
    other = Schedule(config_of(schedule="plateau", lr=1.0))
    other.load_state_dict(plateau.state_dict())
    assert other.rate(50) == 0.5


def test_weight_decay_spares_norms_biases_and_masks(config_of):
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="lrbm")
    named = dict(network.named_parameters())
    masks = [n for n in named if ".mask." in n]
    assert masks and not any(decays(n, named[n]) for n in masks)
    assert all(decays(n, p) == (p.ndim > 1) for n, p in named.items() if n not in masks)
    with_decay, without = make_optimizer(network, config_of()).param_groups
    assert with_decay["weight_decay"] == 0.08 and without["weight_decay"] == 0
    assert len(with_decay["params"]) + len(without["params"]) == sum(p.requires_grad for p in named.values())


def test_the_first_step_is_as_long_as_the_paper_says():
    config = TrainConfig("msd-hippocampus", "rep3d-tiny", (32, 32, 32))
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain")
    optimizer = make_optimizer(network, config)
    free = optimizer.param_groups[1]["params"]  # without weight decay
    before = [p.detach().clone() for p in free]
    for p in network.parameters():
        p.grad = torch.ones_like(p)
    set_rates(optimizer, Schedule(config).rate(0))
    optimizer.step()
    for old, new in zip(before, free, strict=True):
        assert (old - new.detach()).numpy() == pytest.approx(1e-4, rel=1e-2)  # AdamW: the rate, whatever the gradient


def test_loss_is_dice_plus_cross_entropy():
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 4, 4, 4), torch.randint(0, 3, (2, 1, 4, 4, 4), dtype=torch.uint8)
    p = logits.softmax(1)
    hot = torch.nn.functional.one_hot(label[:, 0].long(), 3).permute(0, 4, 1, 2, 3).float()
    ce = torch.nn.functional.cross_entropy(logits, label[:, 0].long())
    for name, axes in (("dice-ce", (2, 3, 4)), ("batch-dice-ce", (0, 2, 3, 4))):
        dice = 1 - (2 * (p * hot).sum(axes) + 1e-5) / ((p + hot).sum(axes) + 1e-5)
        assert make_loss(name)(logits, label).item() == pytest.approx((dice.mean() + ce).item(), rel=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert make_loss(name)(logits.bfloat16(), label).dtype == torch.float32


def test_moving_average():
    layer = torch.nn.BatchNorm1d(2)
    average = MovingAverage(layer, 0.9)
    with torch.no_grad():
        layer.weight.fill_(3.0)
    layer.num_batches_tracked.fill_(7)
    average.update(layer, 0)  # decay (1 + 0) / (10 + 0)
    assert torch.allclose(average.state["weight"], torch.full((2,), 0.1 * 1 + 0.9 * 3))
    average.update(layer, 10_000)
    assert torch.allclose(average.state["weight"], torch.full((2,), 0.9 * 2.8 + 0.1 * 3))
    assert average.state["num_batches_tracked"] == 7


@pytest.mark.parametrize(
    "change, message",
    [
        ({"optimizer": "adamm"}, "optimizer 'adamm' is unknown"),
        ({"precision": "fp8"}, "precision"),
        ({"steps": 0}, "--steps"),
        ({"ema": 1.5}, "--ema"),
        ({"lr": -1.0}, "--lr"),
        ({"foreground": 2.0}, "--foreground"),
        ({"patch": (32, 32)}, "--patch"),
    ],
)
def test_wrong_values_are_named(config_of, change, message):
    with pytest.raises(BadInput, match=message):
        config_of(**change)


def test_what_may_differ_between_a_run_and_its_continuation(config_of):
    config = config_of(augment=AugmentConfig(mirror_axes=(1, 2)), ema=0.9)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    assert differences(config.to_dict(), replace(config, threads=7, save_every=9, steps=9).to_dict()) == []
    cosine = replace(config, schedule="cosine")
    assert differences(cosine.to_dict(), replace(cosine, steps=9).to_dict()) == ["steps: 4 in the checkpoint, 9 now"]


def test_a_checkpoint_of_an_earlier_version_is_continued_as_the_defaults_say(config_of):
    new = config_of().to_dict()
    later = {"accumulate", "schedule", "early_stop", "freeze", "lr_field_args", "sampling", "devices", "augment"}
    old = {k: v for k, v in new.items() if k not in later}
    old["schedule"], old["augment"] = new["schedule"], new["augment"]
    assert differences(old, new) == []
    assert differences(old, {**new, "freeze": ["encoder.*"]}) == ["freeze: [] in the checkpoint, ['encoder.*'] now"]
