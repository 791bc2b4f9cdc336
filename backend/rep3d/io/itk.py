"""Reading by ITK itself, in this process: for formats that Rep3D has no reader of its own for."""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rep3d.data.volume import Geometry, Volume
from rep3d.errors import BadInput
from rep3d.io.header import CORRECT, RESAMPLE, check_frames, check_grid, not_an_image
from rep3d.io.stored import check_memory, damaged


@contextmanager
def quiet_itk():
    """SimpleITK, with its warnings off."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield sitk
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def last_line(error: Exception) -> str:
    """What an error of ITK says, without where in ITK it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^.*(ITK ERROR|sitk::ERROR): ?", "", lines[-1]) if lines else type(error).__name__


def read_by_itk(path: Path) -> Volume:
    """Read one scalar 3D image. Raises BadInput, OutOfMemory; a malformed file may end this process."""
    with quiet_itk() as sitk:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise _grid_error(path, error) or not_an_image(path) from error
        check_frames(path, reader.GetSize(), reader.GetNumberOfComponents())
        width = np.dtype(sitk.extra._get_numpy_dtype(sitk.Image([1, 1, 1], reader.GetPixelID()))).itemsize
        need = 2 * width * math.prod(reader.GetSize())  # ITK's image and the array
        check_memory(path, need, reader.GetSize())
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise _grid_error(path, error) or damaged(path, last_line(error)) from error
        submatrix = sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOSUBMATRIX
        while image.GetDimension() > 3:  # trailing axes of length 1, checked before
            image = sitk.Extract(image, [*image.GetSize()[:-1], 0], directionCollapseToStrategy=submatrix)
        geometry = Geometry.from_sitk(image)
        check_grid(path, geometry)
        array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    if array.dtype.kind == "c":
        raise BadInput(f"{path}: complex values; one real value a voxel is needed.", "Export the magnitude image.")
    return Volume(array, geometry.affine_ras, geometry, path)


def _grid_error(path: Path, error: RuntimeError) -> BadInput | None:
    """The error for a grid that ITK refuses, None if it refuses something else."""
    if re.search("spacing", str(error)):
        return BadInput(f"{path}: the voxel size must be positive ({last_line(error)}).", CORRECT)
    if re.search("orthonormal|determinant|direction", str(error), re.IGNORECASE):
        return BadInput(f"{path}: the axes are not at right angles ({last_line(error)}).", RESAMPLE)
    return None
