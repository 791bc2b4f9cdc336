"""The fifteen labelled organs, each an implicit shape in the template, varied in place, size and form by the seed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rep3d.phantom.body import Cavity, spine_front
from rep3d.phantom.canvas import Canvas, Region
from rep3d.phantom.shapes import ellipsoid, rotation, smooth_max, smooth_min
from rep3d.phantom.tissue import TEXTURE

#: Label values: AMOS's own order.
LABELS = {
    "spleen": 1, "right-kidney": 2, "left-kidney": 3, "gallbladder": 4, "esophagus": 5, "liver": 6, "stomach": 7,
    "aorta": 8, "inferior-vena-cava": 9, "pancreas": 10, "right-adrenal": 11, "left-adrenal": 12, "duodenum": 13,
    "bladder": 14, "prostate-uterus": 15,
}  # fmt: skip


@dataclass
class Plan:
    """Everything about the organs that the seed decides; drawn in full before anything is painted.

    So the same patient comes out whatever part of the body the scan shows.
    """

    female: bool
    shift: dict[str, np.ndarray] = field(default_factory=dict)
    size: dict[str, float] = field(default_factory=dict)
    tilt: dict[str, np.ndarray] = field(default_factory=dict)
    free: dict[str, float] = field(default_factory=dict)  # one uniform number in 0..1 an organ, for its own use

    @classmethod
    def draw(cls, rng: np.random.Generator, female: bool) -> Plan:
        """A random plan."""
        plan = cls(female)
        for name in LABELS:
            plan.shift[name] = np.clip(rng.normal(0, 1, 3), -2, 2) * (4.0, 3.0, 6.0)
            plan.size[name] = float(np.clip(rng.normal(1, 0.07), 0.85, 1.16))
            plan.tilt[name] = np.clip(rng.normal(0, 1, 3), -2, 2) * 6.0
            plan.free[name] = float(rng.random())
        for name in ("aorta", "inferior-vena-cava", "esophagus"):
            plan.shift[name] = plan.shift[name] * 0.4
        for name in ("right-adrenal", "left-adrenal"):
            plan.shift[name] = plan.shift[name] * 0.5
        return plan


@dataclass
class Scene:
    """What every organ's painter needs."""

    canvas: Canvas
    cavity: Cavity
    plan: Plan
    hu: dict[str, float]
    texture: np.ndarray
    #: Distance to each painted organ on its region, for lesions and vessels inside it.
    inside: dict[str, tuple[Region, np.ndarray]] = field(default_factory=dict)

    def fill(self, region: Region, name: str) -> np.ndarray | float:
        """HU of a tissue with its texture."""
        amount = TEXTURE.get(name, 0.0)
        return self.hu[name] + amount * self.texture[region.box] if amount else self.hu[name]

    def clip(self, region: Region, distance: np.ndarray, gap: float, blend: float = 5.0) -> np.ndarray:
        """Keep an organ inside the abdominal wall and below the diaphragm, with a gap in mm."""
        box = region.box
        limit = np.maximum(self.cavity.inner[box], self.cavity.dome[box]) + np.float32(gap)
        return smooth_max(distance, limit, blend)

    def organ(self, region: Region, distance: np.ndarray, name: str, hu) -> None:
        """Paint a labelled organ and remember its surface."""
        self.canvas.paint(region, distance, hu, LABELS[name])
        self.inside[name] = (region, distance)


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


def paint_content(canvas: Canvas, region: Region, lumen: np.ndarray, content, level_mm: float, label: int) -> None:
    """Fill a lumen with content and, above a horizontal level (the patient lies on the back), with gas."""
    occupancy = np.clip(np.float32(0.5) - lumen / canvas.edge_mm, 0, 1)
    level = np.float32(level_mm * canvas.patient.scale[1])
    gas = np.clip(np.float32(0.5) + (canvas.grid.coordinate(1, region.box) - level) / canvas.edge_mm, 0, 1)
    mixed = content * (1 - gas) + np.float32(-930.0) * gas
    if label:
        canvas.shade(region, occupancy, mixed)
    else:
        canvas.blend(region, occupancy, mixed, 0)


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
    hollow = ellipsoid(region.x, region.y, region.z, c + (38, 14, -4), np.array([28, 46, 62]) * size, turn)
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
    for side, name, c in ((1, "right-kidney", (64.0, -38.0, 8.0)), (-1, "left-kidney", (-64.0, -38.0, 20.0))):
        _kidney(scene, side, name, np.array(c))


def _kidney(scene: Scene, side: int, name: str, c: np.ndarray) -> None:
    canvas, plan = scene.canvas, scene.plan
    c = c + plan.shift[name]
    region = canvas.region(c - (42, 42, 76), c + (42, 42, 76))
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


