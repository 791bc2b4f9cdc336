"""Spleen, liver, kidneys and adrenals."""

from __future__ import annotations

import numpy as np

from rep3d.phantom.scene import KIDNEYS, Scene, onto
from rep3d.phantom.shapes import ellipsoid, rotation, smooth_max, smooth_min


def paint_spleen(scene: Scene) -> None:
    """A crescent against the left posterior chest wall, hollowed by stomach and kidney."""
    canvas, plan, name = scene.canvas, scene.plan, "spleen"
    region = canvas.region((-150, -100, 5), (-55, 45, 155))
    if region is None:
        return
    c = np.array([-104.0, -38.0, 72.0]) + plan.shift[name]
    size = plan.size[name] * (0.94 + 0.34 * plan.free[name])
    turn = rotation(18 + plan.tilt[name][0], 12, -22 + plan.tilt[name][2])
    distance = ellipsoid(region.x, region.y, region.z, c, np.array([36, 50, 57]) * size, turn)
    hollow = ellipsoid(region.x, region.y, region.z, c + np.array([38, 14, -4]), np.array([28, 46, 62]) * size, turn)
    distance = smooth_max(distance, -hollow, 6.0)
    distance = scene.clip(region, distance + 1.6 * canvas.bump(region, 1), 2.5)
    fill = scene.fill(region, name)
    if scene.hu["aorta"] > 220:  # arterial phase: the spleen enhances in stripes
        fill = fill + 28 * np.sin(region.x / 7 + 2.2 * canvas.bump(region, 0)) * np.sin(region.z / 8)
    scene.organ(region, distance, name, fill)


def paint_liver(scene: Scene) -> None:
    """A wedge that fills the right dome and tapers to the left, its underside rising from right to left."""
    canvas, plan, name = scene.canvas, scene.plan, "liver"
    region = canvas.region((-110, -100, -65), (160, 110, 175))
    if region is None:
        return
    s, size = plan.shift[name], plan.size[name]
    x, y, z = region.x, region.y, region.z
    right = ellipsoid(x, y, z, np.array([66, -2, 72]) + s, np.array([84, 88, 92]) * size)
    reach = 0.8 + 0.4 * plan.free[name]
    turn = rotation(0, 14 + plan.tilt[name][1], -6)
    left = ellipsoid(x, y, z, np.array([-12, 46, 96]) + s, np.array([72 * reach, 42, 34]) * size, turn)
    distance = smooth_min(right, left, 18.0)
    # Underside: low at the right side wall, rising to the left and towards the hilum.
    tip = -22 + s[2] + 26 * (plan.free["gallbladder"] - 0.5)
    floor = tip + 0.62 * np.maximum(96 - x, 0) + 0.10 * y
    floor = floor + 26 * np.exp(-(((x - 34) / 34) ** 2) - ((y - 6) / 30) ** 2)
    distance = smooth_max(distance, (floor - z) * np.float32(0.8), 9.0)
    # The fissure of the falciform ligament in front.
    fissure = np.maximum(np.abs(x - 8 - s[0]) - 1.5, 52 - y)
    fissure = np.maximum(fissure, z - 92)
    distance = smooth_max(distance, -fissure, 3.0)
    # Room for the right kidney and the adrenal behind and to the middle.
    fossa = ellipsoid(x, y, z, np.array([52, -58, 10]) + plan.shift["right-kidney"], (52, 50, 70), rotation(-10, 0, 0))
    distance = smooth_max(distance, -fossa, 7.0)
    # Nor does it reach around the spine and the great vessels.
    spine = np.sqrt((x + 8) ** 2 + (y + 30) ** 2) - 38
    distance = smooth_max(distance, -spine, 6.0)
    distance = scene.clip(region, distance + 2.2 * canvas.bump(region, 0), 2.0)
    scene.organ(region, distance, name, scene.fill(region, name))


def paint_kidneys(scene: Scene) -> None:
    """Both kidneys: cortex, medullary pyramids, a sinus of fat that is not part of the label, and fat around."""
    for side, name, c in KIDNEYS:
        _kidney(scene, side, name, np.array(c))


