"""What the painters of organs share: label values, everything that the seed decides about organs, helpers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rep3d.phantom.body import Cavity
from rep3d.phantom.canvas import Canvas, Region
from rep3d.phantom.shapes import smooth_max
from rep3d.phantom.tissue import TEXTURE

#: Label values: AMOS's own order.
LABELS = {
    "spleen": 1, "right-kidney": 2, "left-kidney": 3, "gallbladder": 4, "esophagus": 5, "liver": 6, "stomach": 7,
    "aorta": 8, "inferior-vena-cava": 9, "pancreas": 10, "right-adrenal": 11, "left-adrenal": 12, "duodenum": 13,
    "bladder": 14, "prostate-uterus": 15,
}  # fmt: skip

#: Side (+1 right), name and centre of the kidneys in the template.
KIDNEYS = ((1, "right-kidney", (64.0, -38.0, 8.0)), (-1, "left-kidney", (-64.0, -38.0, 20.0)))


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


def onto(target: Region, source: Region, values: np.ndarray, outside: float = 1e3) -> np.ndarray:
    """``values`` of one region on another; ``outside`` where they do not overlap."""
    out = np.full(target.x.shape, outside, dtype=np.float32)
    low = [max(t.start, s.start) for t, s in zip(target.box, source.box)]
    high = [min(t.stop, s.stop) for t, s in zip(target.box, source.box)]
    if all(a < b for a, b in zip(low, high)):
        to = tuple(slice(a - t.start, b - t.start) for a, b, t in zip(low, high, target.box))
        of = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, source.box))
        out[to] = values[of]
    return out
