"""Distances between the surfaces of two masks, each surface element weighted by its area.

The surface is made of one element for every 2 x 2 x 2 neighbourhood of voxel centres that is neither all inside nor all
outside; it lies at the corner that the eight voxels share and has the area of the marching-cubes surface there, for the
scan's own spacing (Nikolov et al., J Med Internet Res 2021;23(7):e26151). Outside the volume is outside the mask, so
objects at its border are closed.

Distances come from a k-d tree over the elements: memory follows the surface and not the volume, however far apart the
two masks are.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from rep3d.runtime.packages import need

Triple = tuple[float, float, float]
#: Share of a tolerance that rounding may add to a distance: 3 x 0.1 mm lies within 0.3 mm.
SLACK = 1e-9


@dataclass(frozen=True)
class Surface:
    """Elements of one mask's surface: corners [N, 3] (int64, in voxels of the volume) and areas [N] in mm^2."""

    corners: np.ndarray
    areas: np.ndarray
    spacing_mm: Triple

    def __len__(self) -> int:
        return len(self.areas)


@dataclass(frozen=True)
class SurfaceDistances:
    """For each surface element, the distance in mm to the nearest of the other mask's, with its area in mm^2.

    ``pred_mm`` and ``truth_mm`` [N], [M] are sorted, smallest first; both are empty where a mask is empty.
    """

    pred_mm: np.ndarray
    pred_areas: np.ndarray
    truth_mm: np.ndarray
    truth_areas: np.ndarray

    @property
    def defined(self) -> bool:
        """Whether both masks have a surface."""
        return len(self.pred_mm) > 0 and len(self.truth_mm) > 0

    def nsd(self, tolerance_mm: float) -> float:
        """Normalised surface distance: area of both surfaces within the tolerance of the other, over all area."""
        if not self.defined:
            return math.nan
        reach = tolerance_mm * (1 + SLACK)
        near = self.pred_areas[self.pred_mm <= reach].sum() + self.truth_areas[self.truth_mm <= reach].sum()
        return float(near / (self.pred_areas.sum() + self.truth_areas.sum()))

    def hausdorff(self, percent: float = 95.0) -> float:
        """The larger of the two directed percentiles of distance (by area) in mm; nan where a mask is empty."""
        if not self.defined:
            return math.nan
        return max(
            _percentile(self.pred_mm, self.pred_areas, percent), _percentile(self.truth_mm, self.truth_areas, percent)
        )

    def average(self) -> float:
        """Average symmetric surface distance in mm: mean by area over both surfaces; nan where a mask is empty."""
        if not self.defined:
            return math.nan
        total = self.pred_mm @ self.pred_areas + self.truth_mm @ self.truth_areas
        return float(total / (self.pred_areas.sum() + self.truth_areas.sum()))


def extract_surface(mask: np.ndarray, spacing_mm: Triple, start: tuple[int, int, int] = (0, 0, 0)) -> Surface:
    """The surface of ``mask`` [X, Y, Z] bool, which may be a crop that begins at voxel ``start`` of the volume."""
    inside = np.pad(mask, 1)
    size = tuple(n - 1 for n in inside.shape)
    code = np.zeros(size, np.uint8)
    for a in (0, 1):
        for b in (0, 1):
            for c in (0, 1):
                corner = inside[a : a + size[0], b : b + size[1], c : c + size[2]]
                code |= np.left_shift(corner, 7 - (4 * a + 2 * b + c), dtype=np.uint8)
    found = np.nonzero((code != 0) & (code != 255))
    corners = np.stack(found, axis=1).astype(np.int64) + np.asarray(start, np.int64)
    return Surface(corners, _areas(tuple(map(float, spacing_mm)))[code[found]], tuple(map(float, spacing_mm)))


@functools.lru_cache(maxsize=32)
def _areas(spacing_mm: Triple) -> np.ndarray:
    """Area in mm^2 for each of the 256 neighbourhoods; bit 7 - (4a + 2b + c) is the voxel at (a, b, c) [256]."""
    need("surfaces")
    from monai.metrics.utils import create_table_neighbour_code_to_surface_area

    return create_table_neighbour_code_to_surface_area(spacing_mm)[0].double().numpy()


def nearest_mm(of: Surface, to: Surface) -> np.ndarray:
    """Distance in mm from every element of ``of`` to the nearest one of ``to`` [len(of)]; inf if ``to`` is empty."""
    if not len(to):
        return np.full(len(of), np.inf)
    spacing = np.asarray(of.spacing_mm)
    # The corners lie on a lattice: trees that are split at the middle are built faster and answer as fast.
    tree = cKDTree(to.corners * spacing, balanced_tree=False, compact_nodes=False)
    index = tree.query(of.corners * spacing)[1]
    # Again from whole voxels, because the difference of two large coordinates would round.
    return np.sqrt((((of.corners - to.corners[index]) * spacing) ** 2).sum(1))


def surface_distances(pred: Surface, truth: Surface) -> SurfaceDistances:
    """Both directed lists of distances between the surfaces of a prediction and its truth."""
    if not len(pred) or not len(truth):
        return SurfaceDistances(*[np.zeros(0)] * 4)
    return SurfaceDistances(
        *_sorted(nearest_mm(pred, truth), pred.areas), *_sorted(nearest_mm(truth, pred), truth.areas)
    )


def _sorted(values: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(values, kind="stable")
    return values[order], areas[order]


def _percentile(values: np.ndarray, areas: np.ndarray, percent: float) -> float:
    """The first sorted value up to which at least ``percent`` of the area lies."""
    share = np.cumsum(areas) / areas.sum()
    return float(values[min(np.searchsorted(share, percent / 100 * (1 - SLACK)), len(values) - 1)])
