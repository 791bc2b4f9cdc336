"""Orthographic first-hit ray casting of occupancy fields in numpy: depth, structure and shading of every pixel.

No OpenGL: it must run on a server without a display. A coarse pass on the rotated grid says where along each ray the
first surface can be; only from there are rays marched finely, so that a picture costs a few million lookups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rep3d.figures.surfaces import Scene, Surface

STEP = 0.5  # of a grid voxel
LIGHT = np.array([-0.45, 0.55, 0.70])  # towards the light, in (right, up, viewer) of the picture
FILL_LIGHT = np.array([0.75, 0.10, 0.45])


@dataclass(frozen=True)
class View:
    """A camera, ``turn`` degrees about the patient's long axis (0 from the front, 90 from the left), ``tilt`` up."""

    name: str
    turn: float
    tilt: float

    def axes(self) -> np.ndarray:
        """Rows: picture right, picture up and towards the viewer, in RAS coordinates."""
        t, e = np.deg2rad(self.turn), np.deg2rad(self.tilt)
        viewer = np.array([-np.sin(t) * np.cos(e), np.cos(t) * np.cos(e), np.sin(e)])
        right = np.cross(np.array([0.0, 0.0, 1.0]), viewer)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(viewer, right), viewer])


@dataclass(frozen=True)
class Hits:
    """Pixels [rows, columns]: ``label`` index of the surface or -1, ``depth`` towards the viewer (voxels), colour."""

    label: np.ndarray
    depth: np.ndarray
    colour: np.ndarray


def sample(field: np.ndarray, points_N3: np.ndarray) -> np.ndarray:
    """Trilinear values at voxel positions, 0 outside."""
    return ndimage.map_coordinates(field, points_N3.T, order=1, mode="constant", cval=0.0, prefilter=False)


def union_field(scene: Scene, surfaces: tuple[Surface, ...]) -> np.ndarray:
    """The largest field at each voxel of the scene grid."""
    out = np.zeros(scene.size, np.float32)
    for surface in surfaces:
        source, target = [], []
        for c, n, total in zip(surface.corner, surface.field.shape, scene.size):
            low, high = max(0, c), min(total, c + n)
            target.append(slice(low, max(low, high)))
            source.append(slice(low - c, max(low, high) - c))
        part = out[tuple(target)]
        np.maximum(part, surface.field[tuple(source)], out=part)
    return out


def cast(scene: Scene, view: View, pixels: tuple[int, int], pixel_voxels: float, *, body: bool = False) -> Hits:
    """Look at the scene's surfaces (or at its body) along ``view``.

    Args:
        pixels: (rows, columns) of the picture, centred on the grid's centre.
        pixel_voxels: size of a pixel in grid voxels.
    """
    surfaces = (scene.body,) if body and scene.body else scene.surfaces
    union = union_field(scene, surfaces)
    axes = view.axes()
    centre = (np.array(scene.size) - 1) / 2
    rows, columns = pixels
    half = float(np.linalg.norm(scene.size)) / 2 + 2

    start = _coarse_start(union, axes, centre, half)
    u = (np.arange(columns) - (columns - 1) / 2) * pixel_voxels
    v = ((rows - 1) / 2 - np.arange(rows)) * pixel_voxels
    # the coarse map has one entry a voxel with its middle at 0
    iu = np.clip(np.rint(u + half).astype(int), 0, start.shape[0] - 1)
    iv = np.clip(np.rint(v + half).astype(int), 0, start.shape[1] - 1)
    depth = start[np.ix_(iu, iv)].T.copy()  # [rows, columns], nan where nothing lies
    alive = np.flatnonzero(np.isfinite(depth.ravel()))
    base = centre + u[None, :, None] * axes[0] + v[:, None, None] * axes[1]
    base = base.reshape(-1, 3)[alive].astype(np.float32)
    position, hit = _march(union, base, axes[2].astype(np.float32), depth.ravel()[alive].astype(np.float32), half)

    label = np.full(rows * columns, -1, np.int16)
    distance = np.full(rows * columns, np.nan, np.float32)
    colour = np.zeros((rows * columns, 3), np.float32)
    index = alive[hit]
    points = base[hit] + position[hit, None] * axes[2].astype(np.float32)
    which = _nearest_surface(surfaces, points)
    normals = _normals(surfaces, points, which)
    label[index], distance[index] = which, position[hit]
    albedo = np.array([s.colour for s in surfaces], np.float32)[which]
    colour[index] = _shade(albedo, normals @ axes.T.astype(np.float32), _occlusion(union, points, normals), body)
    return Hits(label.reshape(rows, columns), distance.reshape(rows, columns), colour.reshape(rows, columns, 3))


