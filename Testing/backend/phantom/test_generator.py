"""The generated abdomen: the same for the same seed, plausible, and the same patient whatever grid it is scanned on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from rep3d.errors import BadInput
from rep3d.phantom import LABELS, Phantom, ScanOptions, generate
from rep3d.phantom.orient import ORIENTATIONS, reorient
from rep3d.tasks import load_task
from scipy import ndimage

COARSE = (3.2, 3.2, 3.2)

#: mL; wide enough for children-sized to very large organs, narrow enough to catch one that was lost or swallowed.
VOLUMES_ML = {
    "spleen": (45, 400), "right-kidney": (60, 280), "left-kidney": (55, 280), "gallbladder": (6, 110),
    "esophagus": (8, 60), "liver": (750, 2600), "stomach": (120, 900), "aorta": (30, 220),
    "inferior-vena-cava": (30, 220), "pancreas": (30, 170), "right-adrenal": (1.2, 14), "left-adrenal": (1.0, 14),
    "duodenum": (30, 200), "bladder": (40, 650), "prostate-uterus": (8, 200),
}  # fmt: skip


@lru_cache(maxsize=8)
def full(seed: int) -> Phantom:
    return generate(seed, spacing=COARSE)


def voxel_ml(phantom: Phantom) -> float:
    return abs(float(np.linalg.det(phantom.affine[:3, :3]))) / 1000


def centre(phantom: Phantom, name: str) -> np.ndarray:
    """Centre of a label in patient millimetres, RAS."""
    index = np.argwhere(phantom.labels == LABELS[name]).mean(axis=0)
    return phantom.affine[:3, :3] @ index + phantom.affine[:3, 3]


def values(phantom: Phantom, name: str) -> np.ndarray:
    """HU well inside a label."""
    inside = ndimage.binary_erosion(phantom.labels == LABELS[name])
    return phantom.image[inside]


def test_labels_are_the_task_s() -> None:
    assert {label.key: label.value for label in load_task("phantom-abdomen").labels} == LABELS
    assert {label.key: label.value for label in load_task("amos-ct").labels} == LABELS


def test_same_seed_same_bits() -> None:
    options = ScanOptions(spacing=(3.2, 3.2, 3.2), orientation="random", oblique=None, fov="upper")
    first, second = generate(11, options), generate(11, options)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.affine, second.affine)
    assert first.meta == second.meta
    other = generate(12, options)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", [0, 1, 5, 108])
def test_every_label_has_a_plausible_volume(seed: int) -> None:
    phantom = full(seed)
    assert phantom.image.dtype == np.int16
    assert phantom.labels.dtype == np.uint8
    assert phantom.image.shape == phantom.labels.shape
    millilitres = np.bincount(phantom.labels.ravel(), minlength=16) * voxel_ml(phantom)
    assert len(millilitres) == 16
    for name, (low, high) in VOLUMES_ML.items():
        assert low <= millilitres[LABELS[name]] <= high, (seed, name, millilitres[LABELS[name]])


@pytest.mark.parametrize("seed", [0, 5])
def test_organs_lie_where_they_belong(seed: int) -> None:
    phantom = full(seed)
    at = {name: centre(phantom, name) for name in LABELS}
    # RAS: the first coordinate grows to the patient's right ... the liver's side.
    for name in ("liver", "gallbladder", "right-kidney", "right-adrenal", "inferior-vena-cava", "duodenum"):
        assert at[name][0] > 0, name
    for name in ("spleen", "stomach", "left-kidney", "left-adrenal", "aorta"):
        assert at[name][0] < 0, name
    assert at["bladder"][1] > at["aorta"][1]  # in front
    for name in ("bladder", "prostate-uterus"):
        assert at[name][2] < at["right-kidney"][2] < at["liver"][2]
    for side in ("right", "left"):
        assert at[f"{side}-adrenal"][2] > at[f"{side}-kidney"][2]
    assert at["stomach"][1] > at["spleen"][1]
    assert at["pancreas"][1] > at["aorta"][1]


def test_labels_lie_in_the_body() -> None:
    phantom = full(1)
    tissue = phantom.image > -500
    body = np.stack([ndimage.binary_fill_holes(tissue[:, :, k]) for k in range(tissue.shape[2])], axis=2)
    assert not np.any((phantom.labels > 0) & ~body)
    edge = np.ones_like(body)
    edge[1:-1, 1:-1, :] = False
    assert not np.any(phantom.labels[edge])


def test_organs_hang_together() -> None:
    phantom = full(0)
    for name in ("liver", "spleen", "right-kidney", "left-kidney", "aorta", "stomach", "bladder"):
        parts, count = ndimage.label(phantom.labels == LABELS[name], structure=np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        assert count >= 1
        assert sizes.max() > 0.97 * sizes.sum(), name


def test_hu_follow_the_phase() -> None:
    scans = {phase: generate(3, spacing=COARSE, phase=phase, noise=0.0) for phase in ("native", "arterial", "portal")}
    median = {
        phase: {name: float(np.median(values(p, name))) for name in LABELS if "adrenal" not in name}
        for phase, p in scans.items()
    }
    truth = [p.labels for p in scans.values()]
    assert np.array_equal(truth[0], truth[1])  # contrast does not move organs
    assert np.array_equal(truth[0], truth[2])
    assert 25 <= median["native"]["aorta"] <= 60
    assert median["arterial"]["aorta"] > median["portal"]["aorta"] + 60
    assert median["portal"]["aorta"] > median["native"]["aorta"] + 50
    assert median["portal"]["liver"] > median["native"]["liver"] + 20
    for phase in scans:
        assert -15 <= median[phase]["bladder"] <= 30
        assert -15 <= median[phase]["gallbladder"] <= 40
        assert 20 <= median[phase]["liver"] <= 150
    image = scans["portal"].image
    assert image.min() >= -1024
    assert image.max() > 300  # bone
    assert np.mean(image < -900) > 0.1  # air around
    assert np.mean((image > -130) & (image < -80)) > 0.05  # fat


def test_noise_is_what_was_asked_for() -> None:
    quiet, loud = generate(3, spacing=COARSE, noise=0.0), generate(3, spacing=COARSE, noise=25.0)
    assert np.array_equal(quiet.labels, loud.labels)
    difference = loud.image.astype(float) - quiet.image
    assert 15 < difference[quiet.labels == LABELS["liver"]].std() < 35
    assert abs(difference.mean()) < 1


def test_reorientation_keeps_every_voxel_in_its_place() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(-100, 100, (3, 4, 5)).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.5, 2.0, 3.0])
    affine[:3, 3] = (-7, 3, 11)
    points = {tuple(affine[:3, :3] @ i + affine[:3, 3]): image[tuple(i)] for i in np.ndindex(image.shape)}
    assert len(ORIENTATIONS) == 48
    for codes in ORIENTATIONS:
        turned, labels, moved = reorient(image, image.astype(np.uint8), affine, codes)
        assert labels.shape == turned.shape
        for i in np.ndindex(turned.shape):
            position = tuple(moved[:3, :3] @ i + moved[:3, 3])
            assert points[position] == turned[i]
        for axis, letter in enumerate(codes):
            step = moved[:3, axis]
            assert np.sign(step["RLAPSI".index(letter) // 2]) == (1 if letter in "RAS" else -1)


def test_same_patient_in_another_orientation() -> None:
    straight = full(5)
    turned = generate(5, spacing=COARSE, orientation="PIL")
    inverse = np.linalg.inv(turned.affine) @ straight.affine
    index = np.argwhere(straight.labels >= 0)
    there = np.rint(index @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    assert np.array_equal(turned.labels[tuple(there.T)], straight.labels.ravel())
    assert np.array_equal(turned.image[tuple(there.T)], straight.image.ravel())


@pytest.mark.parametrize("changes", [{"oblique": 14.0}, {"spacing": (2.6, 3.0, 6.0)}])
def test_same_patient_on_another_grid(changes: dict) -> None:
    """Labels of another grid of the same seed, read at the first grid's positions, agree but for the borders."""
    straight = full(5)
    other = generate(5, **{"spacing": COARSE, "fov": "full", **changes})
    inverse = np.linalg.inv(other.affine) @ straight.affine
    index = np.argwhere(straight.labels >= 0)
    there = np.rint(index @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    seen = np.all((there >= 0) & (there < other.labels.shape), axis=1)
    mine, theirs = straight.labels.ravel()[seen], other.labels[tuple(there[seen].T)]
    for name, least in {"liver": 0.95, "spleen": 0.9, "right-kidney": 0.9, "left-kidney": 0.9, "bladder": 0.9}.items():
        a, b = mine == LABELS[name], theirs == LABELS[name]
        assert 2 * np.sum(a & b) / (a.sum() + b.sum()) > least, name


def test_partial_views_cut_organs() -> None:
    upper = generate(4, spacing=COARSE, fov="upper")
    assert not np.any(upper.labels == LABELS["bladder"])
    assert np.any(upper.labels == LABELS["liver"])
    assert np.any(upper.labels[:, :, 0] == LABELS["aorta"])  # cut through
    pelvis = generate(4, spacing=COARSE, fov="pelvis")
    assert np.any(pelvis.labels == LABELS["bladder"])
    assert not np.any(pelvis.labels == LABELS["spleen"])


def test_shape_and_spacing_are_kept() -> None:
    phantom = generate(2, shape=(60, 48, 40))
    assert phantom.image.shape == (60, 48, 40)
    assert np.all(phantom.labels.max() >= 14)
    both = generate(2, shape=(40, 40, 30), spacing=(3, 3, 3), orientation="LPS")
    assert both.image.shape == (40, 40, 30)
    assert np.allclose(np.linalg.norm(both.affine[:3, :3], axis=0), 3)


def test_seeds_differ_in_scan_and_patient() -> None:
    metas = [generate(s, shape=(16, 16, 16), orientation="random", oblique=None, fov="random").meta for s in range(8)]
    for key in ("sex", "phase", "orientation", "fov"):
        assert len({m[key] for m in metas}) > 1, key
    assert len({m["noise_hu"] for m in metas}) == 8


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"spacing": (0, 1, 1)}, "spacing"),
        ({"spacing": (float("nan"), 1, 1)}, "spacing"),
        ({"shape": (0, 10, 10)}, "shape"),
        ({"shape": (10.5, 10, 10)}, "shape"),
        ({"orientation": "RAR"}, "orientation"),
        ({"oblique": 90.0}, "oblique"),
        ({"noise": -1.0}, "noise"),
        ({"phase": "late"}, "phase"),
        ({"fov": "head"}, "fov"),
        ({"colour": 1}, "colour"),
        ({"spacing": (0.4, 0.4, 0.4)}, "too large"),
    ],
)
def test_bad_options_are_named(changes: dict, named: str) -> None:
    with pytest.raises(BadInput, match=named) as caught:
        generate(0, **changes)
    assert caught.value.hint


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_bad_seed(seed) -> None:
    with pytest.raises(BadInput, match="seed"):
        generate(seed)
