"""Maps of floats (kernels with taps as voxels, receptive fields in the patient) as NIfTI or NRRD with provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.files import atomic_path, write_text
from rep3d.inference.nifti_writer import write_nifti
from rep3d.inference.nrrd_writer import write_nrrd

MAP_FORMATS = ("nii.gz", "nii", "nrrd")


def map_format(path: str | Path) -> str:
    """The format that a name asks for. Raises BadInput for another one."""
    name = Path(path).name.lower()
    for fmt in MAP_FORMATS:
        if name.endswith("." + fmt) and len(name) > len(fmt) + 1:
            return fmt
    raise BadInput(f"{path}: no format for maps has this ending", f"Use {', '.join(MAP_FORMATS)}.")


def write_map(path: str | Path, map_XYZ: np.ndarray, grid: Volume, description: str, record: dict[str, Any]) -> Path:
    """Write a float32 map on the grid of ``grid``, and ``record`` as JSON beside it; both atomically.

    NRRD carries the whole record in its header as well (key ``rep3d``); NIfTI has room for the description alone.
    Returns the path of the JSON file. Raises BadInput (format) and OutputFailed.
    """
    path, fmt = Path(path), map_format(path)
    if map_XYZ.shape != grid.shape:
        raise ValueError(f"a map of {map_XYZ.shape} voxels does not fit a grid of {grid.shape}")
    values = np.asarray(map_XYZ, np.float32)
    with atomic_path(path) as temporary:
        if fmt == "nrrd":
            text = json.dumps(record, ensure_ascii=True, sort_keys=True)
            write_nrrd(temporary, values, grid, {"description": description, "rep3d": text})
        else:
            write_nifti(temporary, values, grid, description)
    side = path.with_name(path.name[: -len(fmt) - 1] + ".json")
    write_text(side, json.dumps({"map": path.name, "description": description, **record}, indent=1) + "\n")
    return side


def kernel_grid(kernel: tuple[int, int, int], pitch_mm: tuple[float, float, float]) -> Volume:
    """A grid with one voxel a tap, as large as the taps are in the patient, axes RAS+, the centre tap at the origin."""
    affine = np.diag([*pitch_mm, 1.0])
    affine[:3, 3] = [-(k // 2) * mm for k, mm in zip(kernel, pitch_mm)]
    return Volume(np.broadcast_to(np.float32(0), kernel), affine)
