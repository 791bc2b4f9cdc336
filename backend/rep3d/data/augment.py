"""Crops and augmentation: one random affine, one interpolation, then intensities; a function of the rng alone.

PAPER appendix A: intensity shift 0.1, rotation, scaling 0.1, crops on the foreground. Contrast, noise and blur are
added in small doses because two-figure training sets need them; `AugmentConfig` switches each one off.

A crop is drawn first (`draw_crop`: every random number it needs) and computed later (`CropDraw.render`), so that each
of several processes can draw the crops of all and compute its own only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from rep3d.data.cache import Sample


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths; probability ``p_*`` per crop. Rotation in degrees about each axis, scaling as a relative range."""

    p_affine: float = 0.5
    rotate_deg: float = 15.0
    scale: float = 0.1
    p_intensity: float = 0.5
    shift: float = 0.1
    contrast: float = 0.15
    p_gamma: float = 0.2
    gamma: float = 0.3
    p_noise: float = 0.15
    noise: float = 0.03
    p_blur: float = 0.1
    blur_voxels: float = 0.8
    mirror_axes: tuple[int, ...] = ()  # tasks with sided labels must not be mirrored along axis 0

    @classmethod
    def off(cls) -> AugmentConfig:
        """No augmentation at all."""
        return cls(p_affine=0, p_intensity=0, p_gamma=0, p_noise=0, p_blur=0)


def crop_centre(
    sample: Sample,
    patch: tuple[int, int, int],
    foreground: float,
    rng: np.random.Generator,
    *,
    target: int | None = None,
) -> np.ndarray:
    """Centre [3] (voxels) of a crop: with probability ``foreground`` on a voxel of a random class, else anywhere.

    target: the class to centre on instead of a random one that is present; the case must hold it.

    Along an axis where the volume is larger than the patch the crop stays inside; where it is smaller the volume stays
    inside the crop, at a random place.
    """
    size = np.array(sample.image_XYZ.shape)
    present = [c for c, where in sample.centres.items() if len(where) and target in (None, c)]
    if present and rng.random() < foreground:
        where = sample.centres[present[rng.integers(len(present))]]
        centre = np.array(np.unravel_index(where[rng.integers(len(where))], sample.image_XYZ.shape), float)
        # A little off the voxel, so that an organ is not always in the middle of what the network sees.
        centre += rng.uniform(-0.25, 0.25, 3) * np.array(patch)
    else:
        centre = rng.uniform(0, size)
    half = np.array(patch) / 2
    low, high = np.minimum(half, size - half), np.maximum(half, size - half)
    outside = size < patch
    centre = np.where(outside, rng.uniform(low, high), np.clip(centre, low, high))
    return np.round(centre - half) + half  # corners on whole voxels: a crop without affine needs no interpolation


def crop(array_XYZ: np.ndarray, start: np.ndarray, patch: tuple[int, int, int]) -> np.ndarray:
    """Plain crop [patch] from the voxel ``start`` on, zero where it leaves the volume."""
    out = np.zeros(patch, array_XYZ.dtype)
    source, target = [], []
    for s, n, p in zip(start, array_XYZ.shape, patch, strict=True):
        low, high = max(int(s), 0), min(int(s) + p, n)
        if high <= low:
            return out
        source.append(slice(low, high))
        target.append(slice(low - int(s), high - int(s)))
    out[tuple(target)] = array_XYZ[tuple(source)]
    return out


