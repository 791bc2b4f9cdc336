"""An image file whose header has been read and checked: its grid, and its voxels when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rep3d.data.nifti_header import NiftiHeader
from rep3d.data.volume import Geometry, Volume
from rep3d.errors import BadInput
from rep3d.io.header import check_frames, check_grid
from rep3d.io.stored import Stored, check_memory, read_voxels

SLAB = 1 << 22  # values that are scaled at a time


@dataclass(frozen=True)
class ImageFile:
    """One value a voxel on a grid.

    size: of all dimensions, three or more. geometry: of the first three. scale: slope and intercept of the stored
    values, None where they are the image's. warnings: what the header leaves open.
    """

    path: Path
    stored: Stored
    size: tuple[int, ...]
    geometry: Geometry
    warnings: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    nifti: NiftiHeader | None = None

    def read(self) -> Volume:
        """The volume. Raises BadInput for more than three dimensions and damaged voxels, OutOfMemory."""
        check_frames(self.path, self.size)
        array, more = self._array()
        return self._volume(array.reshape(self.size[:3], order="F"), more)

    def read_channel(self, channel: int) -> Volume:
        """One volume of four dimensions. Raises BadInput where there is none, OutOfMemory."""
        if len(self.size) != 4:
            raise BadInput(
                f"{self.path}: {len(self.size)} dimensions, where 4 (with channels) are announced.",
                "Leave --channel out.",
            )
        if not 0 <= channel < self.size[3]:
            raise BadInput(f"{self.path}: there is no channel {channel}; it has {self.size[3]}.", "Count from 0.")
        array, more = self._array()
        return self._volume(array.reshape(self.size, order="F")[..., channel].copy(order="F"), more)

    def verify(self) -> None:
        """Read everything and keep nothing. Raises BadInput, OutOfMemory as reading does."""
        self._array()

    def _array(self) -> tuple[np.ndarray, list[str]]:
        check_grid(self.path, self.geometry)
        values, more = read_voxels(self.stored)
        return (values if self.scale is None else self._scaled(values)), more

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        """slope * value + intercept in double precision; whole numbers become float32, as ITK has them."""
        slope, intercept = self.scale
        kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float32)
        if kind != values.dtype:
            check_memory(self.path, values.size * kind.itemsize, self.size)
        out = np.empty(values.size, kind)
        for i in range(0, values.size, SLAB):
            part = values[i : i + SLAB].astype(kind, copy=False).astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                out[i : i + SLAB] = part * slope + intercept
        return out

    def _volume(self, array: np.ndarray, more: list[str]) -> Volume:
        warnings = (*self.warnings, *more)
        return Volume(array, self.geometry.affine_ras, self.geometry, self.path, warnings, nifti=self.nifti)
