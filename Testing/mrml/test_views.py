"""Pictures of views: the right side of the patient is on the left, the segmentation over the volume, nothing stays."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from Rep3DSegmentationLib.segmentations import import_labels, show_3d

sys.path.insert(0, str(Path(__file__).parent))
from geometries import LABELS


@pytest.fixture
def views():
    from slicerhost import views as module

    if module.rendering_problem():
        pytest.skip(module.rendering_problem())
    return module


@pytest.fixture
def block(make_volume):
    """A bright block in the patient's right front upper corner, as volume and as segmentation; grid of 2 mm."""
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[12:18, 12:18, 12:18] = 1
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -19  # the middle is the origin
    volume = make_volume(labels.astype(np.int16) * 300, affine)
    volume.CreateDefaultDisplayNodes()
    return volume, import_labels(labels, LABELS[:1], volume).segmentation_node


def centre_of(mask: np.ndarray) -> np.ndarray:
    """(x, y) of the middle of a mask, from -1 (left, top) to 1."""
    y, x = np.nonzero(mask)
    return np.array([x.mean() / mask.shape[1], y.mean() / mask.shape[0]]) * 2 - 1


@pytest.mark.parametrize(("orientation", "normal"), [("Axial", 2), ("Coronal", 1), ("Sagittal", 0)])
def test_slices_lie_as_radiologists_look_at_them(views, core, block, orientation, normal):
    """Right on the left, anterior on top (axial) or on the left (sagittal), superior on top."""
    volume, node = block
    point = np.zeros(3)
    point[normal] = 10.0
    plain = views.render_slice(core, volume, None, orientation, centre=point, size=(200, 200))
    over = views.render_slice(core, volume, node, orientation, centre=point, size=(200, 200))
    bright = plain[..., 0] > 128
    coloured = np.abs(over.astype(int) - plain).max(axis=2) > 20
    assert (centre_of(bright) < -0.2).all() and (centre_of(coloured) < -0.2).all()
    assert np.abs(centre_of(bright) - centre_of(coloured)).max() < 0.03
    assert views.render_slice(core, volume, node, orientation, centre=-point, size=(200, 200)).max() < 20


def test_offset_is_along_the_normal(views, core, block):
    volume, node = block
    assert views.render_slice(core, volume, node, "Axial", offset=10.0, size=(100, 100)).max() > 100
    assert views.render_slice(core, volume, node, "Axial", offset=-10.0, size=(100, 100)).max() < 20


def test_slice_is_centred_and_scaled(views, core, block):
    volume, _node = block
    picture = views.render_slice(core, volume, None, "Axial", centre=(10, 10, 10), size=(240, 120), field_of_view_mm=24)
    bright = picture[..., 0] > 128
    assert picture.shape == (120, 240, 3) and np.abs(centre_of(bright)).max() < 0.03
    assert bright[60].sum() == pytest.approx(120, abs=12)  # 12 mm of 24 mm


def test_surface_in_3d_seen_from_the_front(views, core, block, scene):
    volume, node = block
    show_3d(node, True)
    other = import_labels(np.ones((20, 20, 20), np.uint8), LABELS[:1], volume).segmentation_node
    show_3d(other, True)
    logics = core.app_logic.GetSliceLogics()
    before = scene.GetNumberOfNodes(), logics.GetNumberOfItems()
    picture = views.render_3d(core, node, size=(200, 150), background=(0, 0, 0))
    assert picture.shape == (150, 200, 3) and 0.05 < (picture.max(axis=2) > 30).mean() < 0.9
    show_3d(node, False)
    hidden = views.render_3d(core, node, size=(200, 150), background=(0, 0, 0))
    assert hidden.max() == 0 and other.GetDisplayVisibility()
    assert (scene.GetNumberOfNodes(), logics.GetNumberOfItems()) == before
