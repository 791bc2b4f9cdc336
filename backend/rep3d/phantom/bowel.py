"""Unlabelled neighbours of the organs: colon, small bowel, mesentery; and what is inside organs: vessels, lesions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rep3d.phantom.canvas import Region
from rep3d.phantom.scene import LABELS, Scene, paint_content
from rep3d.phantom.shapes import ellipsoid
from rep3d.phantom.tissue import TEXTURE

_COLON = np.array(
    [(92, 22, -138, 20), (97, 10, -112, 24), (100, 2, -70, 22), (99, 2, -28, 21), (90, 18, -8, 20), (66, 48, -22, 18),
     (34, 62, -40, 18), (0, 66, -48, 18), (-36, 62, -36, 17), (-74, 44, -4, 17), (-102, 8, 24, 18), (-108, -20, 14, 17),
     (-108, -26, -30, 16), (-106, -18, -80, 15), (-94, 0, -120, 14), (-66, 14, -142, 14), (-36, 2, -134, 14),
     (-14, -22, -148, 15), (-4, -40, -175, 17), (0, -38, -210, 18), (0, -34, -244, 13)], dtype=float,
)  # fmt: skip


def paint_colon(scene: Scene, rng: np.random.Generator) -> None:
    """The frame of the large bowel, with haustra, stool and gas."""
    points = _COLON.copy()
    points[:, :3] += np.clip(rng.normal(0, 1, (len(points), 3)), -2, 2) * (4, 6, 7)
    points[:-3, 3] *= rng.uniform(0.75, 1.2, len(points) - 3)
    level = float(rng.uniform(25, 60))
    canvas = scene.canvas
    region, distance = canvas.tube(points, step_mm=9, haustra=(0.13, 26.0))
    if region is None:
        return
    distance = scene.clip(region, distance + 1.2 * canvas.bump(region, 0), 2.0)
    canvas.paint(region, distance, scene.hu["gut_wall"] - 5)
    stool = scene.hu["stool"] + TEXTURE["stool"] * np.minimum(scene.texture[region.box], 1.0)
    # Each stretch of bowel has its own level of gas: the front of a wide loop, or pockets.
    pockets = level - 14 * canvas.bump(region, 1)
    if level < 26:  # blown up with air
        paint_content(canvas, region, distance + 2.4, stool, 0.0, 0)
    else:
        _paint_pockets(scene, region, distance + 2.4, stool, pockets)


def _paint_pockets(scene: Scene, region: Region, lumen: np.ndarray, content: np.ndarray, level: np.ndarray) -> None:
    """Content with gas above a level that changes from place to place."""
    canvas = scene.canvas
    occupancy = np.clip(0.5 - lumen / canvas.edge_mm, 0, 1)
    gas = np.clip(0.5 + (canvas.grid.coordinate(1, region.box) - level) / (2 * canvas.edge_mm), 0, 1)
    canvas.blend(region, occupancy, content * (1 - gas) - 930.0 * gas, 0)


def paint_small_bowel(scene: Scene, rng: np.random.Generator) -> None:
    """A long winding tube through the middle and lower abdomen, in loops that hang side by side."""
    # Points that keep their distance from one another, out of many candidates; then joined to a path.
    loops: list[np.ndarray] = []
    for p in rng.uniform((-90, 0, -182), (84, 76, -20), (420, 3)):
        if not loops or np.min(np.sum((np.array(loops) - p) ** 2, axis=1)) > 21.5**2:
            loops.append(p)
    path, rest = [loops[0]], loops[1:]
    while rest:
        nearest = int(np.argmin([np.linalg.norm(q - path[-1]) for q in rest]))
        path.append(rest.pop(nearest))
    widths = rng.uniform(9.5, 14.5, len(path))
    gas_level = float(rng.uniform(48, 80))
    canvas = scene.canvas
    cut = np.linspace(0, len(path) - 1, 7).astype(int)
    for a, b in pairwise(cut):  # in stretches, so that each is evaluated in a smaller box
        points = np.column_stack([np.array(path[a : b + 1]), widths[a : b + 1]])
        region, distance = canvas.tube(points, step_mm=10, haustra=(0.06, 14.0))
        if region is None:
            continue
        distance = scene.clip(region, distance, 2.0)
        canvas.paint(region, distance, scene.hu["gut_wall"] + 5)
        content = scene.hu["gut_content"] + 16 * scene.texture[region.box]
        paint_content(canvas, region, distance + 2.4 + canvas.bump(region, 1), content, gas_level, 0)


def paint_mesentery(scene: Scene, rng: np.random.Generator) -> None:
    """Small vessels fanning out from the root of the mesentery."""
    for _ in range(10):
        end = rng.uniform((-70, 20, -150), (70, 60, -30))
        root = np.array([8, 27, -20]) + rng.normal(0, 4, 3)
        bend = (root + end) / 2 + rng.normal(0, 8, 3)
        points = np.array([(*root, 2.6), (*bend, 2.0), (*end, 1.3)])
        region, distance = scene.canvas.tube(points, step_mm=16)
        if region is not None:
            scene.canvas.paint(region, distance, scene.hu["portal_vein"] - 10)


def paint_liver_vessels(scene: Scene, rng: np.random.Generator) -> None:
    """Portal and hepatic veins inside the liver: part of its label, as in AMOS."""
    branches = []
    hilum = np.array([40.0, 10.0, 62.0])
    for end in ((86, 16, 62), (84, -30, 70), (72, 30, 96), (12, 34, 80), (-24, 46, 92), (98, -4, 34)):
        tip = np.array(end, dtype=float) + rng.normal(0, 7, 3)
        bend = (hilum + tip) / 2 + rng.normal(0, 6, 3)
        branches.append(("portal_vein", [(*hilum, 5.6), (*bend, 4.2), (*tip, 2.0)]))
    cava = np.array([22.0, 2.0, 122.0])
    for end in ((92, 0, 88), (56, 42, 92), (-8, 44, 104), (80, -44, 92)):
        tip = np.array(end, dtype=float) + rng.normal(0, 7, 3)
        bend = (cava + tip) / 2 + rng.normal(0, 6, 3) + (0, 0, 6)
        branches.append(("hepatic_vein", [(*cava, 5.2), (*bend, 4.2), (*tip, 2.0)]))
    canvas = scene.canvas
    for tissue, points in branches:
        region, distance = canvas.tube(np.array(points), step_mm=11)
        if region is None:
            continue
        # Only inside the liver, by what its label holds.
        inside = canvas.label[region.box] == LABELS["liver"]
        canvas.shade(region, np.clip(0.5 - distance / canvas.edge_mm, 0, 1) * inside, scene.hu[tissue])


def paint_lesions(scene: Scene, rng: np.random.Generator) -> None:
    """Sometimes cysts and tumours, inside the organ's label: liver, kidneys, spleen."""
    plans = (
        ("liver", 0.4, 5, (70, 0, 72), (38, 40, 40), (5, 17)),
        ("right-kidney", 0.28, 2, (70, -42, 8), (14, 12, 34), (5, 14)),
        ("left-kidney", 0.28, 2, (-70, -42, 20), (14, 12, 34), (5, 14)),
        ("spleen", 0.08, 2, (-106, -38, 72), (10, 18, 22), (4, 10)),
    )
    canvas = scene.canvas
    for organ, chance, most, centre, spread, sizes in plans:
        present, count = rng.random() < chance, int(rng.integers(1, most + 1))
        for _ in range(most):
            c = np.array(centre, dtype=float) + rng.uniform(-1, 1, 3) * spread
            radii = rng.uniform(*sizes) * rng.uniform(0.8, 1.2, 3)
            cyst, offset = rng.random() < 0.5, float(rng.normal(-38, 18))
            if not present or count <= 0:
                continue
            count -= 1
            region = canvas.region(c - radii, c + radii)
            if region is None:
                continue
            distance = ellipsoid(region.x, region.y, region.z, c, radii) + 1.2 * canvas.bump(region, 0)
            soft = np.clip(0.5 - distance / (canvas.edge_mm + (0 if cyst else 3)), 0, 1)
            inside = canvas.label[region.box] == LABELS[organ]
            value = 8.0 if cyst else np.maximum(canvas.hu[region.box] + offset, 15)
            canvas.shade(region, soft * inside, value)
