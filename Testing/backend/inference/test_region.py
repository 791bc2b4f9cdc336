"""Regions: a turned box keeps exactly the voxels whose centre it holds, and six numbers mean what they always did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.inference.pipeline import segment_volume
from rep3d.inference.region import Region, as_region
from scipy.spatial.transform import Rotation

vectors = st.tuples(*[st.floats(-0.9, 0.9)] * 3)


def pose(turn, move, scale=(1.0, 1.0, 1.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix() * scale
    matrix[:3, 3] = move
    return matrix


def beyond_faces(region: Region, points: np.ndarray) -> np.ndarray:
    """How far a point lies outside the box, in the box's own coordinates; negative inside."""
    local = (points - region.matrix[:3, 3]) @ np.linalg.inv(region.matrix[:3, :3]).T
    return np.max(np.abs(local) - np.asarray(region.size_mm) / 2, axis=-1)


def holds(region: Region, points: np.ndarray) -> np.ndarray:
    """The definition: the box's own coordinates of a point lie within half its edges."""
    return beyond_faces(region, points) <= 0


def centres(affine, shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]


@settings(deadline=None, max_examples=60)
@given(vectors, vectors, st.tuples(*[st.floats(2, 30)] * 3), st.tuples(*[st.sampled_from([-1.2, 0.8, 1.0, 2.5])] * 3))
@example((0.4375, 0.0, 0.0), (0.4375, 0.0, 0.0), (2.0, 2.0, 2.4), (-1.2, -1.2, 1.0))  # centres on a face
def test_what_lies_outside_is_cleared(turn, grid_turn, size, spacing):
    shape = (14, 11, 9)
    affine = pose(grid_turn, (3, -8, 20), spacing)
    middle = (affine @ [6.3, 5.1, 4.2, 1])[:3]
    region = Region.from_box(pose(turn, middle), size)
    labels = np.ones(shape, np.uint8, order="F")
    region.clear_outside(labels, affine)
    beyond = beyond_faces(region, centres(affine, shape))
    assume(not np.any((np.abs(beyond) > 1e-9) & (np.abs(beyond) < 1e-5)))  # nearer than the tolerance
    inside = beyond <= 1e-9  # a centre on a face belongs to the region, whatever the rounding
    np.testing.assert_array_equal(labels.astype(bool), inside)
    box = region.index_box(affine, shape, (1, 1, 1))
    cut = np.zeros(shape, bool)
    cut[tuple(slice(*b) for b in box)] = True
    assert not (inside & ~cut).any()  # the crop loses nothing of the region


def test_a_turned_region_through_the_pipeline(scan, small_task, threshold):
    affine = pose((0.2, -0.3, 0.1), (5, 6, 7), (1, 1, 1))
    volume = Volume(scan.array, affine)
    whole = segment_volume(volume, threshold, small_task, device="cpu").labelmap
    region = Region.from_box(pose((0, 0, 0.6), (affine @ [14, 15, 9, 1])[:3]), (9.0, 6.0, 12.0))
    part = segment_volume(volume, threshold, small_task, roi=region, device="cpu")
    inside = holds(region, centres(affine, scan.shape))
    np.testing.assert_array_equal(part.labelmap, np.where(inside, whole, 0))
    assert 0 < (part.labelmap > 0).sum() < (whole > 0).sum()
    assert part.settings["roi_mm_ras"] == {"matrix": region.matrix.tolist(), "size_mm": [9.0, 6.0, 12.0]}


def test_an_aligned_box_equals_six_numbers(scan, small_task, threshold):
    bounds = (8.0, 15.0, 10.0, 18.5, 5.0, 12.0)
    six = segment_volume(scan, threshold, small_task, roi=bounds, device="cpu")
    box = Region.from_box(pose((0, 0, 0), (11.5, 14.25, 8.5)), (7.0, 8.5, 7.0))
    np.testing.assert_array_equal(
        six.labelmap, segment_volume(scan, threshold, small_task, roi=box, device="cpu").labelmap
    )
    assert six.settings["roi_mm_ras"] == list(bounds) and six.labelmap.any()


def test_a_scaled_frame_scales_the_edges():
    """A region under a transform that enlarges: its edges count in its own frame."""
    labels = np.ones((21, 21, 21), np.uint8)
    Region.from_box(pose((0, 0, 0), (10, 10, 10), (2, 1, 1)), (4, 4, 4)).clear_outside(labels, np.eye(4))
    assert [len(np.unique(i)) for i in np.nonzero(labels)] == [9, 5, 5]


def test_regions_that_make_no_sense():
    for size in [(1, 0, 1), (1, -2, 1), (1, np.nan, 1), (np.inf, 1, 1)]:
        with pytest.raises(BadInput, match="empty"):
            Region.from_box(np.eye(4), size)
    for matrix in [np.zeros((4, 4)), np.diag([1, 1, 0, 1]), np.diag([1, 1, 1, 2]), np.eye(3), np.full((4, 4), np.nan)]:
        with pytest.raises(BadInput, match="matrix"):
            Region.from_box(matrix, (1, 1, 1))
    with pytest.raises(BadInput, match="outside the volume"):
        Region.from_box(pose((0, 0, 1), (900, 0, 0)), (5, 5, 5)).index_box(np.eye(4), (9, 9, 9), (4, 4, 4))
    with pytest.raises(BadInput, match="empty"):
        as_region((0, 1, 5, 5, 0, 1))
    assert as_region(None) is None
