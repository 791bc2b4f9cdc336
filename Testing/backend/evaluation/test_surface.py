"""Surface metrics against two independent implementations, against geometry, and where they are undefined."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.data.reading import read_labelmap
from rep3d.evaluation.metrics import case_metrics, overlap_counts
from rep3d.evaluation.surface import extract_surface, nearest_mm, surface_distances
from scipy import ndimage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import surface_distance as oracle

REAL = os.environ.get("REP3D_DATA")


def metrics_of(pred, truth, spacing, tolerance=1.0, labels=None):
    labels = labels or {"a": 1}
    found = case_metrics(
        pred.astype(np.uint8), truth.astype(np.uint8), spacing, labels, dict.fromkeys(labels, tolerance)
    )
    return found if len(labels) > 1 else found["a"]


def oracle_metrics(pred, truth, spacing, tolerance):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses old names of scipy's
        d = oracle.compute_surface_distances(truth, pred, spacing)
    total = d["surfel_areas_gt"].sum() + d["surfel_areas_pred"].sum()
    mean = (
        d["distances_gt_to_pred"] @ d["surfel_areas_gt"] + d["distances_pred_to_gt"] @ d["surfel_areas_pred"]
    ) / total
    return {
        "nsd": oracle.compute_surface_dice_at_tolerance(d, tolerance),
        "hd95_mm": oracle.compute_robust_hausdorff(d, 95),
        "asd_mm": mean,
        "dice": oracle.compute_dice_coefficient(truth, pred),
    }


def random_pair(rng):
    """Two masks of blobs or noise on a small, often anisotropic grid; most touch its border, some are one voxel."""
    shape, spacing = tuple(rng.integers(1, 9, 3)), tuple(float(s) for s in rng.uniform(0.3, 5, 3))
    smooth = rng.uniform(0, 1.5)
    masks = [ndimage.gaussian_filter(rng.normal(size=shape), smooth) > rng.uniform(-0.2, 0.2) for _ in range(2)]
    if rng.random() < 0.2:
        single = np.zeros(shape, bool)
        single[tuple(rng.integers(0, shape))] = True
        masks[int(rng.integers(2))] = single
    return masks[0], masks[1], spacing


def test_agreement_with_surface_distance_on_random_masks():
    rng = np.random.default_rng(0)
    compared = 0
    while compared < 200:
        pred, truth, spacing = random_pair(rng)
        if not pred.any() or not truth.any():
            continue
        tolerance = float(rng.uniform(0.1, 4))
        got = metrics_of(pred, truth, spacing, tolerance)
        for name, value in oracle_metrics(pred, truth, spacing, tolerance).items():
            assert got[name] == pytest.approx(value, abs=1e-6, rel=1e-6), (name, pred.shape, spacing)
        compared += 1


def test_agreement_with_monai():
    from monai.metrics import compute_dice, compute_surface_dice

    rng = np.random.default_rng(1)
    compared = 0
    while compared < 25:
        pred, truth, spacing = random_pair(rng)
        # MONAI's surface stops at the volume's border, ours does not: keep away from it
        pred, truth = np.pad(pred, 2), np.pad(truth, 2)
        if not pred.any() or not truth.any():
            continue
        tolerance = float(rng.uniform(0.1, 4))
        got = metrics_of(pred, truth, spacing, tolerance)
        p, t = (torch.from_numpy(m)[None, None].float() for m in (pred, truth))
        nsd = compute_surface_dice(
            p, t, [tolerance], include_background=True, spacing=list(spacing), use_subvoxels=True
        )
        assert got["nsd"] == pytest.approx(float(nsd), abs=1e-5)
        assert got["dice"] == pytest.approx(float(compute_dice(p, t)), abs=1e-6)
        compared += 1


def test_shifted_block_has_the_distances_of_geometry():
    truth = np.zeros((12, 12, 12), bool)
    truth[2:8, 2:8, 2:8] = True
    pred = np.roll(truth, 2, axis=2)
    got = metrics_of(pred, truth, (1.0, 1.0, 2.5), tolerance=4.9)
    assert got["hd95_mm"] == 5.0  # the whole face at each end is 2 voxels of 2.5 mm away
    assert 0 < got["nsd"] < 1 and metrics_of(pred, truth, (1.0, 1.0, 2.5), tolerance=5.0)["nsd"] == 1
    assert got["volume_ml"] == pytest.approx(6**3 * 2.5 / 1000) and got["volume_error_ml"] == 0


def test_area_of_a_sphere_and_of_a_plate():
    x = np.indices((41, 41, 41)) - 20
    ball = extract_surface((x**2).sum(0) <= 15**2, (1, 1, 1))
    assert ball.areas.sum() == pytest.approx(4 * math.pi * 15**2, rel=0.1)
    plate = extract_surface(np.ones((60, 60, 1), bool), (1.0, 2.0, 3.0))
    assert plate.areas.sum() == pytest.approx(2 * 60 * 120 + 2 * 3 * (60 + 120), rel=0.05)


def test_where_a_side_is_empty_distances_are_undefined():
    some, none = np.zeros((5, 5, 5), bool), np.zeros((5, 5, 5), bool)
    some[0, 0, 0] = True
    for pred, truth in ((some, none), (none, some)):
        got = metrics_of(pred, truth, (1, 1, 1))
        assert got["dice"] == 0 and got["nsd"] == 0
        assert math.isnan(got["hd95_mm"]) and math.isnan(got["asd_mm"])
        assert got["volume_error_ml"] == pytest.approx(0.001 if pred is some else -0.001)
        assert math.isnan(got["volume_error_percent"]) == (truth is none)
    neither = metrics_of(none, none, (1, 1, 1))
    assert all(math.isnan(neither[name]) for name in ("dice", "nsd", "hd95_mm", "asd_mm"))
    assert neither["volume_ml"] == neither["truth_ml"] == 0
    assert not surface_distances(*(extract_surface(m, (1, 1, 1)) for m in (some, none))).defined
    assert np.isinf(nearest_mm(extract_surface(some, (1, 1, 1)), extract_surface(none, (1, 1, 1)))).all()


def test_a_tolerance_that_a_distance_meets_exactly_counts_as_within():
    truth = np.zeros((9, 3, 3), bool)
    truth[1] = True
    assert metrics_of(np.roll(truth, 3, axis=0), truth, (0.1, 1, 1), tolerance=0.3)["nsd"] == 1


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_metrics_do_not_depend_on_the_crop_or_the_order_in_memory(seed):
    pred, truth, spacing = random_pair(np.random.default_rng(seed))
    got = metrics_of(pred, truth, spacing)
    wide = [np.pad(m, ((3, 0), (0, 7), (1, 2))) for m in (pred, truth)]
    assert metrics_of(*wide, spacing) == got
    assert metrics_of(*(np.asfortranarray(m) for m in (pred, truth)), spacing) == got
    swapped = metrics_of(truth, pred, spacing)
    assert all(
        swapped[n] == pytest.approx(got[n], nan_ok=True, rel=1e-12) for n in ("dice", "nsd", "hd95_mm", "asd_mm")
    )


def test_classes_are_told_apart_and_counts_are_chunked(monkeypatch):
    rng = np.random.default_rng(3)
    pred, truth = rng.integers(0, 5, (2, 7, 6, 5)).astype(np.uint8)
    labels = {"a": 1, "c": 3}
    both = metrics_of(pred, truth, (1, 2, 3), labels=labels)
    for key, value in labels.items():
        assert both[key] == metrics_of(pred == value, truth == value, (1, 2, 3))
    whole = overlap_counts(pred, truth, 4)
    monkeypatch.setattr("rep3d.evaluation.metrics.CHUNK", 11)
    for a, b in zip(whole, overlap_counts(pred, np.asfortranarray(truth), 4), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole[2], [((pred == c) & (truth == c)).sum() for c in range(4)])


@pytest.mark.skipif(not REAL, reason="REP3D_DATA is not set")
@pytest.mark.parametrize(
    ("truth", "pred", "keys"),
    [
        ("headneck_0522c0331_oncologist", "headneck_0522c0331_radiographer", (2, 3, 8, 12, 13, 17, 19, 21)),
        ("abdomen_multiorgan_21_gt", "abdomen_multiorgan_21_pred_ce", (2, 4, 5, 8)),
    ],
)
def test_agreement_on_two_raters_and_on_published_predictions(truth, pred, keys):
    folder = Path(REAL) / "open" / "label_only"
    a, b = (read_labelmap(folder / f"{name}.nii.gz") for name in (pred, truth))
    labels = {f"structure-{value}": value for value in keys}
    got = case_metrics(a.array, b.array, a.spacing_mm, labels, dict.fromkeys(labels, 1.5))
    for key, value in labels.items():
        for name, expected in oracle_metrics(a.array == value, b.array == value, a.spacing_mm, 1.5).items():
            assert got[key][name] == pytest.approx(expected, abs=1e-6), (key, name)
        assert 0.3 < got[key]["dice"] < 1 and got[key]["hd95_mm"] > 0
