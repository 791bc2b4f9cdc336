"""Overlays: right colours on the right side, one row a label map, errors that name the culprit."""

from __future__ import annotations

import numpy as np
import pytest
from rep3d.data.volume import Volume
from rep3d.errors import BadInput, OutputFailed
from rep3d.figures import overlay


def red(picture):
    return (picture[..., 0] > 0.8) & (picture[..., 1] < 0.25) & (picture[..., 2] < 0.25)


def green(picture):
    return (picture[..., 1] > 0.8) & (picture[..., 0] < 0.25) & (picture[..., 2] < 0.25)


def test_the_patients_left_is_on_the_right(tmp_path, pair, two_organs, read_png):
    scan, labels = pair
    overlay(tmp_path / "a.png", scan, [("Rep3D", labels)], two_organs, slices=(20, 18, 14), width_px=1200)
    picture = read_png(tmp_path / "a.png")
    assert picture.shape[1] == 1200
    third = picture[:-60, :400]  # the axial panel lies within the first third; the legend is cut off
    assert red(third).sum() > 50 and green(third).sum() > 50
    assert np.nonzero(red(third))[1].mean() < np.nonzero(green(third))[1].mean()
    # array axis 1 runs to posterior, so the left organ lies further back: lower in the picture
    assert np.nonzero(red(third))[0].mean() < np.nonzero(green(third))[0].mean()


def test_only_structures_that_are_present_are_in_the_legend(tmp_path, pair, two_organs, read_png):
    scan, labels = pair
    only = labels.with_array(np.where(labels.array == 1, 1, 0).astype(np.uint8))
    overlay(tmp_path / "a.png", scan, [("", only)], two_organs, width_px=1200)
    picture = read_png(tmp_path / "a.png")
    assert red(picture[-60:]).sum() > 50
    assert green(picture).sum() == 0


def test_truth_gets_its_own_row(tmp_path, pair, two_organs, read_png):
    scan, labels = pair
    nothing = labels.with_array(np.zeros_like(labels.array))
    overlay(tmp_path / "a.png", scan, [("Rep3D", nothing), ("Truth", labels)], two_organs, width_px=1200)
    picture = read_png(tmp_path / "a.png")[:-60]
    half = picture.shape[0] // 2
    assert red(picture[:half]).sum() == 0 and red(picture[half:]).sum() > 50


def test_an_empty_result_is_still_a_picture(tmp_path, pair, two_organs, read_png):
    scan, labels = pair
    overlay(tmp_path / "a.png", scan, [("", labels.with_array(0 * labels.array))], two_organs)
    assert read_png(tmp_path / "a.png").max() > 0.5


def test_another_grid_is_refused(tmp_path, pair, two_organs):
    scan, labels = pair
    with pytest.raises(BadInput, match="Rep3D"):
        overlay(tmp_path / "a.png", scan, [("Rep3D", Volume(labels.array[1:], labels.affine))], two_organs)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path, pair, two_organs):
    scan, labels = pair
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFailed, match=r"a\.png"):
        overlay(tmp_path / "file" / "a.png", scan, [("", labels)], two_organs)
