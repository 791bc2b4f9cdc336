"""What organs lie in: skin, fat, muscle, lungs, heart, spine, ribs and pelvis. All of it is background to the labels.

The template is in millimetres, RAS: x to the patient's right, y anterior, z superior; z = 0 is the disc L2/L3 and the
front of the spine is near y = -17. Every coordinate below is in this space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rep3d.phantom.canvas import Canvas, Region
from rep3d.phantom.shapes import capsule, ellipsoid, rotation, smooth_max, smooth_min, squircle
from rep3d.phantom.tissue import TEXTURE

#: Height, half width and half depth of the muscular trunk (without the fat under the skin).
_Z = np.array([-340, -250, -205, -140, -75, 0, 60, 110, 160, 230, 300], dtype=np.float32)
_HALF_X = np.array([150, 158, 160, 150, 136, 130, 136, 142, 145, 146, 150], dtype=np.float32)
_HALF_Y = np.array([84, 90, 92, 90, 86, 86, 90, 95, 99, 100, 98], dtype=np.float32)
#: Heights of the centres of the vertebral bodies: L5 ... L1, T12 ... T5.
VERTEBRAE = (-103.0, -68.0, -34.0, 0.0, 33.0, 63.0, 91.0, 118.0, 144.0, 170.0, 195.0, 219.0, 243.0)
WALL_MM = 13.0


@dataclass(frozen=True)
class Build:
    """The patient's build: fat under the skin (front and sides, back), how far the lungs reach, girth."""

    fat_mm: float
    fat_back_mm: float
    breath_mm: float  # shift of the diaphragm, down positive
    squareness: float
    heart_shift_mm: float
    belly: float  # depth of the trunk's front half, relative to the template

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Build:
        """A random build."""
        fat = float(np.clip(rng.gamma(3.0, 6.5), 5, 48))
        return cls(
            fat, fat * float(rng.uniform(0.5, 0.9)), float(rng.normal(0, 7)), float(rng.uniform(0.35, 0.7)),
            float(rng.normal(0, 6)),
            float(np.clip(rng.normal(1.1, 0.09), 0.94, 1.32)),
        )  # fmt: skip


def trunk_distance(region: Region, build: Build, inset: float, back: float | None = None) -> np.ndarray:
    """Distance to the trunk outline moved inwards by ``inset`` mm (``back`` behind), negative = outwards."""
    back = inset if back is None else back
    half_x = np.interp(region.z, _Z, _HALF_X).astype(np.float32) - np.float32(inset)
    half_y = np.interp(region.z, _Z, _HALF_Y).astype(np.float32)
    front = half_y * np.float32(build.belly) - np.float32(inset)
    half_y = np.where(region.y > 0, front, half_y - np.float32(back))
    u, v = region.x / half_x, region.y / half_y
    r = np.maximum(squircle(u, v, build.squareness), np.float32(0.05))
    along = np.sqrt(region.x * region.x + region.y * region.y)
    return (1 - 1 / r) * along


def dome(region: Region, build: Build, inside: np.ndarray) -> np.ndarray:
    """Height of the diaphragm over every voxel; ``inside`` is the distance to the chest's inner surface (negative)."""
    right = 148 - 0.0062 * ((region.x - 68) ** 2 + (region.y - 8) ** 2)
    left = 133 - 0.0068 * ((region.x + 72) ** 2 + (region.y - 0) ** 2)
    top = -smooth_min(-right, -left, 14.0)
    # Near the wall the diaphragm drops steeply: the costophrenic recess, deepest behind.
    near_wall = np.clip(1 + inside / 26, 0, 1) ** 2
    top = top - near_wall * (38 + 32 * np.clip(-region.y / 70, -0.6, 1))
    return np.asarray(top - build.breath_mm, dtype=np.float32)


@dataclass
class Cavity:
    """Whole-grid distances that organs are clipped by."""

    inner: np.ndarray  # to the inner surface of the wall, negative inside
    dome: np.ndarray  # height above the diaphragm, positive in the chest


