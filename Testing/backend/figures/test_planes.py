"""Slices are shown the way radiologists expect."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rep3d.figures.planes import (
    AXIAL,
    CORONAL,
    PLANES,
    SAGITTAL,
    best_slices,
    content_box,
    display_range,
    resize,
    resize_labels,
)


def numbered(shape=(4, 5, 6)):
    return np.arange(np.prod(shape)).reshape(shape)


def test_axial_has_the_right_side_on_the_left_and_anterior_on_top():
    array = numbered()
    picture = AXIAL.cut(array, 2)
    assert picture.shape == (5, 4)
    assert picture[0, 0] == array[3, 4, 2]  # most right, most anterior
    assert picture[-1, -1] == array[0, 0, 2]
    assert AXIAL.letters == ("R", "L", "A", "P")


def test_coronal_and_sagittal():
    array = numbered()
    coronal, sagittal = CORONAL.cut(array, 1), SAGITTAL.cut(array, 3)
    assert coronal.shape == (6, 4) and coronal[0, 0] == array[3, 1, 5]
    assert sagittal.shape == (6, 5) and sagittal[0, 0] == array[3, 4, 5]  # anterior on the left, superior on top
    assert SAGITTAL.letters[0] == "A"


@given(st.data())
def test_place_says_where_cut_puts_a_voxel(data):
    size = data.draw(st.tuples(*[st.integers(2, 7)] * 3))
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in size)
    array = np.zeros(size)
    array[voxel] = 1
    for plane in PLANES:
        column, row = plane.place(voxel, size)
        picture = plane.cut(array, voxel[plane.axis])
        assert picture[row, column] == 1 and picture.sum() == 1


def test_best_slices_find_where_every_structure_is_large():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[2:8, 2:8, 3:9] = 1
    labels[4:6, 4:6, 5] = 2
    assert best_slices(labels)[2] == 5
    assert best_slices(np.zeros((4, 6, 8))) == (2, 3, 4)


def test_content_box_keeps_labels_and_drops_air():
    image = np.zeros((20, 20, 20))
    image[5:12, 5:12, 5:12] = 1
    labels = np.zeros(image.shape, np.uint8)
    labels[15, 6, 6] = 1
    box = content_box(image, labels, 0.5, margin=1)
    assert box == (slice(4, 17), slice(4, 13), slice(4, 13))


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 30), st.integers(1, 30))
def test_resize_keeps_constants_and_range(rows, columns, new_rows, new_columns):
    rng = np.random.default_rng(rows * columns)
    image = rng.random((rows, columns)).astype(np.float32)
    assert np.allclose(resize(np.ones((rows, columns)), (new_rows, new_columns)), 1, atol=1e-5)
    out = resize(image, (new_rows, new_columns))
    assert out.shape == (new_rows, new_columns)
    assert out.min() >= image.min() - 1e-5 and out.max() <= image.max() + 1e-5
    labels = resize_labels((image > 0.5).astype(np.uint8) * 7, (new_rows, new_columns))
    assert set(np.unique(labels)) <= {0, 7}


def test_display_range():
    assert display_range(np.zeros((2, 2, 2)), (-175, 250)) == (-175, 250)
    low, high = display_range(np.linspace(0, 100, 1000), None)
    assert low == pytest.approx(1, abs=0.2) and high == pytest.approx(99.7, abs=0.2)
    low, high = display_range(np.ones(10), None)
    assert high > low
