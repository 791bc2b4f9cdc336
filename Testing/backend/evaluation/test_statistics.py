"""Statistics against brute force, published values, and the properties that they must have."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rep3d.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    bootstrap_median,
    differences,
    holm,
    rank_biserial,
    smallest_p,
    wilcoxon_paired,
)
from scipy.stats import rankdata

pairs_of_scores = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=9)


def brute_force_p(d: np.ndarray) -> float:
    """Two-sided p over all 2^n signs of the ranks of |d|, zeros left out."""
    d = d[d != 0]
    ranks = rankdata(np.abs(d))
    sums = [ranks[np.array(signs, bool)].sum() for signs in itertools.product((0, 1), repeat=len(d))]
    observed = ranks[d > 0].sum()
    lower, upper = np.mean(np.less_equal(sums, observed)), np.mean(np.greater_equal(sums, observed))
    return min(1.0, 2 * min(lower, upper))


@given(pairs_of_scores)
@hypothesis_settings(max_examples=40, deadline=None)
def test_wilcoxon_is_the_exact_distribution(pairs):
    a, b = np.array(pairs, float).T / 100  # floating point hides ties: 0.12 - 0.11 is not 0.02 - 0.01
    test = wilcoxon_paired(a, b)
    d = np.array(pairs)[:, 0] - np.array(pairs)[:, 1]
    assert test.pairs == len(d) and test.zeros == (d == 0).sum()
    if not d.any():
        assert test.p == 1 and test.method == "none" and math.isnan(rank_biserial(a, b))
        return
    assert test.method == "exact" and test.p == pytest.approx(brute_force_p(d), abs=1e-12)
    assert test.p >= test.smallest_p - 1e-12
    other = wilcoxon_paired(b, a)
    assert (other.p, other.statistic) == (test.p, test.statistic)
    assert rank_biserial(b, a) == -rank_biserial(a, b)
    assert -1 <= rank_biserial(a, b) <= 1


def test_wilcoxon_known_values():
    """Darwin's heights of crossed and self-fertilised maize, an example of many textbooks: W = 24, p = 0.041."""
    d = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], float)
    test = wilcoxon_paired(d, np.zeros(15))
    assert (test.statistic, test.tied, test.method) == (24, 0, "exact")
    assert test.p == pytest.approx(0.041259765625, abs=1e-12)
    assert rank_biserial(d, np.zeros(15)) == pytest.approx((96 - 24) / 120)


def test_the_normal_approximation_takes_over_where_exact_p_ends():
    generator = np.random.default_rng(3)
    d = generator.normal(0.3, 1, 60)
    exact, normal = wilcoxon_paired(d[:50], np.zeros(50)), wilcoxon_paired(d[:51], np.zeros(51))
    assert (exact.method, normal.method) == ("exact", "normal") and normal.p == pytest.approx(exact.p, rel=0.2)
    tied = np.array([1, 1, 2, 3, 4, 5, 6, 7, -8, 9, 10, 11, -12], float)
    exact, normal = wilcoxon_paired(tied, np.zeros(13)), wilcoxon_paired([*tied, 13, 14], np.zeros(15))
    assert (exact.method, exact.tied, normal.method) == ("exact", 2, "normal")
    assert exact.p == pytest.approx(brute_force_p(tied), abs=1e-12)
    assert normal.p == pytest.approx(brute_force_p(np.array([*tied, 13, 14])), rel=0.2)


def test_smallest_p():
    assert [smallest_p(n) for n in (0, 1, 5, 6)] == [1, 1, 0.0625, 0.03125]
    all_better = wilcoxon_paired(np.arange(1, 7.0), np.zeros(6))
    assert all_better.p == all_better.smallest_p == 0.03125 and rank_biserial(np.arange(1, 7.0), np.zeros(6)) == 1


def test_pairs_with_nan_do_not_count():
    test = wilcoxon_paired([1, math.nan, 3, 4], [0, 2, math.nan, 4])
    assert (test.pairs, test.zeros, test.differing) == (2, 1, 1)
    nothing = wilcoxon_paired([math.nan], [1])
    assert nothing.pairs == 0 and math.isnan(nothing.p) and math.isnan(nothing.statistic)


