"""Interpolation matrices, label resampling and intensities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rep3d.data.preprocess import axis_matrix, normalise, resample_array, resample_labels, to_network_grid
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.tasks import Intensity


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 20))
def test_rows_are_averages(size_in, size_out, step):
    matrix = axis_matrix(size_in, size_out, step).toarray()
    assert matrix.shape == (size_out, size_in)
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)


def test_coarser_grid_averages():
    """Stripes of one voxel, thinner than the new voxels, come out as their mean instead of a moire pattern."""
    stripes = np.tile([0.0, 1.0], 60)[:, None, None] * np.ones((1, 4, 4))
    coarse = resample_array(stripes, (1, 1, 1), (5.3, 1, 1))
    assert abs(coarse[2:-2] - 0.5).max() < 0.1


def test_labels_are_never_mixed():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[:10] = 2
    labels[10:] = 200
    for spacing in [(0.7, 1.3, 0.9), (3.0, 2.0, 1.0)]:
        new = resample_labels(labels, (1, 1, 1), spacing)
        assert new.dtype == np.uint8 and set(np.unique(new)) == {2, 200}
        assert abs((new == 2).mean() - 0.5) < 0.5 / new.shape[0] + 1e-9


def test_label_volume_is_kept():
    """A ball keeps its volume to a few percent on a finer and on a coarser grid."""
    x = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), -1) - 19.5
    ball = (np.linalg.norm(x, axis=-1) < 14).astype(np.uint8)
    for spacing in [(0.8, 0.7, 1.0), (2.0, 1.5, 2.5)]:
        grid = to_network_grid(Volume(ball, np.eye(4)), spacing, label=True)
        assert abs(grid.array.sum() * np.prod(spacing) / ball.sum() - 1) < 0.03


def test_normalise_by_clip_bounds():
    array = np.array([[[-1000, -200, 100, 400, 3000]]], np.int16)
    out = normalise(array, Intensity((-200, 400), None))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.ravel(), [0, 0, 0.5, 1, 1])


def test_normalise_by_percentiles():
    array = np.arange(1001, dtype=np.float64).reshape(7, 11, 13) * 1e6
    out = normalise(array, Intensity(None, (1, 99)))
    np.testing.assert_allclose(out.ravel()[[10, 500, 990]], [0, 0.5, 1], atol=1e-6)
    assert out.min() == 0 and out.max() == 1
    clipped = normalise(np.arange(1001.0).reshape(7, 11, 13) - 500, Intensity((-100, 100), (0, 100)))
    np.testing.assert_allclose(clipped.ravel()[[400, 500, 600]], [0, 0.5, 1], atol=1e-6)


def test_normalise_with_flat_percentiles():
    array = np.zeros((10, 10, 10))
    array[5, 5, 5] = 7
    out = normalise(array, Intensity(None, (1, 99)))
    assert out[5, 5, 5] == 1 and out.sum() == 1


def test_normalise_ignores_non_finite_voxels():
    array = np.linspace(0, 1, 1000).reshape(10, 10, 10)
    array[0, 0, 1], array[3, 3, 3] = np.nan, np.inf
    out = normalise(array, Intensity(None, (0, 100)))
    assert np.isfinite(out).all() and out[3, 3, 3] == 0


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4, 4), np.nan), "no finite value"),
        (np.full((4, 4, 4), 7.0), "same value"),
        (np.linspace(900, 1000, 64).reshape(4, 4, 4), "outside the task's window"),
    ],
)
def test_normalise_refuses(array, words):
    with pytest.raises(BadInput, match=words):
        normalise(array, Intensity((-200, 400), None))


def test_input_is_not_changed():
    array = np.random.default_rng(0).normal(size=(5, 5, 5)).astype(np.float32)
    before = array.copy()
    normalise(array, Intensity((-1, 1), (1, 99)))
    to_network_grid(Volume(array, np.eye(4)), (2, 2, 2))
    np.testing.assert_array_equal(array, before)