def paint_body(canvas: Canvas, build: Build, hu: dict[str, float], texture: np.ndarray) -> Cavity:
    """Skin, fat, muscle wall, fat of the cavity, lungs, heart and back muscles; returns the cavity's distances."""
    region = canvas.everything()
    skin = trunk_distance(region, build, -build.fat_mm - 3, -build.fat_back_mm - 4)
    canvas.paint(region, skin, hu["skin"])
    canvas.paint(region, skin + 2.0, hu["fat"] + 4 * texture)
    wall = trunk_distance(region, build, 0.0) + 1.2 * canvas.bump(region, 0)
    canvas.paint(region, wall, hu["muscle"] + TEXTURE["muscle"] * texture)
    inner = trunk_distance(region, build, WALL_MM, 10.0)
    # The wall in the pelvis is bone and gluteal muscle: the cavity narrows.
    narrow = np.clip((-85 - region.z) / 60, 0, 1) * 26 + np.clip((-190 - region.z) / 55, 0, 1) * 30
    # Less so in front of the bladder, where the wall is thin down to the pubis.
    front = np.clip(region.y / 40, 0, 1) * np.clip(1.6 - np.abs(region.x) / 50, 0, 1)
    inner = inner + narrow * (1 - 0.75 * front)
    canvas.paint(region, inner, hu["fat"] + 6 * texture)
    cavity = Cavity(inner, region.z - dome(region, build, inner))
    _paint_low_pelvis(canvas, hu)
    _paint_back(canvas, hu, texture)
    _paint_chest(canvas, region, cavity, build, hu, texture)
    return cavity


def _paint_low_pelvis(canvas: Canvas, hu: dict[str, float]) -> None:
    """The muscular floor of the pelvis, and the cleft of fat between the buttocks."""
    part = canvas.region((-90, -80, -330), (90, 70, -225))
    if part is not None:  # the floor of the pelvis
        floor = ellipsoid(part.x, part.y, part.z, (0, -6, -282), (80, 62, 44))
        canvas.paint(part, floor, hu["muscle"])
    part = canvas.region((-12, -110, -330), (12, -70, -170))
    if part is not None:
        distance = ellipsoid(part.x, part.y, part.z, (0, -100, -250), (9, 26, 80))
        canvas.paint(part, distance, hu["fat"])


def _paint_back(canvas: Canvas, hu: dict[str, float], texture: np.ndarray) -> None:
    for side in (-1, 1):
        muscles = [
            [(34, -70, 260, 17), (34, -69, 60, 20), (32, -68, -60, 22), (26, -78, -150, 14)],  # erector spinae
            [(24, -72, 250, 13), (22, -72, 0, 14), (22, -74, -120, 14)],  # multifidus
            [(30, -32, 40, 6), (37, -33, -20, 15), (46, -26, -80, 20), (62, -8, -140, 19), (88, 8, -215, 15)],  # psoas
            [(62, -54, 38, 9), (70, -54, -25, 14), (78, -50, -75, 13)],  # quadratus lumborum
        ]
        for points in muscles:
            curve = np.array(points, dtype=float)
            curve[:, 0] *= side
            part, distance = canvas.tube(curve, step_mm=30)
            if part is not None:
                canvas.paint(part, distance, hu["muscle"] + TEXTURE["muscle"] * texture[part.box])


def _paint_chest(
    canvas: Canvas, region: Region, cavity: Cavity, build: Build, hu: dict[str, float], texture: np.ndarray
) -> None:
    if float(region.z.max()) < 20:
        return
    # Lungs: inside the ribs, above the diaphragm, beside the mediastinum.
    middle = 26 - np.abs(region.x + 4) + 0.10 * np.abs(region.y)
    lung = smooth_max(np.maximum(cavity.inner + 1.5, 1.5 - cavity.dome), middle, 8.0)
    canvas.paint(region, lung, hu["lung"] + TEXTURE["lung"] * texture)
    # A thin muscle, the diaphragm, between lung and abdomen.
    crus = np.maximum(np.abs(cavity.dome) - 1.5, cavity.inner)
    canvas.paint(region, crus, hu["muscle"])
    for side in (-1, 1):  # crura beside the aorta
        points = np.array([(side * 14, -18, 105, 6), (side * 15, -20, 60, 5), (side * 13, -20, 20, 3.5)], dtype=float)
        part, distance = canvas.tube(points, step_mm=20)
        if part is not None:
            canvas.paint(part, distance, hu["muscle"])
    part = canvas.region((-110, -60, 110), (60, 90, 300))
    if part is not None:
        shift = build.heart_shift_mm - build.breath_mm
        heart = ellipsoid(part.x, part.y, part.z, (-28, 32, 178 + shift), (62, 44, 46), rotation(0, -15, 20))
        heart = np.maximum(heart, 3 - cavity.dome[part.box])
        canvas.paint(part, heart - 4, hu["fat"])
        canvas.paint(part, heart, hu["muscle"] + 30)
        canvas.paint(part, smooth_max(heart + 9, -np.abs(part.x + 34) + 3, 4.0), hu["heart"])
    # Vessels in the lungs, so that they are not empty.
    vessels = np.clip((texture - 1.5) * 1.2, 0, 1) * np.clip(-lung / 6, 0, 1)
    canvas.shade(region, vessels, hu["muscle"] - 60)


