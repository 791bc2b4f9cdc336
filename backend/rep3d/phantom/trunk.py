"""Complete an anatomy: what label maps leave out of a trunk. Discs, diaphragm, abdominal wall, fat and skin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from rep3d.phantom.anatomy import STEP_MM, Anatomy
from rep3d.phantom.fields import SmoothField
from rep3d.phantom.grid import Grid
from rep3d.phantom.structures import Structure

#: The body's outline is worked out on every fourth voxel.
_COARSE = 4
#: Thickest fat under the skin, mm: as far as the grid is widened.
MARGIN_MM = 60.0


def complete(anatomy: Anatomy, rng: np.random.Generator) -> Anatomy:
    """Fill a trunk from the outside in: skin, fat, muscle wall, inner fat; then what lies between bones and lungs.

    Args:
        anatomy: a whole trunk of labelled structures.
        rng: decides the thickness of fat and wall, and where it varies.
    """
    pad = int(MARGIN_MM / STEP_MM)
    codes = np.pad(anatomy.codes, ((pad, pad), (pad, pad), (0, 0)))
    origin = anatomy.origin - STEP_MM * pad * np.array([1, 1, 0])
    depth = _depth_below_hull(codes)
    grid = Grid(codes.shape, _affine(origin))
    vary = SmoothField.draw(rng, 70.0).sample(grid)
    sides = np.linspace(-1, 1, codes.shape[1], dtype=np.float32)[None, :, None]  # back to front
    fat = float(np.clip(rng.gamma(2.2, 7.0), 3.0, 42.0))
    belly = float(rng.uniform(-0.25, 0.6))
    outer = fat * np.clip(1 + 0.25 * vary + belly * sides, 0.35, 2.0)
    wall = float(rng.uniform(4.0, 9.0)) * np.clip(1 + 0.3 * vary, 0.5, 1.6)
    free = codes == Structure.AIR
    new = np.select(
        [depth > outer + wall + 2.2, depth > outer + wall, depth > wall, depth > -2.0],
        [Structure.AIR, Structure.SKIN, Structure.OUTER_FAT, Structure.WALL],
        Structure.INNER_FAT,
    ).astype(np.uint8)
    codes = np.where(free, new, codes)
    _between(codes, Structure.VERTEBRA, Structure.DISC, 7, (Structure.INNER_FAT,))
    _between(codes, Structure.RIB, Structure.WALL, 9, (Structure.INNER_FAT, Structure.OUTER_FAT, Structure.WALL))
    _add_diaphragm(codes)
    return replace(anatomy, codes=codes, origin=origin)


def _affine(origin: np.ndarray) -> np.ndarray:
    affine = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    affine[:3, 3] = origin
    return affine


def _depth_below_hull(codes: np.ndarray) -> np.ndarray:
    """Distance in mm outwards (inwards negative) from the smoothed convex hulls of the axial slices, float32."""
    coarse = codes[::_COARSE, ::_COARSE, ::_COARSE] > 0
    inside = np.zeros(coarse.shape, dtype=np.float32)
    grid = np.stack(np.meshgrid(*map(np.arange, coarse.shape[:2]), indexing="ij"), axis=-1).reshape(-1, 2)
    thick = ndimage.maximum_filter1d(coarse, 5, axis=2)  # slices near the ends of the scan show little
    for z in range(coarse.shape[2]):
        points = np.argwhere(thick[:, :, z])
        try:
            hull = ConvexHull(points)
        except (QhullError, ValueError):
            continue
        within = (grid @ hull.equations[:, :2].T + hull.equations[:, 2] <= 1e-6).all(axis=1)
        inside[:, :, z] = within.reshape(coarse.shape[:2])
    step = STEP_MM * _COARSE
    signed = ndimage.distance_transform_edt(inside < 0.5) - ndimage.distance_transform_edt(inside >= 0.5)
    signed = ndimage.gaussian_filter((signed * step).astype(np.float32), (1.0, 1.0, 2.0))
    factor = np.array(codes.shape) / np.array(coarse.shape)
    return ndimage.affine_transform(signed, 1 / factor, output_shape=codes.shape, order=1, mode="nearest")


def _between(codes: np.ndarray, of: Structure, new: Structure, reach: int, over: tuple[Structure, ...]) -> None:
    """Fill what lies between parts of one structure along the body (discs, the space between ribs)."""
    mask = codes == of
    if not mask.any():
        return
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    part = mask[box]
    up = ndimage.maximum_filter1d(part, 2 * reach + 1, axis=2, origin=reach)
    down = ndimage.maximum_filter1d(part, 2 * reach + 1, axis=2, origin=-reach)
    codes[box][up & down & np.isin(codes[box], over)] = new


def _add_diaphragm(codes: np.ndarray) -> None:
    """A sheet of muscle between the lungs and what lies below them."""
    lung = codes == Structure.LUNG
    below = np.zeros_like(lung)
    below[:, :, :-2] = lung[:, :, 2:]
    codes[below & np.isin(codes, (Structure.INNER_FAT, Structure.WALL))] = Structure.DIAPHRAGM