def random_matrix(
    spacing_mm: tuple[float, float, float], config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """Matrix [3, 3] that maps voxel offsets of the crop to voxel offsets of the volume: rotation and scaling in mm."""
    angles = np.deg2rad(rng.uniform(-config.rotate_deg, config.rotate_deg, 3))
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (a for a in range(3) if a != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    zoom = np.diag(1 + rng.uniform(-config.scale, config.scale, 3))
    spacing = np.asarray(spacing_mm, float)
    return np.diag(1 / spacing) @ rotation @ zoom @ np.diag(spacing)


def affine_crop(sample: Sample, centre: np.ndarray, matrix: np.ndarray, patch: tuple[int, int, int]):
    """Image (linear) and label (nearest) sampled at ``centre + matrix @ offset``; one interpolation, zero outside.

    Only the box that the crop can reach is converted to float32. Returns float32 [patch] and uint8 [patch].
    """
    half = (np.array(patch) - 1) / 2
    middle = centre - 0.5  # index coordinates of the crop's middle
    reach = np.abs(matrix) @ half + 2
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, sample.image_XYZ.shape).astype(int)
    high = np.maximum(high, low + 1)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offset = middle - low - matrix @ half
    image = sample.image_XYZ[box].astype(np.float32)
    if image.size == 0:
        return np.zeros(patch, np.float32), np.zeros(patch, np.uint8)
    image = ndimage.affine_transform(
        image, matrix, offset, output_shape=patch, order=1, mode="constant", prefilter=False
    )
    label = ndimage.affine_transform(
        np.asarray(sample.label_XYZ[box]), matrix, offset, output_shape=patch, order=0, mode="constant", prefilter=False
    )
    return image, label


@dataclass(frozen=True)
class IntensityDraw:
    """What happens to a crop's intensities; None: not that. ``noise_XYZ`` float32 [patch] is added last."""

    blur_voxels: float | None = None
    gain_and_level: tuple[float, float] | None = None
    gamma: float | None = None
    noise_XYZ: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def draw(cls, config: AugmentConfig, patch: tuple[int, ...], rng: np.random.Generator) -> IntensityDraw:
        """Draw from ``rng``; how much is drawn does not depend on the image."""
        blur = gain_and_level = gamma = noise = None
        if rng.random() < config.p_blur:
            blur = rng.uniform(0.3, config.blur_voxels)
        if rng.random() < config.p_intensity:
            gain = 1 + rng.uniform(-config.contrast, config.contrast)
            gain_and_level = gain, 0.5 + rng.uniform(-config.shift, config.shift)
        if rng.random() < config.p_gamma:
            gamma = np.exp(rng.uniform(-config.gamma, config.gamma))
        if rng.random() < config.p_noise:
            noise = rng.standard_normal(patch, dtype=np.float32) * np.float32(rng.uniform(0, config.noise))
        return cls(blur, gain_and_level, gamma, noise)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Blur, shift, contrast, gamma and noise on a float32 crop in [0, 1]; the result stays there."""
        if self.blur_voxels is not None:
            image = ndimage.gaussian_filter(image, self.blur_voxels, truncate=2)
        if self.gain_and_level is not None:
            gain, level = self.gain_and_level
            image = (image - 0.5) * np.float32(gain) + np.float32(level)
        if self.gamma is not None:
            image = np.clip(image, 0, 1) ** np.float32(self.gamma)
        if self.noise_XYZ is not None:
            image = image + self.noise_XYZ
        return np.clip(image, 0, 1, dtype=np.float32)


def intensities(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Random intensities on a float32 crop in [0, 1]; the result stays there, as in inference."""
    return IntensityDraw.draw(config, image.shape, rng).apply(image)


@dataclass(frozen=True)
class CropDraw:
    """One crop that has been drawn: ``centre`` [3] in voxels, ``matrix`` [3, 3] (None: no affine), axes to mirror."""

    sample: Sample
    patch: tuple[int, int, int]
    centre: np.ndarray
    matrix: np.ndarray | None
    mirrored: tuple[int, ...]
    intensity: IntensityDraw

    def render(self) -> tuple[np.ndarray, np.ndarray]:
        """Image float32 [patch] in [0, 1] and label uint8 [patch]."""
        if self.matrix is not None:
            image, label = affine_crop(self.sample, self.centre, self.matrix, self.patch)
        else:
            start = self.centre - np.array(self.patch) / 2
            image = crop(self.sample.image_XYZ, start, self.patch).astype(np.float32)
            label = crop(self.sample.label_XYZ, start, self.patch)
        for axis in self.mirrored:
            image, label = np.flip(image, axis), np.flip(label, axis)
        return self.intensity.apply(image), np.ascontiguousarray(label)


def draw_crop(
    sample: Sample,
    patch: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    foreground: float,
    target: int | None = None,
) -> CropDraw:
    """Everything random about one training crop; ``foreground`` and ``target`` as in :func:`crop_centre`."""
    centre = crop_centre(sample, patch, foreground, rng, target=target)
    matrix = random_matrix(spacing_mm, config, rng) if rng.random() < config.p_affine else None
    mirrored = tuple(axis for axis in config.mirror_axes if rng.random() < 0.5)
    return CropDraw(sample, patch, centre, matrix, mirrored, IntensityDraw.draw(config, patch, rng))


def random_crop(
    sample: Sample,
    patch: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    foreground: float,
) -> tuple[np.ndarray, np.ndarray]:
    """One training crop: image float32 [patch] in [0, 1] and label uint8 [patch]."""
    return draw_crop(sample, patch, spacing_mm, config, rng, foreground=foreground).render()
