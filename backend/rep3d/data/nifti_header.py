"""The geometry fields of a NIfTI header, and the checks that the usual reader leaves out.

The ITK reader takes a truncated file (the rest becomes zeros), NaN and infinite voxels (they become zeros), a zero or
NaN voxel size (it becomes 1) and a sheared sform beside a valid qform (the qform is taken in silence). A result must
lie on exactly the input's grid for every reader, so the geometry fields are also kept to be written back as they were.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rep3d.errors import BadInput

SHEAR_TOLERANCE = 1e-3  # cosine between two axes; float32 headers of orthogonal grids stay below 1e-5
SPACING_TOLERANCE = 0.01  # relative difference of the two voxel sizes that a header holds
BLOCK_BYTES = 1 << 22  # a multiple of 8 voxels of every size
_NONE = np.empty(0, np.uint8)


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI-1 header says of the grid (all numbers as stored)."""

    size: tuple[int, ...]
    pixdim: tuple[float, ...]  # 8 values, the first is the handedness of the qform
    bits: int
    data_offset: int
    qform_code: int
    sform_code: int
    quaternion: tuple[float, float, float]
    qoffset: tuple[float, float, float]
    sform: tuple[float, ...]  # 12 values, three rows
    units: int
    datatype: int
    order: str  # "<" little-endian or ">" big-endian
    data_file: Path | None = None  # where the voxels are, for a pair of .hdr and .img
    not_finite: np.ndarray = field(default_factory=lambda: _NONE, compare=False, repr=False)  # see check_nifti

    @property
    def data_bytes(self) -> int:
        """Bytes of voxel data that the file must hold."""
        return int(np.prod([max(1, n) for n in self.size], dtype=np.int64)) * self.bits // 8

    def sform_columns(self) -> np.ndarray | None:
        """The three axis vectors of the sform as columns [3, 3], None if the header has no sform."""
        return np.asarray(self.sform).reshape(3, 4)[:, :3] if self.sform_code > 0 else None

    def two_positions(self) -> bool:
        """Whether qform and sform are both valid and place a corner of the volume more than 0.1 mm apart."""
        if self.qform_code <= 0 or self.sform_code <= 0:
            return False
        from scipy.spatial.transform import Rotation  # a third of a second that other headers do without

        b, c, d = self.quaternion
        a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
        handedness = -1.0 if self.pixdim[0] < 0 else 1.0
        columns = Rotation.from_quat([b, c, d, a]).as_matrix() * self.pixdim[1:4] * [1, 1, handedness]
        qform = np.column_stack([columns, self.qoffset])
        unit = {1: 1000.0, 3: 0.001}.get(self.units & 0x07, 1.0)  # metres and microns to millimetres
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
        corners[:, :3] *= np.asarray(self.size[:3]) - 1
        apart = corners @ (np.asarray(self.sform).reshape(3, 4) - qform).T
        return bool(np.abs(apart).max() * unit > 0.1)


def _open(path: Path):
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """The header of ``path`` (one file, or either file of a pair .hdr and .img), None if it is no NIfTI-1.

    Raises:
        BadInput: NIfTI-2, a pair without its other file, or Analyze 7.5, whose header does not tell left from right.
    """
    header_file = path
    if path.name.lower().endswith((".img", ".img.gz")):
        header_file = _partner(path, ".hdr") or path
    try:
        with _open(header_file) as file:
            raw = file.read(544)
    except (OSError, EOFError, zlib.error):
        return None
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
        tuple(dim[1 : 1 + max(0, min(dim[0], 7))]),
        struct.unpack_from(order + "8f", raw, 76),
        struct.unpack_from(order + "h", raw, 72)[0],
        int(struct.unpack_from(order + "f", raw, 108)[0]),
        *struct.unpack_from(order + "2h", raw, 252),
        struct.unpack_from(order + "3f", raw, 256),
        struct.unpack_from(order + "3f", raw, 268),
        struct.unpack_from(order + "12f", raw, 280),
        raw[123],
        struct.unpack_from(order + "h", raw, 70)[0],
        order,
        data_file,
    )


def check_nifti(path: Path, header: NiftiHeader) -> tuple[NiftiHeader, list[str]]:
    """Refuse what cannot be segmented on its own grid; return warnings about what can.

    The header comes back with a mask of the voxels that are not finite.

    Raises:
        BadInput: truncated or damaged data, zero, negative or non-finite voxel size, sheared axes.
    """
    spacing = header.pixdim[1:4][: len(header.size)]
    if not all(np.isfinite(spacing)) or min(spacing, default=1) <= 0:
        shown = ", ".join(f"{s:g}" for s in spacing)
        raise BadInput(f"{path}: the voxel size ({shown} mm) must be positive.", "Correct the header and try again.")
    columns = header.sform_columns()
    if columns is not None:
        _check_sform(path, columns, np.asarray(spacing))
    header = replace(header, not_finite=_check_data(path, header))
    warnings = []
    if header.qform_code <= 0 and header.sform_code <= 0:
        warnings.append(
            "The header does not say how the image lies in the patient (qform and sform codes are 0): "
            "the orientation is a guess, and left and right may be swapped."
        )
    if len(header.size) >= 3 and header.two_positions():
        warnings.append("The header holds two positions (qform and sform) that differ; what 3D Slicer shows is used.")
    return header, warnings


def _check_sform(path: Path, columns: np.ndarray, spacing: np.ndarray) -> None:
    lengths = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(columns)) or np.any(lengths == 0):
        raise BadInput(f"{path}: the sform of the header is not a grid.", "Correct the header and try again.")
    unit = columns / lengths
    if np.abs(unit.T @ unit - np.eye(3)).max() > SHEAR_TOLERANCE:
        raise BadInput(
            f"{path}: the axes are not at right angles (a sheared sform, as after gantry tilt or affine registration).",
            "Resample the image to a regular grid first.",
        )
    if len(spacing) == 3 and np.abs(lengths / spacing - 1).max() > SPACING_TOLERANCE:
        raise BadInput(
            f"{path}: the header contradicts itself: voxels of {_mm(spacing)} mm, but {_mm(lengths)} mm by its sform.",
            "Correct the header and try again.",
        )


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{v:.4g}" for v in values)


def _check_data(path: Path, header: NiftiHeader) -> np.ndarray:
    """Read the file through once, without keeping it: length and, for .gz, the checksum.

    Returns a mask of the voxels that are NaN or infinite, eight to a byte (x fastest), or nothing if there are none:
    positions would take more memory than the image where the background is NaN.
    """
    dtype = np.dtype({16: "f4", 64: "f8"}.get(header.datatype, "u1")).newbyteorder(header.order)
    got, found, any_found = 0, [], False
    try:
        with _open(header.data_file or path) as file:
            skipped = len(file.read(header.data_offset))
            while block := file.read(BLOCK_BYTES):
                if dtype.kind == "f" and got < header.data_bytes:
                    usable = min(len(block), header.data_bytes - got) // dtype.itemsize
                    bad = ~np.isfinite(np.frombuffer(block, dtype, usable))
                    any_found = any_found or bool(bad.any())
                    found.append(np.packbits(bad))  # whole bytes: blocks hold a multiple of 8 voxels
                got += len(block)
    except (EOFError, OSError, zlib.error) as error:
        raise BadInput(f"{path}: the file is truncated or damaged ({error}).", "Copy or export it again.") from error
    if skipped + got < header.data_offset + header.data_bytes:
        raise BadInput(
            f"{path}: the file is truncated: {got} bytes of voxels where its header announces {header.data_bytes}.",
            "Copy or export it again.",
        )
    return np.concatenate(found) if any_found else _NONE
