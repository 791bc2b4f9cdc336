"""Structures as smooth occupancy fields on one isotropic grid, ready to be looked at from any side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from rep3d.data.preprocess import resample_array, to_ras
from rep3d.data.volume import Volume
from rep3d.figures import style

if TYPE_CHECKING:
    from rep3d.tasks import Task

GRID_VOXELS = 190  # along the longest side of what is shown
SMOOTHING = 0.9  # standard deviation in grid voxels
MARGIN = 4


@dataclass(frozen=True)
class Surface:
    """One structure: ``field`` [x, y, z] is 0.5 on its surface, higher inside; ``corner`` is its place in the scene.

    ``soft`` is the field once more smoothed, for normals.
    """

    colour: tuple[float, float, float]
    field: np.ndarray
    soft: np.ndarray
    corner: tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """Surfaces on an RAS+ grid of ``size`` voxels of ``spacing_mm``; ``body`` is the skin, drawn as a ghost."""

    surfaces: tuple[Surface, ...]
    size: tuple[int, int, int]
    spacing_mm: float
    body: Surface | None


def build_scene(labels: Volume, task: Task, scan: Volume | None = None) -> Scene | None:
    """Fields of every label of the task that is present; None when there is none.

    Args:
        labels: label map, any orientation. task: colours.
        scan: CT of the same grid whose body outline is to be shown as well.
    """
    ras = to_ras(labels)
    spacing = np.asarray(ras.spacing_mm)
    array = ras.array
    boxes = ndimage.find_objects(array)  # one pass, however many labels
    present = [label for label in task.labels if label.value <= len(boxes) and boxes[label.value - 1] is not None]
    if not present:
        return None
    skin = _body(to_ras(scan)) if scan is not None else None
    # Extent in mm from the outer corner of the label map's first voxel.
    corners = [np.array([[s.start, s.stop] for s in boxes[label.value - 1]]).T * spacing for label in present]
    if skin is not None:
        skin_mask, skin_spacing = skin
        box = ndimage.find_objects(skin_mask.astype(np.uint8))[0]
        corners.append(np.array([[s.start, s.stop] for s in box]).T * skin_spacing)
    low_mm, high_mm = np.min([c[0] for c in corners], axis=0), np.max([c[1] for c in corners], axis=0)
    iso = max(float((high_mm - low_mm).max()) / GRID_VOXELS, 0.35 * float(spacing.min()))
    size = tuple(int(np.ceil(e / iso)) + 2 * MARGIN for e in high_mm - low_mm)
    surfaces = []
    for label in present:
        box = boxes[label.value - 1]
        start_mm = np.array([s.start for s in box]) * spacing - low_mm
        surfaces.append(_surface(array[box] == label.value, style.rgb(label), spacing, iso, start_mm, SMOOTHING))
    body = None
    if skin is not None:
        body = _surface(skin_mask, (0.72, 0.80, 0.88), skin_spacing, iso, -low_mm, 2.0)
    return Scene(tuple(surfaces), size, iso, body)


def _surface(
    mask: np.ndarray,
    colour: tuple[float, float, float],
    spacing: np.ndarray,
    iso: float,
    start_mm: np.ndarray,
    sigma: float,
) -> Surface:
    """The smoothed field of a mask whose outer corner lies ``start_mm`` from that of the scene (without its margin)."""
    pad_mm = (np.ceil(4 * sigma) + 2) * iso
    pads = [int(np.ceil(pad_mm / mm)) for mm in spacing]
    crop = np.pad(mask, [(p, p) for p in pads]).astype(np.float32)
    field = resample_array(crop, tuple(spacing), (iso,) * 3)
    # Smooth over the larger of the grid and the scan's own voxels, so that coarse slices do not show as steps.
    field = ndimage.gaussian_filter(field, [max(sigma, 0.55 * mm / iso) for mm in spacing])
    field = (field * (0.5 / _volume_keeping_level(field, mask, spacing, iso))).astype(np.float32)
    # Both grids share their centre; from it follows where the field's first voxel lies in the scene's voxels.
    centre_mm = start_mm + np.array(mask.shape) / 2 * spacing
    first = centre_mm / iso - np.array(field.shape) / 2 + MARGIN
    whole = np.round(first).astype(int)
    field = ndimage.shift(field, first - whole, order=1, mode="constant")
    return Surface(colour, field, ndimage.gaussian_filter(field, 1.0), tuple(int(w) for w in whole))


def _volume_keeping_level(field: np.ndarray, mask: np.ndarray, spacing: np.ndarray, iso: float) -> float:
    """The level whose inside has the mask's volume: smoothing must not make thin structures vanish."""
    voxels = round(float(mask.sum()) * float(np.prod(spacing)) / iso**3)
    voxels = min(max(voxels, 1), field.size - 1)
    level = float(np.partition(field, field.size - voxels, axis=None)[field.size - voxels])
    return float(np.clip(level, 0.12, 0.5))


def _body(ct: Volume) -> tuple[np.ndarray, np.ndarray] | None:
    """Largest connected part above -350 HU, holes filled slice by slice, on every n-th voxel; None if it is no body.

    Returns the mask and its spacing in mm.
    """
    steps = [max(1, int(2.5 // mm)) for mm in ct.spacing_mm]
    coarse = ct.array[tuple(slice(s // 2, None, s) for s in steps)]
    parts, count = ndimage.label(ndimage.binary_opening(coarse > -350))
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    body = parts == int(sizes.argmax())
    for z in range(body.shape[2]):
        body[:, :, z] = ndimage.binary_fill_holes(body[:, :, z])
    return (body, np.asarray(ct.spacing_mm) * steps) if body.mean() > 0.02 else None
