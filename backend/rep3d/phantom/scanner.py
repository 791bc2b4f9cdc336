"""From tissue to a CT: table, partial volume over thick slices, blur, correlated noise, rounding to stored values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rep3d.phantom.canvas import Canvas
from rep3d.phantom.grid import Grid


@dataclass(frozen=True)
class Painted:
    """What the scanner looks at, all [X, Y, Z]: hu float32, label uint8, weight float32 (share of the label)."""

    hu: np.ndarray
    label: np.ndarray
    weight: np.ndarray


def add_table(hu: np.ndarray, grid: Grid, back_mm: float, edge_mm: float) -> None:
    """Lay the scanner's couch under the patient, whose lowest skin is at y = back_mm; drawn only into air."""
    x, y = grid.coordinate(0), grid.coordinate(1)
    top = np.float32(back_mm - 2.0) + np.float32(1 / 1400.0) * x * x
    depth = top - y  # positive inside the couch
    wide = np.float32(205.0) - np.abs(x)
    solid = np.minimum(np.minimum(depth, np.float32(46.0) - depth), wide)
    shell = np.clip(0.5 + solid / edge_mm, 0, 1)
    core = np.clip(0.5 + (solid - 3.0) / edge_mm, 0, 1)
    value = shell * 850.0 + core * -760.0 - 1000.0  # carbon fibre about -150, foam about -910
    np.maximum(hu, np.where(hu < -700, value, -2000.0), out=hu)


def reduce_labels(label: np.ndarray, weight: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """The label that fills most of each coarse voxel, from its small voxels and the weights of their labels."""
    parts = []
    for i in range(factors[0]):
        for j in range(factors[1]):
            for k in range(factors[2]):
                cut = (slice(i, None, factors[0]), slice(j, None, factors[1]), slice(k, None, factors[2]))
                parts.append((label[cut], weight[cut]))
    if len(parts) == 1:
        return parts[0][0].copy()
    best_label, best_vote = parts[0][0].copy(), np.full(parts[0][0].shape, -1.0, dtype=np.float32)
    for candidate, _ in parts:
        vote = np.zeros_like(best_vote)
        for other, share in parts:
            vote += np.where(other == candidate, share, np.float32(0))
        better = vote > best_vote
        best_label[better] = candidate[better]
        best_vote[better] = vote[better]
    return best_label


def average(image: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Mean over blocks of ``factors`` voxels."""
    x, y, z = image.shape
    fx, fy, fz = factors
    return image.reshape(x // fx, fx, y // fy, fy, z // fz, fz).mean(axis=(1, 3, 5), dtype=np.float32)


def acquire(
    canvas: Canvas | Painted,
    grid: Grid,
    factors: tuple[int, int, int],
    rng: np.random.Generator,
    noise_hu: float,
    blur_mm: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the painted canvas into what a scanner stores: (int16 HU, uint8 labels) on ``grid``.

    noise_hu: standard deviation in soft tissue at the centre of the body; 0 for none. blur_mm: in-plane point spread.
    """
    hu = average(canvas.hu, factors)
    labels = reduce_labels(canvas.label, canvas.weight, factors)
    sigma = blur_mm / grid.spacing
    sigma[2] *= 0.5
    hu = ndimage.gaussian_filter(hu, sigma, truncate=3.0)
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    if noise_hu > 0:
        # CT noise is band-limited in plane: blur it, and take out some of the lowest frequencies.
        width = np.clip(0.9 / grid.spacing[:2], 0.35, 1.2)
        fine = ndimage.gaussian_filter(noise, (width[0], width[1], 0.25), truncate=3.0)
        fine -= 0.5 * ndimage.gaussian_filter(fine, (2.2, 2.2, 0), truncate=2.0)
        fine /= fine.std(dtype=np.float64) or 1.0
        # More noise where rays have passed through more tissue: in the middle of the body, little in air.
        body = ndimage.uniform_filter((hu > -300).astype(np.float32), tuple(int(60 / s) | 1 for s in grid.spacing))
        hu += fine * (0.35 + 0.7 * body) * np.float32(noise_hu)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), labels
