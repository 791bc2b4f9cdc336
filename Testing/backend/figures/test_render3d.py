"""Ray casting against geometry that is known: sides, sizes, depth order, thin structures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.figures import render
from rep3d.figures.raycast import View, cast
from rep3d.figures.surfaces import build_scene

FRONT = View("front", 0, 0)


def balls(*specs, shape=(60, 50, 50), spacing=(1.0, 1.0, 1.0)):
    """Labels with balls (value, centre in mm, radius in mm) on an RAS+ grid."""
    axes = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing)], indexing="ij")
    labels = np.zeros(shape, np.uint8)
    for value, centre, radius in specs:
        labels[sum((a - c) ** 2 for a, c in zip(axes, centre)) < radius**2] = value
    return Volume(labels, np.diag([*spacing, 1.0]))


def hits(labels, task, view=FRONT, pixel_mm=0.5, size=160):
    scene = build_scene(labels, task)
    return cast(scene, view, (size, size), pixel_mm / scene.spacing_mm), scene


def test_from_the_front_the_left_organ_is_on_the_right(two_organs):
    labels = balls((1, (45, 25, 25), 8), (2, (15, 25, 25), 8))  # +x is the patient's right
    seen, _ = hits(labels, two_organs)
    columns = [np.nonzero(seen.label == i)[1].mean() for i in (0, 1)]
    assert columns[0] < columns[1] - 40  # the right organ on the left of the picture


def test_head_up(two_organs):
    seen, _ = hits(balls((1, (30, 25, 38), 7), (2, (30, 25, 12), 7)), two_organs)
    rows = [np.nonzero(seen.label == i)[0].mean() for i in (0, 1)]
    assert rows[0] < rows[1]


@pytest.mark.parametrize("view", [FRONT, View("turned", 35, 20), View("left", 90, 0)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.3, 2.5)])
def test_a_ball_has_its_size_from_everywhere(two_organs, view, spacing):
    shape = tuple(round(60 / s) for s in spacing)
    seen, _ = hits(balls((1, (30, 30, 30), 15), shape=shape, spacing=spacing), two_organs, view)
    area = (seen.label >= 0).sum() * 0.25
    assert area == pytest.approx(np.pi * 15**2, rel=0.06)


def test_what_is_in_front_hides_what_is_behind(two_organs):
    labels = balls((1, (30, 38, 25), 10), (2, (30, 12, 25), 8))  # label 1 is anterior
    from_front, _ = hits(labels, two_organs)
    from_behind, _ = hits(labels, two_organs, View("behind", 180, 0))
    assert (from_front.label == 0).sum() > 800 and (from_front.label == 1).sum() < 20
    assert (from_behind.label == 1).sum() > 500


def test_thin_structures_do_not_vanish(two_organs):
    labels = Volume(np.zeros((60, 40, 60), np.uint8), np.eye(4))
    labels.array[5:55, 10:30, 5:55] = 0
    labels.array[20:40, 18:20, 10:50] = 1  # a plate two voxels thick
    labels.array[2, 2, 2] = labels.array[57, 37, 57] = 2
    seen, _ = hits(labels, two_organs, size=200)
    assert (seen.label == 0).sum() * 0.25 > 0.7 * 20 * 40


def test_surfaces_face_the_light_and_have_their_colour(two_organs):
    seen, _ = hits(balls((1, (30, 25, 25), 12)), two_organs)
    inside = seen.label == 0
    colour = seen.colour[inside]
    assert colour[:, 0].mean() > 3 * colour[:, 1].mean()
    rows, columns = np.nonzero(inside)
    brightness = colour[:, 0]
    upper_left = (rows < rows.mean()) & (columns < columns.mean())
    lower_right = (rows > rows.mean()) & (columns > columns.mean())
    assert brightness[upper_left].mean() > brightness[lower_right].mean() + 0.1


def test_png_with_ghost_of_the_body(tmp_path, two_organs, pair, read_png):
    scan, labels = pair
    render(tmp_path / "a.png", labels, two_organs, scan=scan, width_px=500, subtitle="x")
    render(tmp_path / "b.png", labels, two_organs, width_px=500, subtitle="x")
    with_body, without = read_png(tmp_path / "a.png"), read_png(tmp_path / "b.png")
    assert (with_body[..., 0] > with_body[..., 1] + 0.4).sum() > 100
    assert (with_body[..., 1] > with_body[..., 0] + 0.4).sum() > 100
    assert without.shape[1] == 500
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_oblique_and_flipped_volumes_show_the_same(two_organs):
    labels = balls((1, (45, 25, 25), 8), (2, (15, 25, 25), 8))
    flipped = replace(labels, array=labels.array[::-1, :, ::-1], affine=labels.affine.copy())
    flipped.affine[:3, :3] = np.diag([-1.0, 1.0, -1.0])
    first, _ = hits(labels, two_organs)
    second, _ = hits(flipped, two_organs)
    assert (first.label == second.label).mean() > 0.999


def test_nothing_to_render(tmp_path, two_organs, pair):
    _, labels = pair
    with pytest.raises(BadInput, match="none of the task"):
        render(tmp_path / "a.png", labels.with_array(0 * labels.array), two_organs)
