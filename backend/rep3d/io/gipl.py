"""GIPL (.gipl, .gipl.gz): a header of 256 bytes, big-endian, and raw voxels. It says nothing of the axes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from rep3d.data.volume import Geometry
from rep3d.errors import BadInput
from rep3d.io.header import CORRECT, ORIENTATION, assumed, check_frames
from rep3d.io.image_file import ImageFile
from rep3d.io.stored import Stored, first_bytes

HEADER_BYTES = 256
MAGIC = (0xEFFFE9B0, 0x2AE389B8)
TYPES = {1: "u1", 7: "i1", 8: "u1", 15: ">i2", 16: ">u2", 31: ">u4", 32: ">i4", 64: ">f4", 65: ">f8"}


def open_gipl(path: Path) -> ImageFile:
    """Read the header. Raises BadInput for a file that is not of GIPL or has not three dimensions."""
    raw, zipped = first_bytes(path, HEADER_BYTES)
    if len(raw) < HEADER_BYTES or struct.unpack_from(">I", raw, 252)[0] not in MAGIC:
        raise BadInput(f"{path}: not a GIPL file, or a damaged one.", CORRECT)
    size = struct.unpack_from(">4H", raw, 0)
    size = size if size[3] > 1 else size[:3]
    if min(size) < 1:
        raise BadInput(f"{path}: the header announces {' x '.join(map(str, size))} voxels.", CORRECT)
    check_frames(path, size[:3])
    (kind,) = struct.unpack_from(">H", raw, 8)
    if kind not in TYPES:
        raise BadInput(f"{path}: the header's type of voxels is {kind}, which is not known.", CORRECT)
    spacing, origin = struct.unpack_from(">3f", raw, 10), struct.unpack_from(">3d", raw, 204)
    geometry = Geometry(size[:3], spacing, origin, tuple(np.eye(3).ravel().tolist()))
    encoding, start, skip = ("gzip", 0, HEADER_BYTES) if zipped else ("raw", HEADER_BYTES, 0)
    stored = Stored(path, (path,), np.dtype(TYPES[kind]), size, encoding, start, 0, skip)
    warnings = assumed([ORIENTATION])
    return ImageFile(path, stored, size, geometry, tuple(warnings))
