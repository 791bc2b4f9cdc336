"""The painter: puts structures over one another with partial volume; keeps the label that fills most of a voxel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rep3d.phantom import shapes
from rep3d.phantom.fields import SmoothField
from rep3d.phantom.grid import Grid

AIR_HU = -1000.0
FAR = np.float32(1e3)
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Patient:
    """From patient space to the template's: p_template = (p_patient + displacement) / scale."""

    scale: np.ndarray  # (3,)
    displacement: tuple[SmoothField, SmoothField, SmoothField]
    amplitude_mm: np.ndarray  # (3,) standard deviation of each component
    bumps: tuple[SmoothField, ...]  # surface irregularity, unit variance

    @property
    def reach_mm(self) -> float:
        """How far the displacement may carry a structure: bounding boxes are widened by this."""
        return float(3.5 * self.amplitude_mm.max())

    def place(self, points: np.ndarray) -> np.ndarray:
        """Patient positions [N, 3] of template points, to about a millimetre (one step of the inverse)."""
        scaled = points * self.scale
        moved = [a * f.at(scaled) for a, f in zip(self.amplitude_mm, self.displacement)]
        return scaled - np.stack(moved, axis=1)


@dataclass
class Region:
    """One structure's box: template coordinates (mm) in x, y, z, and the surface bump fields."""

    box: Box
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


@dataclass
class Canvas:
    """Image, labels and template coordinates of the grid being rendered."""

    grid: Grid
    patient: Patient
    x: np.ndarray = field(init=False)
    y: np.ndarray = field(init=False)
    z: np.ndarray = field(init=False)
    bumps: list[np.ndarray] = field(init=False)
    hu: np.ndarray = field(init=False)
    label: np.ndarray = field(init=False)
    weight: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        coordinates = []
        for axis in range(3):
            amplitude = np.float32(self.patient.amplitude_mm[axis])
            moved = self.patient.displacement[axis].sample(self.grid) * amplitude
            moved += self.grid.coordinate(axis)
            moved /= np.float32(self.patient.scale[axis])
            coordinates.append(moved)
        self.x, self.y, self.z = coordinates
        self.bumps = [bump.sample(self.grid) for bump in self.patient.bumps]
        self.hu = np.full(self.grid.shape, AIR_HU, dtype=np.float32)
        self.label = np.zeros(self.grid.shape, dtype=np.uint8)
        self.weight = np.ones(self.grid.shape, dtype=np.float32)  # of the voxel's present label
        #: Width of the soft edge: a voxel is partly filled when the surface passes through it.
        self.edge_mm = np.float32(np.mean(self.grid.spacing))

    def everything(self) -> Region:
        """The whole grid."""
        return Region(tuple(slice(0, n) for n in self.grid.shape), self.x, self.y, self.z)

    def region(self, low, high, margin_mm: float = 4.0) -> Region | None:
        """The part of the grid that the template box low..high may reach, or None if out of view."""
        low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        scale = self.patient.scale
        box = self.grid.box_of(low * scale, high * scale, self.patient.reach_mm + margin_mm + float(self.edge_mm))
        if box is None:
            return None
        return Region(box, self.x[box], self.y[box], self.z[box])

    def bump(self, region: Region, which: int) -> np.ndarray:
        """Surface irregularity in a region, unit variance."""
        return self.bumps[which % len(self.bumps)][region.box]

    def paint(self, region: Region, distance: np.ndarray, hu: float | np.ndarray, label: int = 0) -> None:
        """Put a structure over what is there. distance: signed, mm, on the region; hu: one value or one a voxel."""
        occupancy = np.clip(np.float32(0.5) - distance / self.edge_mm, 0, 1)
        self.blend(region, occupancy, hu, label)

    def blend(self, region: Region, occupancy: np.ndarray, hu: float | np.ndarray, label: int) -> None:
        """Composite by occupancy in 0..1: what was there keeps 1 - occupancy of the voxel."""
        target = self.hu[region.box]
        target += occupancy * (hu - target)
        labels, weight = self.label[region.box], self.weight[region.box]
        same = labels == label
        weight *= 1 - occupancy
        # The same label gains what it is given; another one must fill more of the voxel than what is left of the old.
        weight += np.where(same, occupancy, np.float32(0))
        take = ~same & (occupancy > weight)
        labels[take] = label
        weight[take] = occupancy[take]

    def shade(self, region: Region, occupancy: np.ndarray, hu: float | np.ndarray) -> None:
        """Change intensities only; labels stay. For texture, lesions and contents inside an organ."""
        target = self.hu[region.box]
        target += occupancy * (hu - target)

    def tube(self, points: np.ndarray, step_mm: float = 7.0, margin_mm: float = 4.0, haustra=(0.0, 30.0)):
        """Signed distance to a curved tube.

        points [N, 4]: x, y, z and radius along the curve; haustra: (relative depth, period mm) of bulges.
        Returns (region, distance), or (None, None) if out of view. Every piece is evaluated in its own small box.
        """
        curve, length = shapes.spline(points, step_mm)
        curve[:, 3] = np.maximum(curve[:, 3], 0.8)
        depth, period = haustra
        if depth:
            curve[:, 3] *= 1 + depth * np.sin(2 * np.pi * length / period)
        widest = curve[:, 3].max()
        region = self.region(curve[:, :3].min(axis=0) - widest, curve[:, :3].max(axis=0) + widest, margin_mm)
        if region is None:
            return None, None
        distance = np.full(region.x.shape, FAR, dtype=np.float32)
        # Where the pieces really lie in the patient: much smaller boxes than a region of unknown displacement needs.
        placed = self.patient.place(curve[:, :3])
        pad = margin_mm + float(self.edge_mm) + 2.0
        for i in range(len(curve) - 1):
            a, b = curve[i], curve[i + 1]
            reach = pad + max(a[3], b[3]) * float(self.patient.scale.max())
            low, high = np.minimum(placed[i], placed[i + 1]), np.maximum(placed[i], placed[i + 1])
            box = self.grid.box_of(low, high, reach)
            if box is None:
                continue
            box = tuple(slice(max(p.start, r.start), min(p.stop, r.stop)) for p, r in zip(box, region.box))
            if any(p.start >= p.stop for p in box):
                continue
            local = tuple(slice(p.start - r.start, p.stop - r.start) for p, r in zip(box, region.box))
            piece = shapes.capsule(self.x[box], self.y[box], self.z[box], a[:3], b[:3], a[3], b[3])
            np.minimum(distance[local], piece, out=distance[local])
        return region, distance