@pytest.mark.parametrize("pair", [([1, 2], [1]), ([[1.0]], [[1.0]]), ([math.inf], [1])])
def test_values_that_are_no_pairs_are_refused(pair):
    with pytest.raises(ValueError, match="paired values"):
        differences(*pair)


def test_differences_equal_on_paper_are_equal():
    d = differences([0.9, 0.8, 0.3], [0.8, 0.7, 0.2])
    assert len(set(d)) == 1 and d[0] == pytest.approx(0.1, abs=1e-12)
    assert differences([1e-9, 3e-9], [0, 1e-9]).tolist() == pytest.approx([1e-9, 2e-9])
    assert differences([0, 0], [0, 0]).tolist() == [0, 0]


def test_holm_known_values():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    with_gap = holm([0.01, math.nan, 0.04])
    assert with_gap[0] == 0.02 and math.isnan(with_gap[1]) and with_gap[2] == 0.04
    assert holm([]) == []
    with pytest.raises(ValueError, match="p-values"):
        holm([0.2, 1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@hypothesis_settings(max_examples=60, deadline=None)
def test_holm_is_the_closed_bonferroni_test(pvalues):
    """Adjusted p of a test: the largest, over all sub-families that hold it, of Bonferroni's p of the sub-family."""
    adjusted = holm(pvalues)
    index = range(len(pvalues))
    families = [c for size in range(1, len(pvalues) + 1) for c in itertools.combinations(index, size)]
    for i in index:
        worst = max(min(1, len(c) * min(pvalues[j] for j in c)) for c in families if i in c)
        assert adjusted[i] == pytest.approx(worst, abs=1e-12)


def test_bootstrap_mean():
    values = np.random.default_rng(0).normal(5, 2, 200)
    interval = bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(200)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.05)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.05)
    assert bootstrap_mean(values) == interval != bootstrap_mean(values, seed=1)
    narrow = bootstrap_mean(values, level=0.5)
    assert interval.low < narrow.low < narrow.high < interval.high


def test_bootstrap_of_little():
    assert bootstrap_mean([0.5]) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_mean([0.5, math.nan]) == Interval(0.5, 0.5, 0.5)
    assert math.isnan(bootstrap_mean([]).mean) and math.isnan(bootstrap_mean([math.nan]).high)
    with pytest.raises(ValueError, match="level"):
        bootstrap_mean([1, 2], level=1.0)
    with pytest.raises(ValueError, match="axes"):
        bootstrap_mean(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="axes"):
        bootstrap_median(np.zeros((2, 2)))


def test_bootstrap_by_class_draws_whole_cases():
    """The mean over classes of class means, not of all values; the classes of one case stay together."""
    table = np.array([[1.0, 0.0], [math.nan, 0.4], [0.5, math.nan]])
    assert bootstrap_mean(table).mean == pytest.approx((0.75 + 0.2) / 2)
    opposite = np.stack([np.arange(10.0), 9 - np.arange(10.0)], 1)  # each case's two classes sum to 9
    interval = bootstrap_mean(opposite)
    assert interval.mean == pytest.approx(4.5) and interval.high - interval.low < 1e-9


def test_bootstrap_memory_is_bounded_without_changing_the_result(monkeypatch):
    from rep3d.evaluation import statistics

    values = np.random.default_rng(1).random(300)
    whole = bootstrap_mean(values, resamples=500)
    drawn = []
    monkeypatch.setattr(
        statistics, "_mean_of_means", lambda t, f=statistics._mean_of_means: drawn.append(t.size) or f(t)
    )
    assert bootstrap_mean(values, resamples=500) == whole
    assert max(drawn) <= 2_000_000


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.floats(-10, 10))
@hypothesis_settings(max_examples=30, deadline=None)
def test_bootstrap_moves_with_the_values(values, shift):
    base, moved = bootstrap_mean(values, resamples=50), bootstrap_mean(np.array(values) + shift, resamples=50)
    assert base.low <= base.high
    for before, after in zip((base.mean, base.low, base.high), (moved.mean, moved.low, moved.high), strict=True):
        assert after == pytest.approx(before + shift, abs=1e-9)
    middle = bootstrap_median(values, resamples=50)
    assert middle.median == np.median(values) and min(values) <= middle.low <= middle.high <= max(values)
