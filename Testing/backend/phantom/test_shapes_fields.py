"""The phantom's building blocks: distances, splines, smooth fields, the painter's partial volume."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.phantom import shapes
from rep3d.phantom.canvas import Canvas, Patient
from rep3d.phantom.fields import SmoothField
from rep3d.phantom.grid import Grid
from rep3d.phantom.scanner import average, reduce_labels


def still_patient() -> Patient:
    """No displacement: template space is patient space."""
    field = SmoothField.draw(np.random.default_rng(0), 100.0)
    return Patient(np.ones(3), (field, field, field), np.zeros(3), (field,))


def cube(n: int, spacing: float) -> Grid:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * (n - 1) / 2
    return Grid((n, n, n), affine)


@settings(deadline=None)
@given(st.floats(-180, 180), st.floats(-180, 180), st.floats(-180, 180))
def test_rotation_is_orthogonal(rx: float, ry: float, rz: float) -> None:
    turn = shapes.rotation(rx, ry, rz)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.isclose(np.linalg.det(turn), 1)


def test_a_ball_has_its_distance_and_volume() -> None:
    canvas = Canvas(cube(40, 2.0), still_patient())
    region = canvas.everything()
    distance = shapes.ellipsoid(region.x, region.y, region.z, (3, -2, 1), (25, 25, 25))
    exact = np.sqrt((region.x - 3) ** 2 + (region.y + 2) ** 2 + (region.z - 1) ** 2) - 25
    assert np.max(np.abs(distance - exact)[np.abs(exact) < 8]) < 0.01
    canvas.paint(region, distance, 0.0, 5)
    millilitres = np.sum((canvas.hu + 1000) / 1000) * 8 / 1000  # soft edges: the mean HU tells the volume
    assert millilitres == pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.005)
    assert np.sum(canvas.label == 5) * 8 / 1000 == pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.02)


def test_the_label_that_fills_most_of_a_voxel_wins() -> None:
    canvas = Canvas(cube(4, 2.0), still_patient())
    region = canvas.everything()
    ones = np.ones(region.x.shape, dtype=np.float32)
    canvas.blend(region, 0.6 * ones, 10.0, 1)
    assert np.all(canvas.label == 1)
    canvas.blend(region, 0.45 * ones, 20.0, 2)  # leaves 0.33 of label 1: label 2 has the most
    assert np.all(canvas.label == 2)
    canvas.blend(region, 0.2 * ones, 30.0, 3)
    assert np.all(canvas.label == 2)
    assert canvas.weight.flat[0] == pytest.approx(0.36, abs=1e-6)


def test_a_tube_is_a_tube() -> None:
    canvas = Canvas(cube(40, 2.0), still_patient())
    points = np.array([(0, 0, -30, 8), (0, 0, 0, 8), (0, 0, 30, 8)], dtype=float)
    region, distance = canvas.tube(points)
    near = np.abs(region.z) < 20
    exact = np.sqrt(region.x**2 + region.y**2) - 8
    check = near & (np.abs(exact) < 3)
    assert np.max(np.abs(distance - exact)[check]) < 0.01
    assert canvas.tube(points + np.array([500.0, 0, 0, 0])) == (None, None)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1.0, 12.0))
def test_spline_goes_through_its_points(seed: int, step: float) -> None:
    points = np.random.default_rng(seed).uniform(-50, 50, (6, 4))
    curve, length = shapes.spline(points, step)
    for point in points:
        assert np.min(np.linalg.norm(curve - point, axis=1)) < 1e-9
    assert np.all(np.diff(length) > 0)


def test_fields_are_smooth_and_of_unit_variance() -> None:
    field = SmoothField.draw(np.random.default_rng(3), 15.0)
    sample = field.sample(cube(60, 6.0))
    assert abs(sample.mean()) < 0.15
    assert 0.85 < sample.std() < 1.15
    fine = field.sample(cube(41, 1.0))
    assert np.max(np.abs(np.diff(fine, axis=0))) < 0.5


def test_a_field_belongs_to_patient_space() -> None:
    field = SmoothField.draw(np.random.default_rng(3), 40.0)
    straight = cube(20, 4.0)
    turned = Grid(straight.shape, straight.affine.copy())
    turned.affine[:3, :3] = shapes.rotation(10, 5, 20) @ turned.affine[:3, :3]
    for grid, tolerance in ((straight, 1e-4), (turned, 0.05)):
        index = np.argwhere(np.ones(grid.shape, dtype=bool))
        points = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        assert np.max(np.abs(field.sample(grid).ravel() - field.at(points))) < tolerance


def test_refined_grid_covers_the_same_space() -> None:
    grid = Grid((4, 5, 6), np.array([[2.0, 0, 0, -3], [0, 3, 0, 4], [0, 0, 5, 1], [0, 0, 0, 1]]))
    fine = grid.refined((1, 2, 3))
    assert fine.shape == (4, 10, 18)
    position = fine.coordinate(2).ravel()
    assert np.allclose(position.reshape(6, 3).mean(axis=1), grid.coordinate(2).ravel())


def test_thick_slices_average_and_vote() -> None:
    image = np.arange(12, dtype=np.float32).reshape(1, 2, 6)
    assert np.array_equal(average(image, (1, 1, 3)), image.reshape(1, 2, 2, 3).mean(axis=3))
    label = np.array([[[1, 2, 2, 3, 4, 5]]], dtype=np.uint8)
    weight = np.array([[[0.9, 0.5, 0.5, 0.2, 0.9, 0.3]]], dtype=np.float32)
    assert reduce_labels(label, weight, (1, 1, 3)).tolist() == [[[2, 4]]]
