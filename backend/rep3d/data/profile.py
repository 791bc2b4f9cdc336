"""A scan in a few numbers that say what it shows: kinds of tissue and the body's size (CT), the histogram (MR).

Measured on every training scan and on a scan that is to be segmented, so that the two can be compared. A coarse grid
is enough, so a large scan takes a fraction of a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rep3d.data.preprocess import closest_axes, reorient
from rep3d.data.volume import Volume


@dataclass(frozen=True)
class Figure:
    """What a number is called for people, its unit, and a difference that never means anything.

    ``ratio``: small shares, of which half or double means as much as anywhere else.
    """

    name: str
    unit: str
    nothing: float
    ratio: bool = False

    def outside(self, value: float, low: float, high: float) -> float:
        """How far ``value`` lies outside of [low, high], in widths of that range."""
        if self.ratio:
            value, low, high = (float(np.log(max(v, 0.0) + 0.5)) for v in (value, low, high))
        off = max(0.0, low - value, value - high) - self.nothing
        return max(0.0, off) / max(high - low, 2 * self.nothing)


FIGURES = {
    "air": Figure("share of air in the field of view", "%", 3.0),
    "fill": Figure("share of the field of view that the body fills", "%", 3.0),
    "gas": Figure("share of lung and other gas in the body", "%", 0.1, ratio=True),
    "fat": Figure("share of fat in the body", "%", 3.0),
    "bone": Figure("share of bone in the body", "%", 1.0),
    "soft": Figure("median of soft tissue", "HU", 3.0),
    "top": Figure("brightest thousandth", "HU", 50.0),
    "area": Figure("median cross-section of the body", "cm2", 10.0),
    "dark": Figure("share of dark voxels", "%", 2.0),
    "quarter": Figure("first quartile of the brightness", "%", 4.0),
    "median": Figure("median of the brightness", "%", 4.0),
    "three_quarters": Figure("third quartile of the brightness", "%", 4.0),
    "detail": Figure("change of the brightness along 1 mm", "%", 0.5),
}
COARSE_MM = {"CT": 4.0, "MR": 1.5}
_BODY_HU, _GAS_HU = -300.0, -500.0


def profile(volume: Volume, modality: str) -> dict[str, float]:
    """The figures of FIGURES that mean something in this modality; {} where the scan holds no body at all."""
    axes, flips = closest_axes(volume.affine)
    steps = [max(1, round(COARSE_MM[modality] / s)) for s in volume.spacing_mm]
    coarse = volume.array[tuple(slice(None, None, step) for step in steps)]
    spacing = [volume.spacing_mm[a] * steps[a] for a in axes]
    values_RAS = reorient(coarse, axes, flips).astype(np.float32)
    found = _ct(values_RAS, spacing) if modality == "CT" else _mr(values_RAS, spacing)
    return {name: round(float(value), 3) for name, value in found.items()}


def extent_mm(shape: tuple[int, ...], affine: np.ndarray) -> tuple[float, float, float]:
    """Size of the field of view along the grid's axes closest to right, anterior and superior."""
    axes, _ = closest_axes(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return tuple(float(shape[a] * spacing[a]) for a in axes)


def _ct(values_RAS: np.ndarray, spacing: list[float]) -> dict[str, float]:
    parts, count = ndimage.label(values_RAS > _BODY_HU)
    if not count:
        return {}
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    tissue = parts == sizes.argmax()  # without couch and mask, where they do not touch the body
    body = np.stack([ndimage.binary_fill_holes(tissue[..., k]) for k in range(tissue.shape[2])], axis=-1)
    inside, solid = values_RAS[body], values_RAS[tissue]
    soft = solid[(solid > -20) & (solid < 120)]
    areas_cm2 = body.sum((0, 1)) * spacing[0] * spacing[1] / 100
    return {
        "air": 100 * np.mean(values_RAS < _GAS_HU),
        "fill": 100 * np.mean(body),
        "gas": 100 * np.mean(inside < _GAS_HU),
        "fat": 100 * np.mean((solid > -150) & (solid < -40)),
        "bone": 100 * np.mean(solid > 250),
        "soft": np.median(soft) if soft.size else -1000.0,
        "top": np.percentile(values_RAS, 99.9),
        "area": np.median(areas_cm2),
    }


def _mr(values_RAS: np.ndarray, spacing: list[float]) -> dict[str, float]:
    low, high = np.percentile(values_RAS, [0.5, 99.5])
    if not high > low:
        return {}
    bright = np.clip((values_RAS - low) / (high - low), 0, 1)
    steps = [np.abs(np.diff(bright, axis=a)).mean() / spacing[a] for a in range(3) if bright.shape[a] > 1]
    quarter, median, three_quarters = np.percentile(bright, [25, 50, 75])
    return {
        "dark": 100 * np.mean(bright < 0.05),
        "quarter": 100 * quarter,
        "median": 100 * median,
        "three_quarters": 100 * three_quarters,
        "detail": 100 * np.mean(steps),
    }
