"""Write a label map or a float map as NIfTI-1 on the input's geometry fields, bit for bit where it was NIfTI."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from rep3d.data.nifti_header import NiftiHeader
from rep3d.data.volume import Volume

_DATATYPE = {np.dtype(np.uint8): 2, np.dtype(np.uint16): 512, np.dtype(np.float32): 16}
_LABEL_INTENT = 1002
_MILLIMETRES = 2
_SCANNER = 1
COMPRESSION = 5  # label maps are mostly runs: higher levels cost seconds and save little


def write_nifti(path: Path, labelmap: np.ndarray, volume: Volume, description: str = "Rep3D segmentation") -> None:
    """Write ``labelmap`` [X, Y, Z] to ``path`` (.nii or .nii.gz) on the grid of ``volume``.

    Labels are uint8 or uint16; a map of float32 is written without the label intent. The header keeps 79 bytes of the
    ``description``.
    """
    header = _header(labelmap, volume, description)
    if path.name.lower().endswith(".gz"):
        with path.open("wb") as raw, gzip.GzipFile("", "wb", COMPRESSION, raw, mtime=0) as file:
            _write(file, header, labelmap)
    else:
        with path.open("wb") as file:
            _write(file, header, labelmap)


def _write(file, header: bytes, labelmap: np.ndarray) -> None:
    file.write(header)
    little = labelmap.dtype.newbyteorder("<")
    for z in range(labelmap.shape[2]):
        file.write(labelmap[..., z].astype(little, copy=False).tobytes(order="F"))


def _header(labelmap: np.ndarray, volume: Volume, description: str) -> bytes:
    source = volume.nifti
    if source is not None and len(source.size) >= 3:
        pixdim, codes, quaternion, offset, sform = _fields_of(source)
    else:
        pixdim, codes, quaternion, offset, sform = _fields_from(volume)
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *labelmap.shape, 1, 1, 1, 1)
    if labelmap.dtype.kind == "u":
        struct.pack_into("<h", header, 68, _LABEL_INTENT)
    struct.pack_into("<2h", header, 70, _DATATYPE[labelmap.dtype], labelmap.dtype.itemsize * 8)
    struct.pack_into("<4f", header, 76, *pixdim)
    struct.pack_into("<f", header, 108, 352.0)
    struct.pack_into("<2f", header, 112, 1.0, 0.0)
    header[123] = _MILLIMETRES if source is None else source.units & 0x07
    text = description.encode("ascii", "replace")[:79]
    header[148 : 148 + len(text)] = text
    struct.pack_into("<2h", header, 252, *codes)
    struct.pack_into("<6f", header, 256, *quaternion, *offset)
    struct.pack_into("<12f", header, 280, *sform)
    header[344:348] = b"n+1\0"
    return bytes(header)


def _fields_of(source: NiftiHeader):
    codes = (source.qform_code, source.sform_code)
    return source.pixdim[:4], codes, source.quaternion, source.qoffset, source.sform


def _fields_from(volume: Volume):
    """qform and sform from the affine; a left-handed grid is marked by pixdim[0] = -1 as NIfTI asks."""
    from scipy.spatial.transform import Rotation

    affine = volume.affine
    spacing = np.asarray(volume.spacing_mm)
    rotation = affine[:3, :3] / spacing
    handedness = 1.0
    if np.linalg.det(rotation) < 0:
        handedness = -1.0
        rotation = rotation * [1, 1, -1]
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    quaternion = np.array([x, y, z]) * (-1 if w < 0 else 1)
    return (handedness, *spacing), (_SCANNER, _SCANNER), quaternion, affine[:3, 3], affine[:3].ravel()
