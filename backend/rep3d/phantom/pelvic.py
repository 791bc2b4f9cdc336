"""Bladder, and prostate or uterus."""

from __future__ import annotations

import numpy as np

from rep3d.phantom.scene import Scene
from rep3d.phantom.shapes import ellipsoid, rotation, smooth_max, smooth_min


def paint_pelvic_organs(scene: Scene) -> None:
    """Bladder with wall and urine; below it the prostate, or behind and above it the uterus."""
    canvas, plan, hu = scene.canvas, scene.plan, scene.hu
    c = np.array([0.0, 30.0, -196.0]) + plan.shift["bladder"] * (0.8, 0.6, 0.6)
    full = 0.78 + 0.42 * plan.free["bladder"]
    name = "prostate-uterus"
    region = canvas.region((-60, -60, -262), (60, 85, -110))
    if region is None:
        return
    x, y, z = region.x, region.y, region.z
    size = plan.size[name]
    if plan.female:
        body = np.array([4.0, 2.0 + 6 * plan.free[name], -172.0]) + plan.shift[name] * (1.2, 0.5, 0.8)
        cervix = np.array([0.0, -12.0, -212.0])
        uterus = ellipsoid(x, y, z, body, np.array([27, 21, 32]) * size, rotation(-38 + 2 * plan.tilt[name][0], 0, 0))
        neck = ellipsoid(x, y, z, cervix, np.array([14, 12, 20]) * size, rotation(-12, 0, 0))
        uterus = smooth_min(uterus, neck, 14.0) + 1.0 * canvas.bump(region, 1)
        cavity = ellipsoid(x, y, z, body, np.array([9, 2.5, 15]), rotation(-38 + 2 * plan.tilt[name][0], 0, 0))
    # The bladder is wider than high and flat on top when not full.
    radii = np.array([41, 33, 33 * (0.75 + 0.25 * full)]) * full * plan.size["bladder"]
    c[2] += radii[2] - 28  # it fills upwards: its neck stays
    bladder = ellipsoid(x, y, z, c, radii) + 1.0 * canvas.bump(region, 0)
    if plan.female:
        bladder = smooth_max(bladder, -uterus + 1.5, 4.0)
        scene.organ(region, uterus, name, hu["uterus"] + 5 * scene.texture[region.box])
        canvas.shade(region, np.clip(0.5 - cavity / canvas.edge_mm, 0, 1), hu["uterus"] - 45)
    else:
        grown = 0.88 + 0.5 * plan.free[name] ** 2
        p = np.array([0.0, 18.0, c[2] - radii[2] - 12 * grown * size])
        prostate = ellipsoid(x, y, z, p, np.array([23, 17, 17]) * size * grown) + 0.6 * canvas.bump(region, 1)
        for s in (-1, 1):  # seminal vesicles, unlabelled
            part, distance = canvas.tube(
                np.array([(s * 5, p[1] - 14, p[2] + 18, 4.5), (s * 26, p[1] - 22, p[2] + 27, 5.5)]), step_mm=10
            )
            if part is not None:
                canvas.paint(part, distance, hu["prostate"] - 20)
        scene.organ(region, prostate, name, hu["prostate"] + 6 * scene.texture[region.box])
        bladder = np.maximum(bladder, -prostate)
    scene.organ(region, bladder, "bladder", hu["bladder_wall"])
    wall = 2.6 + 2.0 * (1.2 - full)
    canvas.shade(region, np.clip(0.5 - (bladder + wall) / canvas.edge_mm, 0, 1), hu["urine"])