def paint_bones(canvas: Canvas, rng: np.random.Generator, build: Build, hu: dict[str, float], texture) -> None:
    """Spine, ribs, pelvis and thigh bones."""
    for level, z in enumerate(VERTEBRAE):
        _vertebra(canvas, z, level, hu, texture)
    _canal(canvas, hu)
    droop = float(rng.uniform(0.9, 1.15))
    for level, z in enumerate(VERTEBRAE[5:]):
        for side in (-1, 1):
            _rib(canvas, side, level, z, droop, build.belly, hu, texture)
    _pelvis(canvas, hu, texture)


def _bone(
    canvas: Canvas, part: Region, distance: np.ndarray, hu: dict[str, float], texture, shell: float = 2.2
) -> None:
    """A cortical shell over marrow."""
    canvas.paint(part, distance, hu["cortical"])
    inside = np.clip(np.float32(0.5) - (distance + np.float32(shell)) / canvas.edge_mm, 0, 1)
    canvas.shade(part, inside, hu["marrow"] + TEXTURE["marrow"] * texture[part.box])


def spine_front(z: float) -> float:
    """Anterior shift (mm) of the spine at height z: the lumbar curve."""
    return 7.0 * float(np.exp(-(((z + 45) / 75) ** 2))) - 10.0 * float(np.clip((z - 60) / 120, 0, 1))


def _vertebra(canvas: Canvas, z: float, level: int, hu: dict[str, float], texture) -> None:
    lumbar = 1.0 if level < 5 else 0.86 - 0.01 * (level - 5)
    y = -38 + spine_front(z)
    half = (14.5 if level < 5 else 12.0) if level else 14.0
    part = canvas.region((-60, y - 70, z - 25), (60, y + 30, z + 25))
    if part is None:
        return
    dx, dy, dz = part.x, part.y - np.float32(y), part.z - np.float32(z)
    waist = 1 - 0.10 * np.clip(1 - (dz / half) ** 2, 0, 1)
    u, v = dx / (24 * lumbar * waist), dy / (17.5 * lumbar * waist)
    radius = np.maximum(squircle(u, v, 0.5), np.float32(0.05))
    round_body = (1 - 1 / radius) * np.sqrt(dx * dx + dy * dy)
    disc = np.maximum(round_body + 1, np.abs(dz + half + 2.6) - 4)
    canvas.paint(part, disc, hu["disc"])
    _bone(canvas, part, smooth_max(round_body, np.abs(dz) - half, 3.0), hu, texture)
    # The arch: laminae, spinous and transverse processes.
    tip = np.array([0.0, y - 52, z - 12])
    arch = capsule(part.x, part.y, part.z, np.array([0.0, y - 32, z - 2]), tip, 5.0, 4.0)
    arch = np.maximum(arch, np.abs(part.x) - 4.5)
    reach = 40 if level < 5 else 28
    for side in (-1, 1):
        root = np.array([side * 16.0, y - 14, z + 2])
        joint = np.array([side * 15.0, y - 27, z - 3])
        arch = np.minimum(arch, capsule(part.x, part.y, part.z, root, joint, 5.0, 7.0))
        arch = np.minimum(arch, capsule(part.x, part.y, part.z, joint, np.array([0.0, y - 35, z - 3]), 5.5, 5.0))
        far = np.array([side * float(reach), y - 28, z + 2])
        arch = np.minimum(arch, capsule(part.x, part.y, part.z, root, far, 5.0, 3.0))
    _bone(canvas, part, arch, hu, texture, 1.8)


