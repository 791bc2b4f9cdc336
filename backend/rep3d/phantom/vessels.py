"""Aorta and inferior vena cava, labelled; iliac, renal and visceral vessels, not labelled."""

from __future__ import annotations

import numpy as np

from rep3d.phantom.body import spine_front
from rep3d.phantom.scene import KIDNEYS, Scene


def paint_great_vessels(scene: Scene) -> None:
    """Aorta to its bifurcation, inferior vena cava to the heart; iliac vessels without a label."""
    canvas, plan, hu = scene.canvas, scene.plan, scene.hu
    wander = plan.shift["aorta"]
    radius = 10.5 * plan.size["aorta"] * (0.9 + 0.35 * plan.free["aorta"] ** 2)
    heights = np.array([300, 230, 190, 150, 110, 70, 35, 0, -35, -62, -80.0])
    front = np.array([-38 + spine_front(z) + 18 + 9.5 for z in heights])
    side = np.interp(heights, [-80, 0, 110, 300], [-3, -8, -7, -20])
    widths = np.interp(heights, [-80, 110], [0.84, 1.1]) * radius
    aorta = np.stack([side + wander[0], front + 0.3 * wander[1], heights, widths], 1)  # rows of x, y, z, radius
    fork = aorta[-1]
    cava_radius = 9.6 * plan.size["inferior-vena-cava"] * (0.85 + 0.35 * plan.free["inferior-vena-cava"])
    cava_z = np.array([-92, -60, -25, 10, 45, 80, 112, 140, 165.0])
    before_spine = np.array([0, 0, 0, 1, 4, 8, 14, 20, 24])
    cava_y = np.array([-38 + spine_front(z) + 24 for z in cava_z]) + before_spine
    cava_x = np.interp(cava_z, [-92, 0, 80, 165], [14, 19, 24, 14]) + plan.shift["inferior-vena-cava"][0]
    cava = np.stack([cava_x, cava_y, cava_z, np.interp(cava_z, [-92, 100], [0.9, 1.15]) * cava_radius], 1)
    for s in (-1, 1):  # iliac arteries and veins, unlabelled; first, so that the trunks end over them
        artery = [(s * 22, fork[1] + 2, -104), (s * 48, -14, -140), (s * 66, 18, -185), (s * 74, 42, -235)]
        vein = [(s * 25, cava[0, 1] - 4, -116), (s * 44, -26, -146), (s * 58, 10, -190), (s * 64, 38, -235)]
        paths = [("aorta", [fork[:3], *artery], 5.6), ("vena_cava", [cava[0, :3], *vein], 6.4)]
        for tissue, points, r in paths:
            part, distance = canvas.tube(np.array([(*p, r) for p in points], dtype=float), step_mm=12)
            if part is not None:
                canvas.paint(part, distance, hu[tissue])
    _renal_and_visceral(scene, aorta, cava)
    part, distance = canvas.tube(cava, step_mm=10)
    if part is not None:
        scene.organ(part, distance + 0.8 * canvas.bump(part, 0), "inferior-vena-cava", hu["vena_cava"])
    part, distance = canvas.tube(aorta, step_mm=12)
    if part is not None:
        scene.organ(part, distance, "aorta", hu["aorta"])
        plaque = np.maximum(np.abs(distance + 0.8) - 1.2, 10 - 9 * canvas.bump(part, 1))
        if plan.free["spleen"] > 0.5:  # calcified plaques in the wall
            canvas.shade(part, np.clip(0.5 - plaque / canvas.edge_mm, 0, 1) * 0.8, 650.0)


def _renal_and_visceral(scene: Scene, aorta: np.ndarray, cava: np.ndarray) -> None:
    canvas, plan, hu = scene.canvas, scene.plan, scene.hu

    def at(trunk: np.ndarray, z: float) -> np.ndarray:
        order = np.argsort(trunk[:, 2])
        return np.array([np.interp(z, trunk[order, 2], trunk[order, k]) for k in range(3)])

    for side, name, c in KIDNEYS:
        hilum = np.array(c) + plan.shift[name] + (-side * 22, 9, 0)
        z = float(np.clip(hilum[2] + 6, -20, 40))
        for tissue, trunk, r, lift in (("aorta", aorta, 2.8, 0.0), ("vena_cava", cava, 4.6, 7.0)):
            start = at(trunk, z)
            middle = (start + hilum) / 2 + (0, 3 + lift, 2)
            if side < 0 and tissue == "vena_cava":  # the left renal vein crosses in front of the aorta
                middle = at(aorta, z) + np.array([-14, 14, 0])
            curve = np.array([(*p, r) for p in (start, middle, hilum)], dtype=float)
            part, distance = canvas.tube(curve, step_mm=10)
            if part is not None:
                canvas.paint(part, distance, hu[tissue])
    root = at(aorta, 22) + np.array([0, 9, 0])
    celiac = (root[0] + 2, root[1] + 10, 46)
    tubes = [
        [(root[0], root[1], 22, 3.8), (root[0] + 2, 24, 2, 3.8), (4, 26, -40, 3.4), (14, 30, -85, 2.2)],  # mesenteric
        [(*at(aorta, 42), 3.6), (*celiac, 3.6), (26, 18, 50, 2.6)],  # celiac trunk and hepatic artery
        [(*celiac, 2.6), (-18, 20, 52, 2.4), (-40, 0, 56, 2.4), (-84, -22, 66, 2.4)],  # splenic artery
    ]
    for points in tubes:
        part, distance = canvas.tube(np.array(points, dtype=float), step_mm=10)
        if part is not None:
            canvas.paint(part, distance, hu["aorta"])
