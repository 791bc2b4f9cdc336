"""The fields of a NIfTI header, and the checks that the usual reader leaves out.

The ITK reader takes a zero or NaN voxel size (it becomes 1) and a sheared sform beside a valid qform (the qform is
taken in silence). A result must lie on exactly the input's grid for every reader, so the geometry fields are also kept
to be written back as they were.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rep3d.errors import BadInput
from rep3d.io.header import CORRECT, SHEAR_TOLERANCE
from rep3d.io.stored import first_bytes

SPACING_TOLERANCE = 0.01  # relative difference of the two voxel sizes that a header holds
POSITION_MM = 0.1  # qform and sform that place a corner further apart than this, and than they can tell, differ
MOST_OFFSET = 1 << 31  # before the voxels there are extensions: notes, never gigabytes
QUATERNION = 2.0**-23  # how far b^2 + c^2 + d^2 may be off, for three numbers that are rounded to float32
DTYPES = {
    2: "u1", 256: "i1", 4: "i2", 512: "u2", 8: "i4", 768: "u4", 1024: "i8", 1280: "u8", 16: "f4", 64: "f8",
}  # fmt: skip
COLOURS = {128: 3, 2304: 4}
COMPLEX = {32, 1792, 2048}


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI-1 header says of the grid (all numbers as stored)."""

    size: tuple[int, ...]
    pixdim: tuple[float, ...]  # 8 values, the first is the handedness of the qform
    data_offset: float
    scale: tuple[float, float]  # slope and intercept
    qform_code: int
    sform_code: int
    quaternion: tuple[float, float, float]
    qoffset: tuple[float, float, float]
    sform: tuple[float, ...]  # 12 values, three rows
    units: int
    datatype: int
    order: str  # "<" little-endian or ">" big-endian
    data_file: Path | None = None  # where the voxels are, for a pair of .hdr and .img

    @property
    def step(self) -> float:
        """How far apart the values of whole numbers lie that a scale turns to fractions; 0 where it does not."""
        slope = abs(self.scale[0])
        return slope if self.datatype not in (16, 64) and math.isfinite(slope) else 0.0

    def sform_columns(self) -> np.ndarray | None:
        """The three axis vectors of the sform as columns [3, 3], None if the header has no sform."""
        return np.asarray(self.sform).reshape(3, 4)[:, :3] if self.sform_code > 0 else None

    def two_positions(self) -> bool:
        """Whether qform and sform are both valid and place a corner of the volume at two places.

        A quaternion's first number follows from the other three; near half a turn their rounding to float32 leaves it,
        and so the position of a corner, open by some tenths of a millimetre.
        """
        if self.qform_code <= 0 or self.sform_code <= 0:
            return False
        from scipy.spatial.transform import Rotation  # a third of a second that other headers do without

        vector = np.asarray(self.quaternion, float)
        square = 1 - float(vector @ vector)
        first = math.sqrt(square) if square > QUATERNION else 0.0  # NIfTI's own rule for half a turn
        handedness = -1.0 if self.pixdim[0] < 0 else 1.0
        rotation = Rotation.from_quat([*vector, first]).as_matrix()
        qform = np.column_stack([rotation * self.pixdim[1:4] * [1, 1, handedness], self.qoffset])
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
        corners[:, :3] *= np.asarray(self.size[:3]) - 1
        apart = np.linalg.norm(corners @ (np.asarray(self.sform).reshape(3, 4) - qform).T, axis=1).max()
        open_angle = 2 * min(QUATERNION / (2 * first) if first else math.inf, math.sqrt(QUATERNION))
        diagonal = np.linalg.norm(corners[-1, :3] * self.pixdim[1:4])
        unit = {1: 1000.0, 3: 0.001}.get(self.units & 0x07, 1.0)  # metres and microns to millimetres
        return bool(apart * unit > POSITION_MM + open_angle * diagonal * unit)


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """The header of ``path`` (one file, or either file of a pair .hdr and .img), None if it is no NIfTI-1.

    Raises:
        BadInput: NIfTI-2, a pair without its other file, or Analyze 7.5, whose header does not tell left from right.
    """
    header_file = path
    if path.name.lower().endswith((".img", ".img.gz")):
        header_file = _partner(path, ".hdr") or path
    raw, _ = first_bytes(header_file, 544)
    if len(raw) < 348:
        return None
    for order in "<>":
        (kind,) = struct.unpack_from(order + "i", raw, 0)
        if kind == 540 and raw[4:6] == b"n+":
            raise BadInput(f"{path}: a NIfTI-2 file, which SimpleITK cannot read.", "Convert it to NIfTI-1 (.nii.gz).")
        if kind != 348:
            continue
        if raw[344:347] == b"n+1":
            return _parse(raw, order, None)
        if header_file.name.lower().endswith((".hdr", ".hdr.gz")):
            if raw[344:347] != b"ni1":
                raise BadInput(
                    f"{path}: an Analyze 7.5 file, which does not say which side is left.",
                    "Convert it to NIfTI (.nii.gz) with a program that knows how it was made.",
                )
            data_file = _partner(header_file, ".img")
            if data_file is None:
                raise BadInput(f"{path}: the .img file with the voxels is missing.", "Keep both files in one folder.")
            return _parse(raw, order, data_file)
    return None