def _coarse_start(union: np.ndarray, axes: np.ndarray, centre: np.ndarray, half: float) -> np.ndarray:
    """For each voxel-sized cell of the picture, the depth just before anything can be hit; nan where nothing is."""
    n = int(np.ceil(2 * half)) + 1
    # The lowered threshold and the neighbourhood below make up for the coarse sampling.
    inverse = axes.T  # picture coordinates -> grid
    offset = centre - inverse @ np.array([half, half, half])
    reduced = ndimage.maximum_filter(union, 3)
    turned = ndimage.affine_transform(reduced, inverse, offset, (n, n, n), order=0, mode="constant", prefilter=False)
    solid = turned[:, :, ::-1] > 0.45  # from the viewer backwards
    first = np.where(solid.any(2), n - 1 - solid.argmax(2) - half, np.nan)
    nearest = ndimage.maximum_filter(np.where(np.isnan(first), -np.inf, first), 3)
    return np.where(np.isfinite(nearest), nearest + 1.5, np.nan)


def _march(
    union: np.ndarray, base: np.ndarray, viewer: np.ndarray, start: np.ndarray, half: float
) -> tuple[np.ndarray, np.ndarray]:
    """Step each ray away from the viewer until the field passes 0.5; returns positions along the ray and who hit."""
    position = start.copy()
    hit = np.zeros(len(start), bool)
    active = np.arange(len(start))
    before = np.zeros(len(start), np.float32)
    while active.size:
        value = sample(union, base[active] + position[active, None] * viewer)
        inside = value >= 0.5
        done = active[inside]
        if done.size:
            slope = value[inside] - before[done]
            back = np.where(slope > 1e-6, (value[inside] - 0.5) / np.maximum(slope, 1e-6), 0)
            position[done] += STEP * np.clip(back, 0, 1)
            hit[done] = True
        active = active[~inside]
        before[active] = value[~inside]
        # far from any surface the field is 0 and smooth over several voxels, so larger steps are safe
        position[active] -= np.where(before[active] < 0.02, 2 * STEP, STEP)
        active = active[position[active] > -half]
    return position, hit


def _nearest_surface(surfaces: tuple[Surface, ...], points: np.ndarray) -> np.ndarray:
    """Index of the surface with the largest field at each point."""
    best = np.full(len(points), -1.0, np.float32)
    which = np.zeros(len(points), np.int16)
    for i, surface in enumerate(surfaces):
        local = points - np.asarray(surface.corner, np.float32)
        near = np.flatnonzero(((local >= 0) & (local <= np.array(surface.field.shape) - 1)).all(1))
        value = sample(surface.field, local[near])
        better = value > best[near]
        best[near[better]], which[near[better]] = value[better], i
    return which


def _normals(surfaces: tuple[Surface, ...], points: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Outward unit normals from the smoothed field of the surface that was hit, [N, 3]."""
    normals = np.zeros((len(points), 3), np.float32)
    for i, surface in enumerate(surfaces):
        mine = np.flatnonzero(which == i)
        local = points[mine] - np.asarray(surface.corner, np.float32)
        for axis in range(3):
            offset = np.zeros(3, np.float32)
            offset[axis] = 1.0
            normals[mine, axis] = sample(surface.soft, local - offset) - sample(surface.soft, local + offset)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-9)


def _occlusion(union: np.ndarray, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Ambient light that reaches each point, 0..1: how full the space just outside the surface is, at two scales."""
    light = np.ones(len(points), np.float32)
    solid = np.minimum(union * 1.2, 1)
    for sigma, weight in ((2.5, 0.55), (7.0, 0.75)):
        blurred = ndimage.zoom(solid, 0.5, order=1) if sigma > 4 else solid
        scale = (np.array(blurred.shape) - 1) / (np.array(solid.shape) - 1)
        blurred = ndimage.gaussian_filter(blurred, sigma * float(scale.mean()))
        value = sample(blurred, (points + sigma * normals) * scale.astype(np.float32))
        light *= 1 - weight * np.clip((value - 0.12) / 0.7, 0, 1)
    return light


def _shade(albedo: np.ndarray, normals: np.ndarray, ambient: np.ndarray, body: bool) -> np.ndarray:
    """Lambert with a key and a fill light, ambient light with occlusion, a soft highlight; normals in picture axes."""
    if body:  # opacity grows towards the silhouette, as in glass
        facing = np.clip(normals[:, 2], 0, 1)
        return np.repeat(((1 - facing) ** 1.8)[:, None], 3, axis=1)
    key, fill = LIGHT / np.linalg.norm(LIGHT), FILL_LIGHT / np.linalg.norm(FILL_LIGHT)
    lambert = np.clip(normals @ key, 0, 1)
    wrapped = np.clip((normals @ fill + 0.3) / 1.3, 0, 1)
    half_way = key + np.array([0.0, 0.0, 1.0])
    highlight = np.clip(normals @ (half_way / np.linalg.norm(half_way)), 0, 1) ** 38
    rim = np.clip(1 - normals[:, 2], 0, 1) ** 3
    linear = albedo**2.2
    light = 0.80 * lambert * (0.45 + 0.55 * ambient) + 0.16 * wrapped * ambient + 0.26 * ambient
    out = linear * light[:, None] + (0.16 * highlight * ambient)[:, None] + (0.05 * rim * ambient)[:, None]
    return np.clip(out, 0, 1) ** (1 / 2.2)
