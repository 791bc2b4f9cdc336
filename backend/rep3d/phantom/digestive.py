"""Stomach, esophagus, duodenum, pancreas with its veins, gallbladder."""

from __future__ import annotations

import numpy as np

from rep3d.phantom.scene import LABELS, Scene, onto, paint_content
from rep3d.phantom.shapes import ellipsoid
from rep3d.phantom.tissue import TEXTURE


def paint_stomach(scene: Scene) -> None:
    """Fundus under the left dome, body, antrum and pylorus; a wall, content, and gas floating in front."""
    canvas, plan, name = scene.canvas, scene.plan, "stomach"
    s, size, full = plan.shift[name], plan.size[name], 0.72 + 0.42 * plan.free[name]
    points = np.array(
        [(-66, -22, 100, 26), (-72, -8, 84, 35), (-70, 12, 60, 33), (-58, 34, 34, 28), (-34, 47, 12, 23),
         (-4, 50, 4, 18), (20, 44, 12, 14), (33, 38, 20, 9)], dtype=float,
    )  # fmt: skip
    points[:6, :3] += s
    points[:6, 3] *= size * full
    region, distance = canvas.tube(points, step_mm=9, margin_mm=6)
    if region is None:
        return
    distance = scene.clip(region, distance + 1.5 * canvas.bump(region, 0), 2.5)
    scene.organ(region, distance, name, scene.hu["gut_wall"])
    lumen = distance + 4.0 + 1.2 * canvas.bump(region, 1)
    fed = plan.size["duodenum"] > 1.0
    content = scene.hu["gut_content"] + (TEXTURE["stool"] * 0.35 * scene.texture[region.box] if fed else 0.0)
    paint_content(canvas, region, lumen, content, s[1] + 26 + 18 * plan.free["esophagus"], LABELS[name])


def paint_esophagus(scene: Scene) -> None:
    """From behind the heart through the diaphragm to the stomach."""
    canvas, plan = scene.canvas, scene.plan
    s = plan.shift["esophagus"]
    r = 8.6 * plan.size["esophagus"]
    junction = np.array([-66, -22, 100]) + plan.shift["stomach"]
    points = np.array(
        [(2, -14, 300, r), (0, -13, 230, r), (-3, -9, 185, r), (-9, -1, 148, r), (-20, 6, 122, r),
         (-40, 2, 107, r + 1)], dtype=float,
    )  # fmt: skip
    points[:5, :2] += s[:2]
    end = junction * 0.45 + points[-1, :3] * 0.55
    points = np.vstack([points[:-1], [*end, r + 1]])
    part, distance = canvas.tube(points, step_mm=9)
    if part is None:
        return
    # Where the stomach has been painted, the stomach stays: the junction is its border.
    if "stomach" in scene.inside:
        other, surface = scene.inside["stomach"]
        distance = np.maximum(distance, -onto(part, other, surface))
    scene.organ(part, distance + 0.7 * canvas.bump(part, 1), "esophagus", scene.hu["gut_wall"] - 8)
    gas = np.clip(0.5 - (distance + 0.62 * r) / canvas.edge_mm, 0, 1) * np.clip(canvas.bump(part, 0) * 2 - 0.6, 0, 1)
    canvas.shade(part, gas, -800.0)