def _partner(path: Path, suffix: str) -> Path | None:
    """The other file of a pair: the same name with ``suffix``, compressed or not, or None."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    candidates = [path.with_name(name[:-4] + end) for end in (suffix, suffix + ".gz", suffix.upper())]
    return next((c for c in candidates if c.is_file()), None)


def _parse(raw: bytes, order: str, data_file: Path | None) -> NiftiHeader:
    dim = struct.unpack_from(order + "8h", raw, 40)
    return NiftiHeader(
        tuple(dim[1 : 1 + dim[0]]) if 1 <= dim[0] <= 7 else (),
        struct.unpack_from(order + "8f", raw, 76),
        struct.unpack_from(order + "f", raw, 108)[0],
        struct.unpack_from(order + "2f", raw, 112),
        *struct.unpack_from(order + "2h", raw, 252),
        struct.unpack_from(order + "3f", raw, 256),
        struct.unpack_from(order + "3f", raw, 268),
        struct.unpack_from(order + "12f", raw, 280),
        raw[123],
        struct.unpack_from(order + "h", raw, 70)[0],
        order,
        data_file,
    )


def check_nifti(path: Path, header: NiftiHeader) -> list[str]:
    """Refuse a header that is no grid of numbers that are known; return warnings about what it leaves open.

    Raises:
        BadInput: no size, zero, negative or non-finite voxel size, sheared axes, voxels at no possible place.
    """
    if not header.size or min(header.size[:3]) < 1:
        raise BadInput(f"{path}: the header announces {' x '.join(map(str, header.size)) or 'no'} voxels.", CORRECT)
    spacing = header.pixdim[1:4][: len(header.size)]
    if not all(np.isfinite(spacing)) or min(spacing, default=1) <= 0:
        shown = ", ".join(f"{s:g}" for s in spacing)
        raise BadInput(f"{path}: the voxel size ({shown} mm) must be positive.", CORRECT)
    offset = header.data_offset
    if not 0 <= offset <= MOST_OFFSET or offset != int(offset) or (not header.data_file and 0 < offset < 348):
        raise BadInput(f"{path}: the header says that the voxels begin at byte {offset:g}.", CORRECT)
    slope, intercept = header.scale
    if math.isfinite(slope) and slope != 0 and not math.isfinite(intercept):
        raise BadInput(f"{path}: the header's intercept (scl_inter) is {intercept:g}.", CORRECT)
    if header.datatype not in DTYPES and header.datatype not in COLOURS and header.datatype not in COMPLEX:
        raise BadInput(f"{path}: the header's type of voxels is {header.datatype}, which is not known.", CORRECT)
    columns = header.sform_columns()
    if columns is not None:
        _check_sform(path, columns, np.asarray(spacing))
    if header.qform_code > 0 and not np.all(np.isfinite([*header.quaternion, *header.qoffset])):
        raise BadInput(f"{path}: the qform of the header is not a grid.", CORRECT)
    warnings = []
    if header.qform_code <= 0 and header.sform_code <= 0:
        warnings.append(
            "The header does not say how the image lies in the patient (qform and sform codes are 0): "
            "the orientation is a guess, and left and right may be swapped."
        )
    if len(header.size) >= 3 and header.two_positions():
        warnings.append("The header holds two positions (qform and sform) that differ; what 3D Slicer shows is used.")
    return warnings


def _check_sform(path: Path, columns: np.ndarray, spacing: np.ndarray) -> None:
    lengths = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(columns)) or np.any(lengths == 0):
        raise BadInput(f"{path}: the sform of the header is not a grid.", CORRECT)
    unit = columns / lengths
    if np.abs(unit.T @ unit - np.eye(3)).max() > SHEAR_TOLERANCE:
        raise BadInput(
            f"{path}: the axes are not at right angles (a sheared sform, as after gantry tilt or affine registration).",
            "Resample the image to a regular grid first.",
        )
    if len(spacing) == 3 and np.abs(lengths / spacing - 1).max() > SPACING_TOLERANCE:
        raise BadInput(
            f"{path}: the header contradicts itself: voxels of {_mm(spacing)} mm, but {_mm(lengths)} mm by its sform.",
            CORRECT,
        )


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{v:.4g}" for v in values)
