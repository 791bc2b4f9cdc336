"""Dice per class against its definition, and means that do not count what is not there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rep3d.evaluation.metrics import class_means, dice_per_class, mean_dice


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 6))
def test_dice_is_its_definition(seed, classes):
    rng = np.random.default_rng(seed)
    pred, truth = rng.integers(0, classes, (2, 4, 3, 5)).astype(np.uint8)
    got = dice_per_class(pred, truth, classes)
    assert len(got) == classes - 1
    for c, value in enumerate(got, start=1):
        p, t = pred == c, truth == c
        if p.sum() + t.sum() == 0:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()))


def test_absent_classes():
    truth = np.array([0, 1, 1, 0])
    assert dice_per_class(truth, truth, 4)[0] == 1
    only_truth = dice_per_class(np.zeros(4, int), truth, 4)
    assert only_truth[0] == 0 and math.isnan(only_truth[1]) and math.isnan(only_truth[2])
    assert dice_per_class(np.array([2, 1, 1, 0]), truth, 4)[1] == 0  # a false positive costs, an absence does not


def test_background_does_not_count():
    assert dice_per_class(np.zeros(10, int), np.zeros(10, int), 2) != [1.0]


def test_means_are_per_class_over_the_cases_that_have_it():
    nan = math.nan
    scores = [[1.0, nan, nan], [0.5, 0.25, nan], [nan, 0.75, nan]]
    means = class_means(scores)
    assert means[:2] == [0.75, 0.5] and math.isnan(means[2])
    assert mean_dice(scores) == pytest.approx(0.625)  # not the mean of all numbers, 0.625 by class
    assert math.isnan(mean_dice([])) and math.isnan(mean_dice([[nan]]))


def test_uneven_counts_weigh_classes_equally():
    nan = math.nan
    assert mean_dice([[1.0, 0.0], [1.0, nan], [1.0, nan]]) == 0.5


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shape"):
        dice_per_class(np.zeros((2, 2)), np.zeros((2, 3)), 2)