def paint_pancreas(scene: Scene) -> None:
    """Head in the curve of the duodenum, neck over the vessels, body and tail rising to the spleen; lobulated."""
    canvas, plan, name = scene.canvas, scene.plan, "pancreas"
    s, size = plan.shift[name], plan.size[name]
    tail = -72 - 14 * plan.free[name]
    points = np.array(
        [(24, 12, -18, 8), (30, 17, -6, 14), (27, 22, 10, 13), (10, 28, 22, 9), (-14, 27, 30, 10.5),
         (-42, 14, 40, 10.5), (tail + 14, -4, 52, 10), (tail, -14, 60, 8)], dtype=float,
    )  # fmt: skip
    points[:, 3] *= size * (1.0 + 0.2 * plan.free["liver"])
    points[2:, :3] += s * np.linspace(0.2, 1, 6)[:, None]
    region, distance = canvas.tube(points, step_mm=7)
    if region is None:
        return
    lobes = 1.3 * np.sin(region.x / 3.1 + region.z / 4.3) + 1.8 * canvas.bump(region, 0)
    distance = scene.clip(region, distance + lobes.astype(np.float32), 3.0)
    scene.organ(region, distance, name, scene.fill(region, name))
    duct = points.copy()
    duct[:, 3] = 1.3
    part, inner = canvas.tube(duct[1:], step_mm=9)
    if part is not None and part.box == region.box:
        canvas.shade(part, np.clip(0.5 - inner / canvas.edge_mm, 0, 1) * 0.6, scene.hu["duct"])
    # Splenic vein along the back of it to the portal confluence, superior mesenteric vein from below.
    vein = points[3:, :].copy()
    vein[:, 1] -= 9
    vein[:, 3] = 4.4
    mesenteric = np.array([(14, 34, -88, 4.0), (14, 30, -40, 5.0), (14, 24, 4, 6.0), (*vein[0, :2], vein[0, 2], 6.5)])
    portal = np.array([(*vein[0, :3], 6.5), (26, 15, 40, 7.2), (40, 10, 60, 7.0)])
    for tube in (vein, mesenteric, portal):
        part, distance = canvas.tube(tube, step_mm=10)
        if part is not None:
            canvas.paint(part, distance, scene.hu["portal_vein"])


def paint_duodenum(scene: Scene) -> None:
    """The C: bulb after the pylorus, down beside the pancreatic head, across before the great vessels, up again."""
    canvas, plan, name = scene.canvas, scene.plan, "duodenum"
    s, r = plan.shift[name], 10.8 * plan.size[name] * (0.9 + 0.25 * plan.free[name])
    points = np.array(
        [(34, 37, 21, 9), (45, 30, 27, 11), (53, 18, 16, 11), (55, 9, -10, 11), (51, 6, -34, 11), (34, 7, -47, 11),
         (8, 13, -48, 10.5), (-18, 14, -40, 10), (-30, 18, -18, 9.5)], dtype=float,
    )  # fmt: skip
    points[:, 3] *= r / 10.8
    points[1:, :3] += np.clip(s, -7, 7) * np.linspace(0.2, 1, 8)[:, None]
    region, distance = canvas.tube(points, step_mm=7, haustra=(0.07, 17.0))
    if region is None:
        return
    distance = scene.clip(region, distance + 1.0 * canvas.bump(region, 1), 3.0)
    scene.organ(region, distance, name, scene.hu["gut_wall"])
    lumen = distance + 3.2 + 1.6 * canvas.bump(region, 0)
    content = scene.hu["gut_content"] + 10 * scene.texture[region.box]
    paint_content(canvas, region, lumen, content, 24 + 30 * plan.free["pancreas"], LABELS[name])


def paint_gallbladder(scene: Scene) -> None:
    """A pear in its bed on the liver's underside, pointing to the front and down."""
    canvas, plan, name = scene.canvas, scene.plan, "gallbladder"
    s, r = plan.shift[name], plan.size[name] * (0.78 + 0.42 * plan.free[name])
    neck = np.array([44.0, 20.0, 46.0])
    points = np.array([(*neck, 3.5), (52, 34, 37, 9 * r), (60, 48, 26, 14.5 * r), (65, 56, 17, 14 * r)], dtype=float)
    points[:, :3] += np.clip(s, -7, 7)
    region, distance = canvas.tube(points, step_mm=6)
    if region is None:
        return
    distance = scene.clip(region, distance, 3.0)
    scene.organ(region, distance, name, scene.hu["gut_wall"] * 0.6)
    canvas.shade(region, np.clip(0.5 - (distance + 1.2) / canvas.edge_mm, 0, 1), scene.hu["gallbladder"])
    if plan.free["right-kidney"] > 0.85:  # a stone at the lowest (hindmost) place
        c = points[2, :3] + (0, -7 * r, -2)
        stone = ellipsoid(region.x, region.y, region.z, c, (4.5, 3.5, 4.5))
        canvas.shade(region, np.clip(0.5 - np.maximum(stone, distance + 1) / canvas.edge_mm, 0, 1), 210.0)
