"""Statistics over cases: bootstrap intervals, paired Wilcoxon tests, Holm's correction, rank-biserial effect size.

Values are one number a case (nan: undefined there). Everything is deterministic: resampling has a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

#: Largest number of differing pairs for which p is exact: without equal differences, and with some.
EXACT_PLAIN, EXACT_TIED = 50, 13
#: Values that the bootstrap holds at a time, so that memory stays bounded for large cohorts.
DRAWN_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; nan where there was no value, ``low == high`` for a single one."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MedianInterval:
    """A median with its confidence interval; nan where there was no value."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Wilcoxon:
    """A two-sided Wilcoxon signed-rank test of paired values.

    Attributes:
        pairs: pairs in which both values are defined.
        zeros: of these, pairs without a difference; they are left out (Wilcoxon's own rule).
        tied: differing pairs whose absolute difference another pair has too; they share their mean rank.
        statistic: the smaller of the two rank sums; nan without a differing pair.
        p: 1 without a differing pair, nan without a pair.
        method: "exact" (all signs of the observed ranks), "normal" (approximation, corrected for ties) or "none".
    """

    pairs: int
    zeros: int
    tied: int
    statistic: float
    p: float
    method: str

    @property
    def differing(self) -> int:
        """Pairs that the test is made of."""
        return self.pairs - self.zeros

    @property
    def smallest_p(self) -> float:
        """The smallest p that this many differing pairs can give, whatever the effect: all signs alike, 2 / 2^n."""
        return smallest_p(self.differing)


def smallest_p(differing: int) -> float:
    """The smallest two-sided p of a signed-rank test of ``differing`` pairs: 2 / 2^n, 1 for n = 0."""
    return min(1.0, 2.0 ** (1 - differing))


def bootstrap_mean(values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean with a percentile bootstrap interval over cases (Efron 1979).

    ``values`` is [cases], or [cases, classes]: then the mean over classes of each class's mean over cases, and whole
    cases are drawn. nan is ignored: a class that a draw does not hold does not count in it. With few cases (below
    about 20) percentile intervals are somewhat too narrow.

    Raises:
        ValueError: more than two axes, a level outside (0, 1), or no resamples.
    """
    table = np.asarray(values, dtype=float)
    if table.ndim not in (1, 2):
        raise ValueError(f"values must be [cases] or [cases, classes], got {table.ndim} axes")
    if table.ndim == 1:
        table = table[:, None]
    return Interval(*_bootstrap(table[~np.isnan(table).all(1)], _mean_of_means, level, resamples, seed))


def bootstrap_median(values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> MedianInterval:
    """Median of ``values`` [cases], nan ignored, with a percentile bootstrap interval. Raises ValueError as above."""
    column = np.asarray(values, dtype=float)
    if column.ndim != 1:
        raise ValueError(f"values must be [cases], got {column.ndim} axes")
    table = column[~np.isnan(column), None]
    return MedianInterval(*_bootstrap(table, lambda t: np.median(t[..., 0], axis=-1), level, resamples, seed))


def _mean_of_means(table_BNC: np.ndarray) -> np.ndarray:
    """Mean over classes of the mean over cases, nan left out in both; [..., N, C] -> [...]."""
    counted = ~np.isnan(table_BNC)
    counts = counted.sum(-2)
    means = np.where(counted, table_BNC, 0).sum(-2) / np.maximum(counts, 1)
    return (means * (counts > 0)).sum(-1) / np.maximum((counts > 0).sum(-1), 1)


def _bootstrap(
    table: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], level: float, resamples: int, seed: int
) -> tuple[float, float, float]:
    """The statistic of ``table`` [cases, classes] and the quantiles of it over drawn tables."""
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level must lie in (0, 1) and resamples be at least 1, got {level} and {resamples}")
    cases = len(table)
    if not cases:
        return math.nan, math.nan, math.nan
    generator = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // table.size)
    drawn = []
    for start in range(0, resamples, at_once):
        index = generator.integers(cases, size=(min(at_once, resamples - start), cases))
        drawn.append(statistic(table[index]))
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return float(statistic(table)), float(low), float(high)


def differences(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """a - b of the pairs in which both are defined, [pairs].

    Rounded to 12 digits of the largest value, so that differences that are equal on paper are equal here too
    (0.9 - 0.8 and 0.8 - 0.7). Raises ValueError unless both are one-dimensional, of one length, and finite or nan.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"paired values must be two lists of one length, got {first.shape} and {second.shape}")
    if np.isinf(first).any() or np.isinf(second).any():
        raise ValueError("paired values must be finite, or nan where undefined")
    both = ~(np.isnan(first) | np.isnan(second))
    first, second = first[both], second[both]
    scale = max(np.abs(first).max(initial=0), np.abs(second).max(initial=0))
    if scale == 0:
        return first - second
    unit = 10.0 ** (math.floor(math.log10(scale)) - 11)
    return np.round((first - second) / unit) * unit


def wilcoxon_paired(a: ArrayLike, b: ArrayLike) -> Wilcoxon:
    """Two-sided Wilcoxon signed-rank test of a against b (Wilcoxon 1945), pairs with nan left out.

    Pairs without a difference are left out, equal absolute differences share their mean rank. p is exact for up to 50
    differing pairs, or 13 where some are tied (all 2^n signs of the ranks are then enumerated); beyond that the
    normal approximation with tie correction. Raises ValueError as :func:`differences`.
    """
    from scipy import stats

    d = differences(a, b)
    moved = d[d != 0]
    sizes = np.unique(np.abs(moved), return_counts=True)[1]
    tied = int(sizes[sizes > 1].sum())
    pairs, zeros = len(d), len(d) - len(moved)
    if not len(moved):
        return Wilcoxon(pairs, zeros, 0, math.nan, 1.0 if pairs else math.nan, "none")
    # Ranks instead of the differences themselves: scipy then sees ties where they are, not where rounding puts them.
    ranks = np.sign(moved) * stats.rankdata(np.abs(moved))
    if not tied and len(moved) <= EXACT_PLAIN:
        test = stats.wilcoxon(ranks, method="exact")
        method = "exact"
    elif len(moved) <= EXACT_TIED:
        test = stats.wilcoxon(ranks, method=stats.PermutationMethod(n_resamples=np.inf))
        method = "exact"
    else:
        test = stats.wilcoxon(ranks, method="asymptotic")
        method = "normal"
    return Wilcoxon(pairs, zeros, tied, float(test.statistic), min(1.0, float(test.pvalue)), method)


def holm(pvalues: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family of tests (Holm 1979), in the given order; valid whatever their dependence.

    nan (a test that could not be made) stays nan and is not counted in the family. Raises ValueError for a p outside
    [0, 1].
    """
    p = np.asarray(pvalues, dtype=float)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"p-values lie in [0, 1], got {list(pvalues)}")
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    adjusted = np.full(len(p), math.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return [float(v) for v in adjusted]


def rank_biserial(a: ArrayLike, b: ArrayLike) -> float:
    """Matched-pairs rank-biserial correlation (W+ - W-) / (W+ + W-) of a - b, in [-1, 1] (Kerby 2014).

    1: a is larger in every differing pair; 0: neither; nan without a differing pair. Zeros and ties as in
    :func:`wilcoxon_paired`. Raises ValueError as :func:`differences`.
    """
    from scipy.stats import rankdata

    d = differences(a, b)
    d = d[d != 0]
    if not len(d):
        return math.nan
    ranks = rankdata(np.abs(d))
    return float((np.sign(d) * ranks).sum() / ranks.sum())
