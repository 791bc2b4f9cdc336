"""Grids: orientation and resampling keep every point where it is in the patient."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.data.preprocess import closest_axes, reorient, to_network_grid, to_ras, undo_reorient
from rep3d.data.volume import Geometry, Volume, to_sitk
from scipy.spatial.transform import Rotation

sizes = st.tuples(*[st.integers(2, 12)] * 3)
spacings = st.tuples(*[st.floats(0.3, 6)] * 3)


@st.composite
def affines(draw, tilt=0.6):
    """A voxel-to-RAS affine: random axis order and flips, a rotation, spacings and an origin."""
    permutation = np.eye(3)[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    rotation = Rotation.from_rotvec(draw(st.tuples(*[st.floats(-tilt, tilt)] * 3))).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ permutation * draw(spacings)
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return affine


@given(affines(), sizes)
def test_affine_and_simpleitk_agree(affine, size):
    geometry = Geometry.from_affine(affine, size)
    np.testing.assert_allclose(geometry.affine_ras, affine, atol=1e-9)
    image = to_sitk(np.zeros(size, np.uint8), geometry)
    assert Geometry.from_sitk(image) == geometry
    index = tuple(n - 1 for n in size)
    point = np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
    np.testing.assert_allclose(point, (affine @ [*index, 1])[:3], atol=1e-6)


@given(affines(tilt=0.4), sizes)
def test_closest_axes_are_nibabels(affine, size):
    axes, flips = closest_axes(affine)
    codes = nib.aff2axcodes(affine)
    for direction, (axis, flip) in enumerate(zip(axes, flips)):
        assert codes[axis] == ("LPI" if flip else "RAS")[direction]


@given(affines(), sizes)
def test_ras_keeps_points_and_comes_back(affine, size):
    array = np.arange(np.prod(size)).reshape(size)
    ras = to_ras(Volume(array, affine))
    for flat in {0, array.size // 2, array.size - 1}:
        here, there = np.argwhere(array == flat)[0], np.argwhere(ras.array == flat)[0]
        np.testing.assert_allclose((affine @ [*here, 1])[:3], (ras.affine @ [*there, 1])[:3], atol=1e-6)
    assert closest_axes(ras.affine) == ((0, 1, 2), (False, False, False))
    axes, flips = closest_axes(affine)
    np.testing.assert_array_equal(undo_reorient(reorient(array, axes, flips), axes, flips), array)


@settings(deadline=None)
@given(affines(), st.tuples(*[st.integers(4, 14)] * 3), spacings)
def test_linear_intensities_stay_where_they_are(affine, size, new_spacing):
    """A ramp through the patient is reproduced at every new voxel that lies inside the old grid."""
    slope = np.array([0.7, -1.1, 0.4])
    index = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1)
    ramp = (index @ affine[:3, :3].T + affine[:3, 3]) @ slope
    volume = Volume(ramp, affine)
    grid = to_network_grid(volume, new_spacing)
    np.testing.assert_allclose(grid.spacing_mm, new_spacing, rtol=1e-9)
    expected_size = [max(1, round(n * s / m)) for n, s, m in zip(*_ras(volume), new_spacing)]
    assert grid.shape == tuple(expected_size)
    new = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    world = new @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    old = (world - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    # half the width of the averaging away from the border, where the grid gets coarser
    reach = np.maximum(0, np.asarray(_by_array_axis(volume, new_spacing)) - 1) / 2
    inside = np.all((old >= reach) & (old <= np.asarray(size) - 1 - reach), axis=-1)
    np.testing.assert_allclose(grid.array[inside], (world @ slope)[inside], atol=2e-3, rtol=1e-5)


def _ras(volume):
    ras = to_ras(volume)
    return ras.shape, ras.spacing_mm


def _by_array_axis(volume, new_spacing):
    axes, _ = closest_axes(volume.affine)
    steps = [0.0] * 3
    for direction, axis in enumerate(axes):
        steps[axis] = new_spacing[direction] / volume.spacing_mm[axis]
    return steps


@settings(deadline=None)
@given(affines(), sizes, spacings)
def test_extent_is_centred(affine, size, new_spacing):
    volume = Volume(np.random.default_rng(0).random(size), affine)
    grid = to_network_grid(volume, new_spacing)
    old = affine[:3, :3] @ ((np.array(size) - 1) / 2) + affine[:3, 3]
    new = grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3]
    np.testing.assert_allclose(old, new, atol=1e-6)


def test_same_grid_is_untouched():
    array = np.random.default_rng(0).random((7, 8, 9)).astype(np.float32)
    grid = to_network_grid(Volume(array, np.diag([1.0, 2, 3, 1])), (1, 2, 3))
    np.testing.assert_array_equal(grid.array, array)


def test_simpleitk_resampling_agrees():
    """Upsampling is SimpleITK's linear interpolation, written independently."""
    array = np.random.default_rng(1).random((9, 10, 11)).astype(np.float32)
    volume = Volume(array, np.diag([2.0, 3.0, 2.5, 1]))
    grid = to_network_grid(volume, (1.1, 1.4, 0.9))
    reference = to_sitk(np.zeros(grid.shape, np.float32), Geometry.from_affine(grid.affine, grid.shape))
    expected = sitk.Resample(to_sitk(array, volume.grid), reference, sitk.Transform(), sitk.sitkLinear, -1.0)
    expected = sitk.GetArrayFromImage(expected).transpose(2, 1, 0)
    inside = expected != -1.0
    assert inside.mean() > 0.7
    np.testing.assert_allclose(grid.array[inside], expected[inside], atol=1e-4)