def paint_great_vessels(scene: Scene) -> None:
    """Aorta to its bifurcation, inferior vena cava to the heart, esophagus; iliac vessels without a label."""
    canvas, plan, hu = scene.canvas, scene.plan, scene.hu
    wander = plan.shift["aorta"]
    radius = 10.5 * plan.size["aorta"] * (0.9 + 0.35 * plan.free["aorta"] ** 2)
    heights = np.array([300, 230, 190, 150, 110, 70, 35, 0, -35, -62, -80.0])
    front = np.array([-38 + spine_front(z) + 18 + 9.5 for z in heights])
    side = np.interp(heights, [-80, 0, 110, 300], [-3, -8, -7, -20])
    aorta = np.stack(
        [side + wander[0], front + 0.3 * wander[1], heights, np.interp(heights, [-80, 110], [0.84, 1.1]) * radius], 1
    )
    fork = aorta[-1]
    cava_radius = 9.6 * plan.size["inferior-vena-cava"] * (0.85 + 0.35 * plan.free["inferior-vena-cava"])
    cava_z = np.array([-92, -60, -25, 10, 45, 80, 112, 140, 165.0])
    cava_y = np.array([-38 + spine_front(z) + 24 for z in cava_z]) + [0, 0, 0, 1, 4, 8, 14, 20, 24]
    cava_x = np.interp(cava_z, [-92, 0, 80, 165], [14, 19, 24, 14]) + plan.shift["inferior-vena-cava"][0]
    cava = np.stack([cava_x, cava_y, cava_z, np.interp(cava_z, [-92, 100], [0.9, 1.15]) * cava_radius], 1)
    for s in (-1, 1):  # iliac arteries and veins, unlabelled; first, so that the trunks end over them
        paths = [
            ("aorta", [fork[:3], (s * 22, fork[1] + 2, -104), (s * 48, -14, -140), (s * 66, 18, -185), (s * 74, 42, -235)], 5.6),
            ("vena_cava", [cava[0, :3], (s * 25, cava[0, 1] - 4, -116), (s * 44, -26, -146), (s * 58, 10, -190), (s * 64, 38, -235)], 6.4),
        ]  # fmt: skip
        for tissue, points, r in paths:
            part, distance = canvas.tube(np.array([(*p, r) for p in points], dtype=float), step_mm=12)
            if part is not None:
                canvas.paint(part, distance, hu[tissue])
    _renal_and_visceral(scene, aorta, cava)
    part, distance = canvas.tube(cava, step_mm=10)
    if part is not None:
        # Flatter from front to back than a tube, more so in a patient who is short of fluid.
        scene.organ(part, distance + 0.8 * canvas.bump(part, 0), "inferior-vena-cava", hu["vena_cava"])
    part, distance = canvas.tube(aorta, step_mm=12)
    if part is not None:
        scene.organ(part, distance, "aorta", hu["aorta"])
        plaque = np.maximum(np.abs(distance + 0.8) - 1.2, 10 - 9 * canvas.bump(part, 1))
        if plan.free["spleen"] > 0.5:  # calcified plaques in the wall
            canvas.shade(part, np.clip(0.5 - plaque / canvas.edge_mm, 0, 1) * 0.8, 650.0)
    _esophagus(scene)


def _esophagus(scene: Scene) -> None:
    canvas, plan = scene.canvas, scene.plan
    s = plan.shift["esophagus"]
    r = 8.6 * plan.size["esophagus"]
    junction = np.array([-66, -22, 100]) + plan.shift["stomach"]
    points = np.array(
        [(2, -14, 300, r), (0, -13, 230, r), (-3, -9, 185, r), (-9, -1, 148, r), (-20, 6, 122, r), (-40, 2, 107, r + 1)],
        dtype=float,
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
        distance = np.maximum(distance, -_onto(part, other, surface))
    scene.organ(part, distance + 0.7 * canvas.bump(part, 1), "esophagus", scene.hu["gut_wall"] - 8)
    gas = np.clip(0.5 - (distance + 0.62 * r) / canvas.edge_mm, 0, 1) * np.clip(canvas.bump(part, 0) * 2 - 0.6, 0, 1)
    canvas.shade(part, gas, -800.0)


def _onto(target: Region, source: Region, values: np.ndarray, outside: float = 1e3) -> np.ndarray:
    """``values`` of one region on another; ``outside`` where they do not overlap."""
    out = np.full(target.x.shape, outside, dtype=np.float32)
    low = [max(t.start, s.start) for t, s in zip(target.box, source.box)]
    high = [min(t.stop, s.stop) for t, s in zip(target.box, source.box)]
    if all(a < b for a, b in zip(low, high)):
        to = tuple(slice(a - t.start, b - t.start) for a, b, t in zip(low, high, target.box))
        of = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, source.box))
        out[to] = values[of]
    return out