def _canal(canvas: Canvas, hu: dict[str, float]) -> None:
    points = [(0, -38 + spine_front(z) - 24, z, 8.5) for z in (*VERTEBRAE, 300.0)]
    points.insert(0, (0, -66, -140, 6.0))
    part, distance = canvas.tube(np.array(points, dtype=float), step_mm=18)
    if part is not None:
        canvas.paint(part, distance, hu["fat"] * 0.4)
        canvas.paint(part, distance + 2.0, hu["cord"])


def _rib(
    canvas: Canvas, side: int, level: int, z: float, droop: float, belly: float, hu: dict[str, float], texture
) -> None:
    # Angle from straight back (0) over the side (90) to the front; the lowest two float and end early.
    last = (75.0, 108.0, 138.0, 148.0, 152.0, 155.0, 158.0, 160.0)[level]
    fall = (34.0, 62.0, 88.0, 95.0, 98.0, 98.0, 96.0, 94.0)[level] * droop
    angles = np.deg2rad(np.linspace(12, last, 9))
    part_way = np.linspace(0, 1, 9)
    height = z - fall * part_way**0.9 + 14 * np.clip(part_way - 0.82, 0, 1)
    half_x = np.interp(height, _Z, _HALF_X) - 8
    half_y = np.interp(height, _Z, _HALF_Y)
    half_y = np.where(np.cos(angles) < 0, half_y * belly, half_y) - 7
    curve = np.stack([side * half_x * np.sin(angles), -half_y * np.cos(angles), height, np.full(9, 4.6)], axis=1)
    curve[0, :2] = (side * 20, -56 + spine_front(z))
    part, distance = canvas.tube(curve, step_mm=11)
    if part is not None:
        _bone(canvas, part, distance, hu, texture, 1.6)
    if level >= 2:  # cartilage towards the breast bone
        front = curve[-1].copy()
        end = np.array([side * 16.0, float(np.interp(front[2], _Z, _HALF_Y)) * belly - 9, front[2] + 30, 4.5])
        middle = (front + end) / 2 + np.array([side * 12.0, 4.0, 2.0, 0.0])
        part, distance = canvas.tube(np.array([front, middle, end]), step_mm=11)
        if part is not None:
            canvas.paint(part, distance, hu["cartilage"])


def _pelvis(canvas: Canvas, hu: dict[str, float], texture) -> None:
    part = canvas.region((-62, -95, -235), (62, -20, -112))
    if part is not None:  # sacrum: a wedge, tilted backwards
        sacrum = ellipsoid(part.x, part.y, part.z, (0, -62, -158), (50, 19, 52), rotation(22, 0, 0))
        taper = np.abs(part.x) - np.interp(part.z, [-225, -190, -125], [9, 24, 50]).astype(np.float32)
        _bone(canvas, part, smooth_max(sacrum, taper, 5.0), hu, texture)
    part = canvas.region((-140, -85, -215), (140, 60, -68))
    if part is not None:  # iliac wings: a bowl's shell, cut to the crest's outline
        bowl = np.abs(ellipsoid(part.x, part.y, part.z, (0, -12, -92), (126, 92, 150))) - 5.0
        outline = ellipsoid(np.zeros_like(part.x), part.y, part.z, (0, -16, -150), (1e4, 66, 76))
        wings = smooth_max(np.maximum(bowl, 30 - np.abs(part.x)), outline, 3.0)
        _bone(canvas, part, wings, hu, texture, 2.6)
    for side in (-1, 1):
        bars = [
            [(88, 2, -188, 20), (84, -4, -215, 16), (66, -30, -250, 13)],  # acetabulum to ischium
            [(82, 12, -200, 12), (48, 42, -215, 8), (14, 54, -222, 11)],  # upper branch of the pubis
            [(64, -26, -252, 9), (34, 22, -252, 7), (12, 50, -232, 9)],  # lower branch
            [(92, 4, -206, 23), (94, 3, -207, 23)],  # head of the thigh bone
            [(96, 2, -209, 15), (132, -8, -228, 18), (140, -6, -300, 15)],  # neck and shaft
        ]
        for index, points in enumerate(bars):
            curve = np.array(points, dtype=float)
            curve[:, 0] *= side
            if index == 3:  # the joint's gap
                part, distance = canvas.tube(curve, step_mm=12)
                if part is not None:
                    canvas.paint(part, distance - 2.5, hu["muscle"] - 20)
            part, distance = canvas.tube(curve, step_mm=12)
            if part is not None:
                _bone(canvas, part, distance, hu, texture)
