"""A volume in memory and the grid it lives on; the one place where SimpleITK's LPS meets the package's RAS."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk

    from rep3d.data.nifti_header import NiftiHeader
    from rep3d.io.dicom.series import DicomSeries

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
SAME_GRID_VOXELS = 0.25  # see same_grid


@dataclass(frozen=True)
class Geometry:
    """The grid of an image in SimpleITK's terms: LPS millimetres, direction row-major (9 floats)."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def from_sitk(cls, image: sitk.Image) -> Geometry:
        """The grid of a three-dimensional SimpleITK image."""
        return cls(
            tuple(int(n) for n in image.GetSize()),
            tuple(float(s) for s in image.GetSpacing()),
            tuple(float(o) for o in image.GetOrigin()),
            tuple(float(d) for d in image.GetDirection()),
        )

    @classmethod
    def from_affine(cls, affine_ras: np.ndarray, size: tuple[int, int, int]) -> Geometry:
        """The grid with this voxel-to-RAS affine; the affine must have no shear."""
        matrix_lps = LPS_TO_RAS @ affine_ras[:3, :3]
        spacing = np.linalg.norm(matrix_lps, axis=0)
        origin = LPS_TO_RAS @ affine_ras[:3, 3]
        return cls(
            tuple(int(n) for n in size),
            tuple(map(float, spacing)),
            tuple(map(float, origin)),
            tuple(map(float, (matrix_lps / spacing).ravel())),
        )

    @property
    def affine_ras(self) -> np.ndarray:
        """4x4 float64: voxel index (x, y, z) to RAS millimetres."""
        affine = np.eye(4)
        affine[:3, :3] = LPS_TO_RAS @ (np.asarray(self.direction).reshape(3, 3) * np.asarray(self.spacing))
        affine[:3, 3] = LPS_TO_RAS @ np.asarray(self.origin)
        return affine

    def apply_to(self, image: sitk.Image) -> None:
        """Give ``image`` this grid (its size must already fit)."""
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)


@dataclass(frozen=True)
class Volume:
    """Voxels [X, Y, Z] with their voxel-to-RAS affine (4x4, millimetres).

    ``geometry`` is the native grid when the volume came from a file; ``nifti`` and ``dicom`` keep what a writer needs
    to put a result on that very grid (header fields of a NIfTI file, the slices of a DICOM series); ``warnings`` are
    sentences for the user about what reading had to assume or repair.
    """

    array: np.ndarray
    affine: np.ndarray
    geometry: Geometry | None = None
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    nifti: NiftiHeader | None = field(default=None, repr=False)
    dicom: DicomSeries | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size (x, y, z) in voxels."""
        return tuple(self.array.shape)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each array axis in millimetres."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def grid(self) -> Geometry:
        """The grid of the array: ``geometry`` if known, else derived from the affine."""
        return self.geometry or Geometry.from_affine(self.affine, self.shape)

    def with_array(self, array: np.ndarray) -> Volume:
        """The same grid with other voxels (same shape)."""
        if array.shape != self.array.shape:
            raise ValueError(f"array of shape {array.shape} does not fit the grid {self.array.shape}")
        return replace(self, array=array)


def same_grid(a: Geometry | Volume, b: Geometry | Volume, fraction: float = SAME_GRID_VOXELS) -> bool:
    """Whether two grids are one: the same size, and no corner further apart than ``fraction`` of a voxel.

    What counts is how far a corner moves, because a small angle or a small difference in voxel size matters in a large
    volume only.
    """
    return grid_distance(a, b) <= fraction


def grid_distance(a: Geometry | Volume, b: Geometry | Volume) -> float:
    """How far the corners of two grids lie apart: the largest distance in voxels (the smallest edge of both).

    Infinite for grids of another size.
    """
    a, b = (grid.grid if isinstance(grid, Volume) else grid for grid in (a, b))
    if tuple(a.size) != tuple(b.size):
        return float("inf")
    corners = np.array([(*corner, 1.0) for corner in product(*((0, n - 1) for n in a.size))])
    moved = np.linalg.norm((corners @ (a.affine_ras - b.affine_ras).T)[:, :3], axis=1).max()
    return float(moved / min(*a.spacing, *b.spacing))


def to_sitk(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    """A SimpleITK image on ``geometry`` from an array [X, Y, Z]."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    geometry.apply_to(image)
    return image
