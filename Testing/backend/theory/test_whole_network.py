"""The same through the options of a run: whole networks, the start that RepOptimizer asks for, the real optimisers."""

from __future__ import annotations

import pytest
import torch
from rep3d.training.build import build_network
from rep3d.training.config import TrainConfig
from rep3d.training.optimizer import make_optimizer

from .twins import distance, effective

BRANCHES = {"small_kernel_size": 3, "large_scale": 0.8, "small_scale": 1.5}


def path(config: TrainConfig, steps: int = 2) -> tuple[list, torch.Tensor]:
    torch.manual_seed(config.seed)
    network = build_network(config, 3).double()
    optimizer = make_optimizer(network, config)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1, 32, 32, 32, dtype=torch.float64, generator=generator)
    kernels = [effective(network)]
    for step in range(steps):
        loss = torch.nn.functional.cross_entropy(network(x + 0.1 * step), (x[:, 0] * 3).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kernels.append(effective(network))
    return kernels, loss.detach()


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.05), ("adamw", 1e-3)])
def test_two_branches_and_their_field_train_one_network_from_one_seed(optimizer, rate):
    common = {
        "task": "t", "network": "rep3d-tiny", "patch": (32, 32, 32), "optimizer": optimizer, "weight_decay": 0.0,
        "lr": rate, "lr_small": 3 * rate, "eps": 1e-20, "seed": 7,
    }  # fmt: skip
    two = TrainConfig(**common, network_args={"kernel_size": 5, "reparam": "csla", "csla": BRANCHES})
    plain = {"kernel_size": 5, "reparam": "plain"}
    one = TrainConfig(**common, network_args=plain, lr_field="csla", lr_field_args=BRANCHES)
    (a, loss_a), (b, loss_b) = path(two), path(one)
    # The random weights are float32 numbers, and so is its twin's sum of branches after rounding.
    assert distance(a, b) < 1e-3 and abs(loss_a - loss_b) < 1e-6
