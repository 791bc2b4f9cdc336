"""Validation: mode and weights of the network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from rep3d.data.cache import Sample
from rep3d.errors import Rep3DError
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.training.validate import validate

TASK = load_task("msd-hippocampus")


class Constant(torch.nn.Module):
    """Says class 1 everywhere, or class 0 while training."""

    stride = 16

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm3d(1)

    def forward(self, x):
        out = torch.zeros(x.shape[0], 3, *x.shape[2:])
        out[:, 0 if self.training else 1] = 1
        return out


@pytest.mark.parametrize("training", [True, False])
def test_validation_evaluates_in_eval_mode_and_gives_the_mode_back(training):
    label = np.zeros((20, 20, 20), np.uint8)
    label[:10] = 1
    sample = Sample("a", np.ones(label.shape, np.float16), label, {})
    network = Constant().train(training)
    scores = validate(network, [sample], (32, 32, 32), 3)
    assert network.training is training and network.norm.training is training
    assert scores[0][0] == pytest.approx(2 * 4000 / 12000) and math.isnan(scores[0][1])

    def broken(*_):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        validate(network, [sample], (32, 32, 32), 3, progress=broken)
    assert network.training is training


def test_validation_sees_the_weights_as_they_are_now():
    """Nothing cached for constant weights survives a change of the weights."""
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain")
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (32, 32, 32)).astype(np.uint8)
    sample = Sample("a", rng.random((32, 32, 32)).astype(np.float16), label, {})
    validate(network, [sample], (32, 32, 32), 3)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn_like(p) * 0.3)
    fresh = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain")
    fresh.load_state_dict(network.state_dict())
    assert validate(network, [sample], (32, 32, 32), 3) == validate(fresh, [sample], (32, 32, 32), 3)


@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_take_cases_in_turn_and_all_have_all_scores(rank):
    samples = []
    for n in range(3):
        label = np.zeros((20, 20, 20), np.uint8)
        label[: 6 + 2 * n] = 1
        samples.append(Sample(f"c{n}", np.ones(label.shape, np.float16), label, {}))
    whole = validate(Constant(), samples, (32, 32, 32), 3)
    rounds = [[whole[0], whole[1]], [whole[2], None]]

    class Two:
        world = 2

        def gather(self, row):
            own = rounds.pop(0)
            assert repr(own[rank]) == repr(row)  # nan is not itself
            return own

    two, done = Two(), []
    two.rank = rank
    scores = validate(Constant(), samples, (32, 32, 32), 3, ranks=two, progress=lambda *n: done.append(n))
    assert repr(scores) == repr(whole) and done == [(2, 3), (3, 3)] and not rounds


def test_a_case_whose_logits_are_not_finite_is_named():
    class Broken(Constant):
        def forward(self, x):
            return super().forward(x) / 0

    label = np.zeros((20, 20, 20), np.uint8)
    with pytest.raises(Rep3DError, match="validation case odd: The network returned values that are not finite"):
        validate(Broken(), [Sample("odd", np.ones(label.shape, np.float16), label, {})], (32, 32, 32), 3)