def _renal_and_visceral(scene: Scene, aorta: np.ndarray, cava: np.ndarray) -> None:
    canvas, plan, hu = scene.canvas, scene.plan, scene.hu

    def at(trunk: np.ndarray, z: float) -> np.ndarray:
        order = np.argsort(trunk[:, 2])
        return np.array([np.interp(z, trunk[order, 2], trunk[order, k]) for k in range(3)])

    for side, name, c in ((1, "right-kidney", (64.0, -38.0, 8.0)), (-1, "left-kidney", (-64.0, -38.0, 20.0))):
        hilum = np.array(c) + plan.shift[name] + (-side * 22, 9, 0)
        z = float(np.clip(hilum[2] + 6, -20, 40))
        for tissue, trunk, r, lift in (("aorta", aorta, 2.8, 0.0), ("vena_cava", cava, 4.6, 7.0)):
            start = at(trunk, z)
            middle = (start + hilum) / 2 + (0, 3 + lift, 2)
            if side < 0 and tissue == "vena_cava":  # the left renal vein crosses in front of the aorta
                middle = at(aorta, z) + (-14, 14, 0)
            curve = np.array([(*p, r) for p in (start, middle, hilum)], dtype=float)
            part, distance = canvas.tube(curve, step_mm=10)
            if part is not None:
                canvas.paint(part, distance, hu[tissue])
    root = at(aorta, 22) + (0, 9, 0)
    tubes = [
        (
            "aorta",
            [(root[0], root[1], 22, 3.8), (root[0] + 2, 24, 2, 3.8), (4, 26, -40, 3.4), (14, 30, -85, 2.2)],
        ),  # SMA
        ("aorta", [(*at(aorta, 42), 3.6), (root[0] + 2, root[1] + 10, 46, 3.6), (26, 18, 50, 2.6)]),  # celiac, hepatic
        ("aorta", [(root[0] + 2, root[1] + 10, 46, 2.6), (-18, 20, 52, 2.4), (-40, 0, 56, 2.4), (-84, -22, 66, 2.4)]),  # splenic artery
    ]
    for tissue, points in tubes:
        part, distance = canvas.tube(np.array(points, dtype=float), step_mm=10)
        if part is not None:
            canvas.paint(part, distance, hu[tissue])


def paint_pancreas(scene: Scene) -> None:
    """Head in the curve of the duodenum, neck over the vessels, body and tail rising to the spleen; a lobulated edge."""
    canvas, plan, name = scene.canvas, scene.plan, "pancreas"
    s, size = plan.shift[name], plan.size[name]
    tail = -72 - 14 * plan.free[name]
    points = np.array(
        [(24, 12, -18, 8), (30, 17, -6, 14), (27, 22, 10, 13), (10, 28, 22, 9), (-14, 27, 30, 10.5), (-42, 14, 40, 10.5),
         (tail + 14, -4, 52, 10), (tail, -14, 60, 8)], dtype=float,
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
    """The C: bulb after the pylorus, down beside the pancreatic head, across in front of the great vessels, up again."""
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


def paint_adrenals(scene: Scene) -> None:
    """Thin Y- and lambda-shaped plates before the upper poles of the kidneys: two limbs and a body, as flat capsules."""
    limbs_of = {
        # name: base point, then the limbs' ends in the axial plane relative to it
        "right-adrenal": (np.array([32.0, -22.0, 60.0]), [(-2.0, 9.0), (5.0, -19.0), (14.0, -15.0)]),
        "left-adrenal": (np.array([-34.0, -15.0, 61.0]), [(1.0, 10.0), (5.0, -17.0), (-13.0, -15.0)]),
    }
    for name, (base, limbs) in limbs_of.items():
        side = "right-kidney" if name.startswith("right") else "left-kidney"
        c = base + 0.5 * scene.plan.shift[name] + 0.9 * scene.plan.shift[side]
        region = scene.canvas.region(c - (24, 30, 24), c + (24, 22, 24))
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
            distance = np.maximum(distance, 1.5 - _onto(region, *scene.inside[side]))
        halo = distance - 2.5
        if side in scene.inside:
            halo = np.maximum(halo, 0.5 - _onto(region, *scene.inside[side]))
        scene.canvas.paint(region, halo, scene.hu["fat"])
        scene.organ(region, distance, name, scene.hu["adrenal"])


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
