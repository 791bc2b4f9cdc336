"""NIfTI-1 (.nii, .nii.gz, .hdr with .img): the voxels are read here, the grid is ITK's reading of a checked header."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from rep3d.data.nifti_header import COLOURS, COMPLEX, DTYPES, NiftiHeader, check_nifti, read_nifti_header
from rep3d.data.volume import Geometry
from rep3d.errors import BadInput
from rep3d.io.header import CORRECT, RESAMPLE, check_frames
from rep3d.io.image_file import ImageFile
from rep3d.io.itk import last_line, quiet_itk
from rep3d.io.stored import Stored, first_bytes

SINGLE_FILE = 352  # where the voxels of a single file begin at the earliest
PADDING = 1 << 20  # bytes that may follow the voxels of a .nii.gz


def open_nifti(path: Path) -> ImageFile | None:
    """Read the header; None if it is no NIfTI-1. Raises BadInput for what is not a scalar image on a grid."""
    header = read_nifti_header(path)
    if header is None:
        return None
    header = replace(header, size=header.size[:3] + tuple(max(1, n) for n in header.size[3:]))
    if len(header.size) >= 3 and min(header.size) > 0:
        check_frames(path, header.size[:3], COLOURS.get(header.datatype, 1))
    warnings = check_nifti(path, header)
    check_frames(path, header.size[:3], COLOURS.get(header.datatype, 1))
    if header.datatype in COMPLEX:
        raise BadInput(f"{path}: complex values; one real value a voxel is needed.", "Export the magnitude image.")
    slope, intercept = header.scale
    scaled = math.isfinite(slope) and slope != 0 and (slope, intercept) != (1.0, 0.0)
    return ImageFile(
        path,
        _stored(path, header),
        header.size,
        _grid(path, header),
        tuple(warnings),
        (slope, intercept) if scaled else None,
        header,
    )


def _stored(path: Path, header: NiftiHeader) -> Stored:
    dtype = np.dtype(DTYPES[header.datatype]).newbyteorder(header.order)
    file = header.data_file or path
    offset = int(header.data_offset) or (0 if header.data_file else SINGLE_FILE)
    zipped = first_bytes(file, 2)[1]
    if zipped and not file.name.lower().endswith(".gz"):
        raise BadInput(f"{path}: compressed by gzip, but {file.name} does not say so.", f"Name it {file.name}.gz.")
    encoding, start, skip = ("gzip", 0, offset) if zipped else ("raw", offset, 0)
    return Stored(path, (file,), dtype, header.size, encoding, start, 0, skip, PADDING)


def _grid(path: Path, header: NiftiHeader) -> Geometry:
    """The grid as ITK, and so 3D Slicer, makes it of qform and sform. Raises BadInput."""
    with quiet_itk() as sitk:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO("NiftiImageIO")
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            if re.search("orthonormal|determinant|direction", str(error), re.IGNORECASE):
                raise BadInput(f"{path}: the axes are not at right angles ({last_line(error)}).", RESAMPLE) from error
            raise BadInput(f"{path}: the header cannot be read ({last_line(error)}).", CORRECT) from error
        n = reader.GetDimension()
        direction = np.asarray(reader.GetDirection()).reshape(n, n)[:3, :3]
        return Geometry(
            header.size[:3],
            tuple(reader.GetSpacing()[:3]),
            tuple(reader.GetOrigin()[:3]),
            tuple(map(float, direction.ravel())),
        )
