"""What a click takes, against scipy's labelling and filtering of the same probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from .scenes import affines

pytest.importorskip("slicer", reason="slicer-core is not installed")
SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
INFO = [
    {"value": 1, "key": "liver", "name": "Liver", "color": [1, 2, 3]},
    {"value": 2, "key": "spleen", "name": "Spleen", "color": [4, 5, 6]},
]


def prepared(folder, dense_CIJK, axes=None, labels=None):
    from rep3d.probability_map import ProbabilityMap, ProbabilityWriter
    from Rep3DSegmentationLib.click.picking import PreparedVolume

    path = folder / "p.bin"
    writer = ProbabilityWriter(path, dense_CIJK.shape[1:], len(dense_CIJK))
    for c in range(len(dense_CIJK)):
        for corner in np.ndindex(*(-(-n // 5) for n in dense_CIJK.shape[1:])):
            start = tuple(5 * i for i in corner)
            writer.add(c, start, dense_CIJK[(c, *(slice(s, s + 5) for s in start))])
    writer.close()
    return PreparedVolume(ProbabilityMap(path), INFO, np.eye(3) if axes is None else axes, labels)


def blobs(shape, seed):
    """Probabilities [3, ...] with several islands of each class."""
    rng = np.random.default_rng(seed)
    logits = np.stack([ndimage.gaussian_filter(rng.normal(0, 1, shape), 0.8, mode="nearest") * 9 for _ in range(3)])
    p = np.exp(logits)
    return np.rint(p / p.sum(0) * 255) / 255


def whole(pick, shape):
    out = np.zeros(shape, bool)
    out[tuple(slice(f, f + n) for f, n in zip(pick.first, pick.mask.shape))] = pick.mask
    return out


@SLOW
@given(st.tuples(*[st.integers(3, 12)] * 3), st.integers(0, 999), st.floats(0.05, 0.95), st.booleans(), st.data())
def test_a_click_takes_the_component_of_the_most_probable_structure(
    tmp_path_factory, shape, seed, threshold, everything, data
):
    dense = blobs(shape, seed)
    known = prepared(tmp_path_factory.mktemp("p"), dense)
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    pick = known.pick(voxel, threshold=threshold, all_of_class=everything)
    best = 1 + int(dense[(slice(1, None), *voxel)].argmax())
    level = max(1, round(threshold * 255))
    if round(dense[(best, *voxel)] * 255) < level:
        assert pick.voxels == 0 and pick.message
        return
    inside = np.rint(dense[best] * 255) >= level
    labelled, _ = ndimage.label(inside)
    expected = inside if everything else labelled == labelled[voxel]
    np.testing.assert_array_equal(whole(pick, shape), expected)
    assert expected[voxel] and pick.hit.value == best and pick.voxels == expected.sum()


@SLOW
@given(st.tuples(*[st.integers(3, 12)] * 3), st.integers(0, 999), st.integers(0, 2), st.booleans(), st.data())
def test_a_slice_along_an_axis_is_exactly_that_slice(tmp_path_factory, shape, seed, axis, everything, data):
    dense = blobs(shape, seed)
    known = prepared(tmp_path_factory.mktemp("p"), dense)
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    normal = np.eye(3)[axis] * data.draw(st.sampled_from([-2.0, 0.5]))
    pick = known.pick(voxel, threshold=0.4, plane=normal, all_of_class=everything)
    if not pick.voxels:
        assert dense[(slice(1, None), *voxel)].max() < 0.4
        return
    plane = (dense[pick.hit.value] >= 0.4).take(voxel[axis], axis)
    labelled, _ = ndimage.label(plane)
    here = tuple(v for a, v in enumerate(voxel) if a != axis)
    expected = np.zeros(shape, bool)
    np.moveaxis(expected, axis, 0)[voxel[axis]] = plane if everything else labelled == labelled[here]
    np.testing.assert_array_equal(whole(pick, shape), expected)


@SLOW
@given(st.integers(0, 999), st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda n: max(map(abs, n)) > 0.1), st.data())
def test_an_oblique_slice_is_one_voxel_thick_without_holes(tmp_path_factory, seed, normal, data):
    shape = (11, 10, 12)
    dense = np.zeros((3, *shape))
    dense[1] = 1
    known = prepared(tmp_path_factory.mktemp("p"), dense)
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    taken = whole(known.pick(voxel, plane=np.array(normal), all_of_class=True), shape)
    axis = int(np.argmax(np.abs(normal)))
    steps = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - np.array(voxel)
    distance = np.abs(steps @ normal) / abs(normal[axis])
    assert taken[voxel] and taken.sum(axis=axis).max() == 1
    assert (distance[taken] <= 0.5 + 1e-9).all() and taken[distance < 0.5 - 1e-9].all()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 3.0)])
def test_smoothing_is_a_gaussian_in_millimetres(tmp_path, spacing):
    dense = blobs((24, 22, 20), 3)
    known = prepared(tmp_path, dense, np.diag(spacing))
    voxel = (12, 11, 10)
    values = 255 * dense[known.hit(voxel).value]
    soft = ndimage.gaussian_filter(values, 1.5 / np.array(spacing), mode="nearest", truncate=3)
    threshold = min(0.4, 0.95 * soft[voxel] / 255)
    pick = known.pick(voxel, threshold=threshold, smoothing_mm=1.5, all_of_class=True)
    differ = whole(pick, values.shape) != (soft >= threshold * 255)
    inner = np.zeros_like(differ)
    inner[5:-5, 5:-5, 3:-3] = True  # VTK and scipy treat the border otherwise
    assert (np.abs(soft - threshold * 255)[differ & inner] < 3).all() and pick.voxels > 100


def test_background_and_outside_say_so(tmp_path):
    dense = np.zeros((3, 6, 6, 6))
    dense[1, :3] = 0.42
    known = prepared(tmp_path, dense)
    assert "Background" in known.pick((5, 5, 5)).message and known.hit((6, 0, 0)) is None
    low = known.pick((0, 0, 0), threshold=0.5)
    assert low.voxels == 0 and "0.42" in low.message and "0.50" in low.message and "Liver" in low.message
    assert known.pick((0, 0, 0), threshold=0.42).voxels == 3 * 6 * 6
    with pytest.raises(ValueError, match="threshold"):
        known.pick((0, 0, 0), threshold=1.5)


def test_a_structure_is_that_of_the_label_map_or_of_the_threshold(tmp_path):
    dense = blobs((9, 8, 7), 5)
    labels = dense.argmax(0).astype(np.uint8)
    np.save(tmp_path / "labels.npy", np.asfortranarray(labels))
    known = prepared(tmp_path, dense, labels=tmp_path / "labels.npy")
    for value in (1, 2):
        np.testing.assert_array_equal(whole(known.structure(value), labels.shape), labels == value)
        above = whole(known.structure(value, threshold=0.8), labels.shape)
        np.testing.assert_array_equal(above, np.rint(255 * dense[value]) >= 204)
    with pytest.raises(ValueError, match="no structure 7"):
        known.structure(7)
    (tmp_path / "more").mkdir()
    part = prepared(tmp_path / "more", dense)
    with pytest.raises(ValueError, match="patch"):
        part.structure(1)
    dense[2] = 0
    (tmp_path / "none").mkdir()
    assert "Spleen" in prepared(tmp_path / "none", dense).structure(2, threshold=0.5).message


@pytest.mark.parametrize("what", ["hit", "pick", "structure"])
def test_damaged_files_are_an_error_for_the_user(tmp_path, what):
    from Rep3DSegmentationLib.errors import WorkerError

    dense = blobs((9, 8, 7), 5)
    known = prepared(tmp_path, dense, labels=tmp_path / "never written.npy")
    assert known.exists()
    (tmp_path / "p.bin").write_bytes(b"x" * (tmp_path / "p.bin").stat().st_size)
    with pytest.raises(WorkerError, match="could not be read") as caught:
        known.structure(1) if what == "structure" else getattr(known, what)((4, 4, 3))
    assert caught.value.code == "internal" and caught.value.hint and not known.exists()


@SLOW
@given(st.integers(0, 999), st.data())
def test_planes_are_given_in_the_world(tmp_path_factory, seed, data):
    """On a turned, anisotropic grid: what is taken lies within half a voxel of the world plane."""
    shape, voxel = (9, 8, 10), (4, 3, 6)
    affine = affines(data.draw)[:3, :3]
    normal = np.array(data.draw(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda n: np.linalg.norm(n) > 0.1)))
    normal /= np.linalg.norm(normal)
    dense = np.zeros((3, *shape))
    dense[1] = 1
    known = prepared(tmp_path_factory.mktemp("p"), dense, affine)
    taken = whole(known.pick(voxel, plane=normal, all_of_class=True), shape)
    steps = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - np.array(voxel)
    distance_mm = np.abs(steps @ affine.T @ normal)
    half_mm = np.abs(normal @ affine).max() / 2
    assert (distance_mm[taken] <= half_mm + 1e-9).all() and taken[distance_mm < half_mm - 1e-9].all()
    np.testing.assert_array_equal(taken, whole(known.pick(voxel, plane=-3 * normal, all_of_class=True), shape))
