"""What the headers of all formats have in common: a grid of one value a voxel in three dimensions, or a clear error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rep3d.data.volume import Geometry
from rep3d.errors import BadInput

SHEAR_TOLERANCE = 1e-3  # cosine between two axes; float32 headers of orthogonal grids stay below 1e-5
CORRECT = "Correct the header and try again."
RESAMPLE = "Resample the image to a regular grid first."
#: Millimetres in a unit of length, by the names that headers give it.
MILLIMETRES = {"mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001}
#: What a header may leave open, and what is then assumed, as 3D Slicer does.
ORIENTATION = ("orientation", "axes to the patient's left, back and head (left and right may be swapped)")
VOXEL_SIZE = ("voxel size", "1 mm")
PLACE = ("position", "(0, 0, 0)")
BYTE_ORDER = ("byte order", "little-endian")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}\Z")
_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\Z")


def check_frames(path: Path, size: Sequence[int], components: int = 1) -> None:
    """One scalar volume with at least two voxels along every axis, else BadInput."""
    if components != 1:
        what = "colour image" if components in (3, 4) else "vector image"
        raise BadInput(
            f"{path}: a {what} ({components} values a voxel); one value a voxel is needed.",
            "Convert it to one channel, or choose the scan instead of a picture or label overlay.",
        )
    if any(n > 1 for n in size[3:]):
        raise BadInput(
            f"{path}: {len(size)} dimensions ({' x '.join(map(str, size))}); one 3D volume is needed.",
            "Extract one time point or channel first.",
        )
    if min([*size[:3], *[1] * (3 - len(size))]) == 1:
        raise BadInput(
            f"{path}: a single slice ({' x '.join(map(str, size))}); a volume is needed.",
            "Give the whole stack: for DICOM, the folder of the series.",
        )


def check_grid(path: Path, geometry: Geometry) -> None:
    """Positive voxel sizes, axes at right angles, a finite position, else BadInput."""
    if not np.all(np.isfinite(geometry.spacing)) or min(geometry.spacing) <= 0:
        shown = ", ".join(f"{s:g}" for s in geometry.spacing)
        raise BadInput(f"{path}: the voxel size ({shown} mm) must be positive.", CORRECT)
    direction = np.asarray(geometry.direction).reshape(3, 3)
    if not np.all(np.isfinite(direction)) or not np.all(np.isfinite(geometry.origin)):
        raise BadInput(f"{path}: the position or direction of the image is not a finite number.", CORRECT)
    if np.abs(direction.T @ direction - np.eye(3)).max() > SHEAR_TOLERANCE:
        raise BadInput(f"{path}: the axes are not at right angles.", RESAMPLE)


def whole(path: Path, field: str, text: str, low: int, high: int) -> int:
    """An integer of a header field within bounds. Raises BadInput."""
    if not _WHOLE.match(text) or not low <= int(text) <= high:
        raise BadInput(f"{path}: the header's {field} is {short(text)}, where {low} to {high} is possible.", CORRECT)
    return int(text)


def real(path: Path, field: str, text: str) -> float:
    """A number of a header field; NaN and infinity are numbers here. Raises BadInput."""
    if _REAL.match(text) or text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return float(text)
    raise BadInput(f"{path}: the header's {field} holds {short(text)}, which is not a number.", CORRECT)


def wrong(path: Path, field: str, text: str, why: str = "which is not known") -> BadInput:
    """The error for a header field that cannot be used."""
    return BadInput(f"{path}: the header's {field} is {short(text)}, {why}.", CORRECT)


def short(text: str) -> str:
    """A value of a header as messages show it."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def assumed(missing: Sequence[tuple[str, str]]) -> list[str]:
    """One warning about all that a header leaves open; ``missing``: what, and what was assumed for it."""
    if not missing:
        return []
    whats, values = (" and ".join(filter(None, [", ".join(v[:-1]), v[-1]])) for v in zip(*missing, strict=True))
    return [f"The header does not give the {whats}; assumed: {values}."]


def not_an_image(path: Path) -> BadInput:
    """The error for a file that no reader knows."""
    return BadInput(
        f"{path}: not an image that can be read (or a damaged one).", "Rep3D reads NIfTI, NRRD, MHA/MHD and DICOM."
    )
