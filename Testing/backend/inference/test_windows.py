"""Windows cover everything once in sum, and the slabs add up to the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.errors import BadInput, Cancelled, Rep3DError
from rep3d.inference.windows import WindowGrid, axis_starts, axis_weights, iterate_slabs, sliding_window_logits


@given(st.integers(1, 300), st.integers(1, 100), st.floats(0, 0.9))
def test_starts_cover_with_overlap(size, patch, overlap):
    starts = axis_starts(size, patch, overlap)
    assert starts[0] == 0
    if size <= patch:
        assert starts == [0]
        return
    assert starts[-1] == size - patch
    gaps = np.diff(starts)
    assert gaps.min() >= 1 and gaps.max() <= max(1, int(patch * (1 - overlap))) + 1


@given(st.integers(10, 120), st.integers(5, 60), st.floats(0, 0.9))
def test_weights_sum_to_one(size, patch, overlap):
    size = max(size, patch)
    starts = axis_starts(size, patch, overlap)
    total = np.zeros(size)
    for start, weight in zip(starts, axis_weights(size, patch, starts)):
        total[start : start + patch] += weight
    np.testing.assert_allclose(total, 1, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(
    st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.sampled_from([4, 8, 12])] * 3), st.floats(0, 0.9), st.data()
)
def test_pointwise_network_is_reproduced(size, patch, overlap, data):
    overlap = min(overlap, 0.6)
    axis = data.draw(st.integers(0, 2))
    x = torch.rand(1, *size, generator=torch.Generator().manual_seed(1))

    def net(x_BCDHW):
        assert x_BCDHW.shape[2:] == patch
        return torch.cat([x_BCDHW, 1 - x_BCDHW, x_BCDHW**2], 1)

    expected = net_free(x)
    whole = torch.full_like(expected, torch.nan)
    reached = 0
    for start, slab in iterate_slabs(net, x, patch, overlap, axis=axis):
        assert start == reached
        reached += slab.shape[1]
        whole.movedim(axis + 1, 1)[:, start:reached] = slab
    assert reached == size[axis]
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sliding_window_logits(net, x, patch, overlap), expected, atol=1e-5, rtol=1e-5)


def net_free(x_CDHW):
    return torch.cat([x_CDHW, 1 - x_CDHW, x_CDHW**2], 0)


def test_overlapping_windows_are_blended():
    """Two windows that disagree meet smoothly: the nearer centre has the larger say."""
    answers = iter([0.0, 1.0])

    def net(x_BCDHW):
        return torch.full_like(x_BCDHW, next(answers))

    line = sliding_window_logits(net, torch.zeros(1, 12, 8, 8), (8, 8, 8), 0.5)[0, :, 4, 4]
    assert torch.all(line[:4] == 0) and torch.all(line[8:] == 1)
    assert torch.all(torch.diff(line) >= 0) and 0 < line[5] < 0.5 < line[6] < 1


def test_progress_and_cancel():
    seen = []
    x = torch.zeros(1, 20, 20, 20)
    sliding_window_logits(lambda x: x, x, (8, 8, 8), 0.5, on_window=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 64) for i in range(64)]
    with pytest.raises(Cancelled):
        sliding_window_logits(lambda x: x, x, (8, 8, 8), 0.5, cancelled=lambda: len(seen) >= 64)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_an_error(value):
    def net(x_BCDHW):
        out = torch.cat([x_BCDHW, x_BCDHW], 1)
        out[0, 1, 2, 3, 4] = value
        return out

    with pytest.raises(Rep3DError, match="not finite"):
        sliding_window_logits(net, torch.zeros(1, 8, 8, 8), (8, 8, 8))


@pytest.mark.parametrize("overlap", [-0.1, 0.95, 1.0, float("nan")])
def test_overlap_is_checked(overlap):
    with pytest.raises(BadInput, match="overlap"):
        WindowGrid.cover((20, 20, 20), (8, 8, 8), overlap)
