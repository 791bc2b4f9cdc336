"""Crops that pad, centre and turn as they should; batches that depend on (seed, step) alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.data.augment import AugmentConfig, affine_crop, crop, crop_centre, intensities, random_crop, random_matrix
from rep3d.data.cache import Sample
from rep3d.training.batches import Batches
from rep3d.training.config import TrainConfig

SPACING = (1.0, 1.0, 1.0)


def sample_of(size, seed=0, classes=2) -> Sample:
    rng = np.random.default_rng(seed)
    label = np.zeros(size, np.uint8)
    centres = {}
    for c in range(1, classes + 1):
        where = rng.choice(label.size, min(3, label.size), replace=False)
        label.ravel()[where] = c
    for c in range(1, classes + 1):
        centres[c] = np.flatnonzero(label == c)
    image = rng.uniform(0.2, 1, size).astype(np.float16)
    return Sample(f"s{seed}", image, label, centres)


sizes = st.tuples(*[st.integers(1, 40)] * 3)


@settings(max_examples=60, deadline=None)
@given(size=sizes, patch=st.tuples(*[st.sampled_from([4, 8, 16])] * 3), seed=st.integers(0, 999))
def test_crop_stays_inside_large_volumes_and_holds_all_of_small_ones(size, patch, seed):
    sample = sample_of(size, seed)
    rng = np.random.default_rng(seed)
    start = crop_centre(sample, patch, 0.9, rng) - np.array(patch) / 2
    assert (start == np.round(start)).all()
    for s, n, p in zip(start, size, patch):
        low, high = min(0, n - p), max(0, n - p)
        assert low <= s <= high
    out = crop(sample.image_XYZ, start, patch)
    assert out.shape == patch
    covered = np.prod([min(n, p) for n, p in zip(size, patch)])
    assert (out > 0).sum() == covered  # image values are > 0, padding is 0


@settings(max_examples=40, deadline=None)
@given(size=sizes, patch=st.tuples(*[st.sampled_from([4, 8, 16])] * 3), seed=st.integers(0, 999))
def test_affine_crop_with_identity_is_the_plain_crop(size, patch, seed):
    sample = sample_of(size, seed)
    centre = crop_centre(sample, patch, 0.5, np.random.default_rng(seed))
    image, label = affine_crop(sample, centre, np.eye(3), patch)
    start = centre - np.array(patch) / 2
    np.testing.assert_allclose(image, crop(sample.image_XYZ, start, patch).astype(np.float32), atol=1e-5)
    assert np.array_equal(label, crop(sample.label_XYZ, start, patch))


def test_affine_crop_reads_the_box_it_needs():
    """Sampling a small box of a large volume equals sampling the whole volume."""
    from scipy import ndimage

    sample = sample_of((40, 38, 36), 3)
    matrix = random_matrix((1.0, 1.0, 2.0), AugmentConfig(rotate_deg=40, scale=0.3), np.random.default_rng(5))
    centre, patch = np.array([20.0, 7.0, 30.0]), (8, 12, 16)
    image, _ = affine_crop(sample, centre, matrix, patch)
    offset = centre - 0.5 - matrix @ ((np.array(patch) - 1) / 2)
    whole = ndimage.affine_transform(sample.image_XYZ.astype(np.float32), matrix, offset, patch, order=1)
    np.testing.assert_allclose(image, whole, atol=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.9, 3.9, 2.5)])
def test_rotation_is_rigid_in_millimetres(spacing):
    config = AugmentConfig(rotate_deg=30, scale=0.0)
    matrix = (
        np.diag(spacing) @ random_matrix(spacing, config, np.random.default_rng(1)) @ np.diag(1 / np.array(spacing))
    )
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1) and not np.allclose(matrix, np.eye(3))


def test_label_follows_the_image():
    """Image and label are moved by the same affine: a bright object and its mask stay together."""
    size = (32, 32, 32)
    label = np.zeros(size, np.uint8)
    label[8:20, 10:24, 12:22] = 1
    sample = Sample("a", label.astype(np.float16), label, {1: np.flatnonzero(label)})
    config = AugmentConfig(p_affine=1, rotate_deg=30, scale=0.2, p_intensity=0, p_gamma=0, p_noise=0, p_blur=0)
    for seed in range(5):
        image, moved = random_crop(sample, (32, 32, 32), SPACING, config, np.random.default_rng(seed), foreground=1)
        agree = ((image > 0.5) == (moved == 1)).mean()
        assert agree > 0.99 and moved.sum() > 500


def test_foreground_crops_show_rare_classes_as_often_as_common_ones():
    label = np.zeros((64, 64, 64), np.uint8)
    label[:, :, 40:] = 1
    label[2, 2, 2] = 2
    sample = Sample(
        "a", label.astype(np.float16), label, {1: np.flatnonzero(label == 1), 2: np.flatnonzero(label == 2)}
    )
    rng = np.random.default_rng(0)
    starts = [crop_centre(sample, (16, 16, 16), 1.0, rng) - 8 for _ in range(100)]
    with_rare = sum(2 in crop(label, s, (16, 16, 16)) for s in starts)
    assert 30 < with_rare < 70


def test_a_case_without_foreground_still_gives_crops():
    sample = Sample(
        "empty", np.ones((20, 20, 20), np.float16), np.zeros((20, 20, 20), np.uint8), {1: np.array([], int)}
    )
    image, label = random_crop(sample, (16, 16, 16), SPACING, AugmentConfig(), np.random.default_rng(0), foreground=1)
    assert image.shape == (16, 16, 16) and not label.any()


def test_intensities_stay_in_the_range_that_inference_gives():
    config = AugmentConfig(p_intensity=1, p_gamma=1, p_noise=1, p_blur=1)
    image = np.random.default_rng(0).uniform(0, 1, (8, 8, 8)).astype(np.float32)
    for seed in range(20):
        out = intensities(image, config, np.random.default_rng(seed))
        assert out.dtype == np.float32 and out.min() >= 0 and out.max() <= 1 and np.isfinite(out).all()
    assert np.array_equal(intensities(image, AugmentConfig.off(), np.random.default_rng(0)), image)


def config_of(**changes) -> TrainConfig:
    return TrainConfig(task="t", network="n", patch=(16, 16, 16), steps=8, **changes)


def equal(a, b):
    return a.ids == b.ids and a.image_BCDHW.equal(b.image_BCDHW) and a.label_B1DHW.equal(b.label_B1DHW)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_do_not_depend_on_threads_or_on_where_the_stream_starts(workers):
    samples = [sample_of((20, 12, 24), s) for s in range(5)]
    reference = Batches(samples, config_of(workers=0), SPACING)
    expected = [reference[t] for t in range(8)]
    for start in (0, 3):
        got = list(Batches(samples, config_of(workers=workers), SPACING).stream(start, 8))
        assert [t for t, _ in got] == list(range(start, 8))
        assert all(equal(batch, expected[t]) for t, batch in got)
    assert not equal(expected[0], expected[1])
    assert not equal(Batches(samples, config_of(seed=1), SPACING)[0], expected[0])


def test_every_case_is_seen_once_an_epoch_and_ranks_share_the_epoch():
    samples = [sample_of((16, 16, 16), s) for s in range(8)]
    config = config_of(batch_size=2, crops_per_volume=1)
    one = [i for t in range(4) for i in Batches(samples, config, SPACING)[t].ids]
    assert sorted(one) == sorted(s.id for s in samples)
    two = [i for t in range(4) for r in range(2) for i in Batches(samples, config, SPACING, rank=r, world=2)[t].ids]
    assert sorted(two) == sorted(one)


def test_batch_shapes_and_types():
    batch = Batches([sample_of((20, 12, 24))], config_of(), SPACING)[0]
    assert batch.image_BCDHW.shape == batch.label_B1DHW.shape == (4, 1, 16, 16, 16)
    assert str(batch.image_BCDHW.dtype) == "torch.float32" and str(batch.label_B1DHW.dtype) == "torch.uint8"


def test_an_error_in_a_worker_reaches_the_loop():
    broken = Sample("x", np.ones((4, 4), np.float16), np.ones((4, 4), np.uint8), {1: np.array([0])})
    with pytest.raises(ValueError):
        list(Batches([broken], config_of(), SPACING).stream(0, 2))
