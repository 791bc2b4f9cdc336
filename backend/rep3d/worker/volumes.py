"""A volume that came with a request: mapped from its file, checked like one that is read from disk."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.data.nifti_header import SHEAR_TOLERANCE
from rep3d.data.preprocess import network_grid, ras_grid
from rep3d.data.reading import replace_not_finite
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.inference import checks
from rep3d.weights import WeightsMeta
from rep3d.worker.job import Job
from rep3d.worker.protocol import ProtocolError

_HARDEN = "Harden its transform and resample it to a regular grid first (in 3D Slicer: Crop Volume or Resample)."


def map_volume(job: Job, spec: dict[str, Any]) -> Volume:
    """The volume of ``{array, affine, name}``, its voxels [X, Y, Z] left in the file until they are needed.

    Raises:
        ProtocolError: no such array, or not one of numpy's. BadInput: not one 3D volume of real numbers on a grid.
    """
    path = job.input_path(spec["array"])
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError from error
        raise ProtocolError(f"{path.name} is not a whole .npy file that can be mapped: {error}") from error
    name = spec["name"] or "The volume"
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{name}: its values are no real numbers ({array.dtype}).", "Choose a scalar volume.")
    check_size(name, array.shape)
    return Volume(array, check_affine(name, spec["affine"]), path=Path(name))


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Three axes of at least two voxels, else BadInput."""
    shown = " x ".join(map(str, shape))
    if len(shape) != 3:
        raise BadInput(f"{name}: {len(shape)} dimensions ({shown}); one 3D volume is needed.")
    if min(shape) < 2:
        raise BadInput(f"{name}: a single slice ({shown}); a volume is needed.", "Choose the whole stack.")


def check_affine(name: str, values: list[list[float]]) -> np.ndarray:
    """The 4x4 voxel-to-RAS matrix of a grid with positive voxel size and axes at right angles, else BadInput."""
    affine = np.array(values, float)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if np.any(affine[3] != [0, 0, 0, 1]):
        raise BadInput(f"{name}: the last row of its affine is {affine[3].tolist()}, not 0 0 0 1.", _HARDEN)
    if not np.all(np.isfinite(affine)) or spacing.min() < 1e-6 or spacing.max() > 1e6:
        raise BadInput(f"{name}: the voxel size {spacing.tolist()} mm cannot be used.")
    unit = affine[:3, :3] / spacing
    if np.abs(unit.T @ unit - np.eye(3)).max() > SHEAR_TOLERANCE:
        raise BadInput(f"{name}: its axes are not at right angles.", _HARDEN)
    return affine


def check_memory(volume: Volume, meta: WeightsMeta) -> None:
    """Raise OutOfMemory if not even preparing fits; before any voxel is touched."""
    native, _ = ras_grid(volume.shape, volume.affine)
    network, _ = network_grid(volume.shape, volume.affine, meta.spacing_mm)
    what = f"{volume.path}: segmenting {' x '.join(map(str, volume.shape))} voxels"
    checks.check_memory(checks.prepare_bytes(native, network) + volume.array.size, what)


def finite(volume: Volume) -> Volume:
    """The volume without NaN and infinities, with a warning for them. Raises BadInput for a constant one."""
    array, warnings = replace_not_finite(volume.array, volume.path or "The volume")
    low, high = array.min(), array.max()
    if low == high:
        raise BadInput(f"{volume.path}: every voxel is {low:g}.", "Choose a volume that shows a scan.")
    return replace(volume, array=array, warnings=(*volume.warnings, *warnings))
