"""The way back: labels equal the argmax of densely interpolated logits, however the slabs arrive."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.data.preprocess import axis_centres, interpolation_matrix
from rep3d.inference import mapping
from rep3d.inference.mapping import AxisMap, LabelMapper, label_tile

sizes = st.tuples(*[st.integers(1, 14)] * 3)


def dense(logits, matrices):
    return torch.einsum("crab,ir,ja,kb->cijk", logits, *(torch.from_numpy(m.toarray()) for m in matrices))


@settings(deadline=None, max_examples=40)
@given(sizes, sizes, st.tuples(*[st.floats(0.3, 3)] * 3), st.integers(0, 2), st.integers(1, 6), st.data())
def test_labels_equal_dense_interpolation(network, native, steps, axis, tile, data):
    """Random logits, any split into slabs, any tile size: a differing label is only allowed where two classes tie."""
    seed = data.draw(st.integers(0, 10_000))
    logits = torch.randn(4, *network, generator=torch.Generator().manual_seed(seed))
    matrices = [interpolation_matrix(axis_centres(m, n, s), m, s) for n, m, s in zip(native, network, steps)]
    values = dense(logits, matrices)
    before, mapping.TILE = mapping.TILE, tile
    try:
        maps = tuple(AxisMap.build(n, m, s, (0, m)) for n, m, s in zip(native, network, steps))
        labels = np.full(native, 9, np.uint8)
        mapper = LabelMapper(labels, maps, axis)
        rows, start = logits.movedim(axis + 1, 1), 0
        while start < network[axis]:
            stop = min(network[axis], start + data.draw(st.integers(1, 5)))
            mapper.add(rows[:, start:stop])
            start = stop
        assert mapper.finished()
    finally:
        mapping.TILE = before
    chosen = torch.gather(values, 0, torch.from_numpy(labels.astype(np.int64))[None])[0]
    torch.testing.assert_close(chosen, values.amax(0), atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 40), st.integers(2, 40), st.floats(0.3, 3), st.data())
def test_crop_is_put_back(network, native, step, data):
    """Inside a cropped region labels are the crop's; native voxels outside of it stay background."""
    low = data.draw(st.integers(0, network - 1))
    high = data.draw(st.integers(low + 1, network))
    maps = (AxisMap.build(native, network, step, (low, high)), *[AxisMap.build(3, 3, 1, (0, 3))] * 2)
    labels = np.zeros((native, 3, 3), np.uint8)
    mapper = LabelMapper(labels, maps, 0)
    mapper.add(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, high - low, 3, 3))
    assert mapper.finished()
    centres = axis_centres(network, native, step)
    inside = np.ones(native, bool)
    inside[centres < low - 0.5] &= low == 0
    inside[centres >= high - 0.5] &= high == network
    np.testing.assert_array_equal(labels, np.broadcast_to(inside[:, None, None], labels.shape))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), st.integers(0, 1000))
def test_leaving_out_classes_changes_nothing(classes, seed):
    """Tiles where some classes lie below another one everywhere, and where several tie."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.integers(-2, 3, (classes, 5, 4, 3)).astype(np.float32))
    logits += torch.from_numpy(rng.integers(-4, 5, (classes, 1, 1, 1)).astype(np.float32))
    matrices = [interpolation_matrix(axis_centres(m, n, m / n), m, m / n) for m, n in ((5, 7), (4, 9), (3, 2))]
    values = dense(logits, matrices)
    tile = label_tile(logits, *(torch.from_numpy(m.toarray()) for m in matrices))
    labels = np.broadcast_to(tile, (7, 9, 2)).astype(np.int64)
    chosen = torch.gather(values, 0, torch.from_numpy(labels)[None])[0]
    torch.testing.assert_close(chosen, values.amax(0), atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(sizes, sizes, st.tuples(*[st.floats(0.3, 3)] * 3), st.integers(0, 2), st.integers(1, 6), st.data())
def test_probabilities_are_the_softmax_of_dense_interpolation(network, native, steps, axis, tile, data):
    """Every tile lands where it belongs; what is left out is nearly impossible; labels stay the same."""
    seed = data.draw(st.integers(0, 10_000))
    logits = 4 * torch.randn(4, *network, generator=torch.Generator().manual_seed(seed))
    matrices = [interpolation_matrix(axis_centres(m, n, s), m, s) for n, m, s in zip(native, network, steps)]
    expected = dense(logits, matrices).softmax(0).numpy()
    found = np.zeros((4, *native), np.float32)

    def sink(class_index, start, values):
        found[(class_index, *(slice(s, s + n) for s, n in zip(start, values.shape)))] = values

    before, mapping.TILE = mapping.TILE, tile
    try:
        maps = tuple(AxisMap.build(n, m, s, (0, m)) for n, m, s in zip(native, network, steps))
        labels = np.full(native, 9, np.uint8)
        mapper = LabelMapper(labels, maps, axis, sink)
        mapper.add(logits.movedim(axis + 1, 1))
        assert mapper.finished()
    finally:
        mapping.TILE = before
    assert np.abs(found[1:] - expected[1:]).max() < 0.04  # up to three classes below half the floor were left out
    best = np.take_along_axis(expected, labels[None].astype(np.int64), 0)[0]
    np.testing.assert_allclose(best, expected.max(0), atol=1e-5)