def _kidney(scene: Scene, side: int, name: str, c: np.ndarray) -> None:
    canvas, plan = scene.canvas, scene.plan
    c = c + plan.shift[name]
    half = np.array([42, 42, 76])
    region = canvas.region(c - half, c + half)
    if region is None:
        return
    size = plan.size[name]
    # The upper pole leans to the middle and to the back; the hilum looks to the front and middle.
    turn = rotation(-12 + plan.tilt[name][0] * 0.6, side * (-13 + plan.tilt[name][1] * 0.6), side * 28)
    x, y, z = region.x, region.y, region.z
    radii = np.array([24.5, 27.0, 54.5]) * size
    distance = ellipsoid(x, y, z, c, radii, turn)
    inward = turn @ np.array([-side * 1.0, 0.0, 0.0])
    notch = ellipsoid(x, y, z, c + inward * 27 * size, np.array([13.0, 13.0, 20.0]) * size, turn)
    distance = smooth_max(distance, -notch, 5.0)
    distance = scene.clip(region, distance + 1.0 * canvas.bump(region, 1), 1.5)
    canvas.paint(region, distance - 4.5, scene.hu["fat"])
    # Pyramids: alternating lobes of medulla inside a cortex of about 7 mm.
    angle = np.arctan2(y - np.float32(c[1]), (x - np.float32(c[0])) * side)
    lobes = np.sin(3 * angle) * 0.5 + np.cos((z - np.float32(c[2])) / 7.5) * 0.9
    deep = np.clip(-(distance + 7) / 2.5, 0, 1) * np.clip(lobes * 1.3 + 0.65, 0, 1)
    fill = scene.hu["cortex"] + deep * (scene.hu["medulla"] - scene.hu["cortex"])
    scene.organ(region, distance, name, fill)
    sinus = ellipsoid(x, y, z, c + inward * 11 * size, np.array([13.0, 9.0, 25.0]) * size, turn)
    canvas.paint(region, smooth_max(sinus, distance + 4.0, 2.0), scene.hu["fat"] + 25)
    pelvis = ellipsoid(x, y, z, c + inward * 14 * size, np.array([10.0, 4.5, 9.0]) * size, turn)
    canvas.paint(region, pelvis, scene.hu["urine"] + 6)


def paint_adrenals(scene: Scene) -> None:
    """Thin Y- and lambda-shaped plates at the kidneys' upper poles: a body and two limbs, as flat capsules."""
    limbs_of = {
        # name: base point, then the limbs' ends in the axial plane relative to it
        "right-adrenal": (np.array([32.0, -22.0, 60.0]), [(-2.0, 9.0), (5.0, -19.0), (14.0, -15.0)]),
        "left-adrenal": (np.array([-34.0, -15.0, 61.0]), [(1.0, 10.0), (5.0, -17.0), (-13.0, -15.0)]),
    }
    for name, (base, limbs) in limbs_of.items():
        side = "right-kidney" if name.startswith("right") else "left-kidney"
        c = base + 0.5 * scene.plan.shift[name] + 0.9 * scene.plan.shift[side]
        region = scene.canvas.region(c - np.array([24, 30, 24]), c + np.array([24, 22, 24]))
        if region is None:
            continue
        size = scene.plan.size[name]
        x, y, z = (region.x - np.float32(c[0])), (region.y - np.float32(c[1])), (region.z - np.float32(c[2]))
        # Slanted with height, thinner and shorter towards the ends.
        x = x + 0.18 * z * (1 if "right" in name else -1)
        taper = np.clip(1 - (z / (16 * size)) ** 2, 0, 1)
        distance = np.full(x.shape, np.float32(1e3))
        for ex, ey in limbs:
            e = np.array([ex, ey]) * size
            t = np.clip((x * e[0] + y * e[1]) / np.float32(e @ e), 0, 1)
            flat = np.sqrt((x - t * e[0]) ** 2 + (y - t * e[1]) ** 2) - np.float32(2.3 * size) * np.sqrt(taper)
            distance = np.minimum(distance, flat)
        distance = np.maximum(distance, np.abs(z) - np.float32(15 * size)).astype(np.float32)
        if side in scene.inside:  # in front of the kidney, never in it
            distance = np.maximum(distance, 1.5 - onto(region, *scene.inside[side]))
        halo = distance - 2.5
        if side in scene.inside:
            halo = np.maximum(halo, 0.5 - onto(region, *scene.inside[side]))
        scene.canvas.paint(region, halo, scene.hu["fat"])
        scene.organ(region, distance, name, scene.hu["adrenal"])
