"""What spoils a CT now and then: beam hardening, metal, motion."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from rep3d.phantom.grid import Grid


def spoil(hu: np.ndarray, grid: Grid, rng: np.random.Generator) -> list[str]:
    """Add artefacts to CT numbers in place; returns the names of those that were added."""
    names = []
    for chance, add in ((0.3, _harden), (0.04, _metal), (0.12, _move)):
        if rng.random() < chance:
            add(hu, grid, rng)
            names.append(add.__name__.strip("_"))
    return names


def _harden(hu: np.ndarray, grid: Grid, rng: np.random.Generator) -> None:
    """Dark bands between bones: rays along right-left that have passed bone on both sides are too hard."""
    bone = np.clip(hu - 250, 0, 800) * np.float32(grid.spacing[0] / 800)
    before = np.cumsum(bone, axis=0)
    both = np.minimum(before, before[-1:] - before)
    band = ndimage.gaussian_filter1d(np.minimum(both, 30), 3.0 / grid.spacing[1], axis=1)
    body = hu > -300
    hu -= np.where(body, np.float32(rng.uniform(0.3, 1.2)) * band, np.float32(0))


def _metal(hu: np.ndarray, grid: Grid, rng: np.random.Generator) -> None:
    """An implant in a bone, with bright and dark streaks in its slices."""
    bones = np.argwhere(hu > 300)
    if not len(bones):
        return
    centre = bones[rng.integers(len(bones))]
    radius = float(rng.uniform(4, 14))
    x, y, z = (((np.arange(n) - c) * s).astype(np.float32) for n, c, s in zip(hu.shape, centre, grid.spacing))
    plane = np.hypot(x[:, None], y[None, :])
    angle = np.arctan2(y[None, :], x[:, None])
    spokes = np.cos(int(rng.integers(3, 9)) * angle + rng.uniform(0, 6)) + np.cos(2 * angle)
    streak = spokes * np.float32(rng.uniform(60, 350)) / (1 + plane / 25)
    near = np.abs(z) < radius
    fade = np.sqrt(np.clip(1 - (z[near] / radius) ** 2, 0, 1))
    hu[:, :, near] += streak[:, :, None] * fade
    hu[plane[:, :, None] ** 2 + z**2 < radius**2] = 3000.0


def _move(hu: np.ndarray, grid: Grid, rng: np.random.Generator) -> None:
    """A breath during the scan: the mean of two positions a few millimetres apart."""
    shift = rng.uniform(-4, 4, 3) * (0.3, 0.7, 1.0) / grid.spacing
    share = np.float32(rng.uniform(0.25, 0.5))
    hu += share * (ndimage.shift(hu, shift, order=1, mode="nearest") - hu)
