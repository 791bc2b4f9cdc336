"""Read a scan from a file or a DICOM folder, and refuse with a clear error what cannot be segmented."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from rep3d.data.nifti_header import SHEAR_TOLERANCE, NiftiHeader, check_nifti, read_nifti_header
from rep3d.data.volume import Geometry, Volume
from rep3d.errors import BadInput, OutOfMemory
from rep3d.files import check_name
from rep3d.io.dicom.detect import is_dicom

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".img", ".hdr", ".gipl", ".gipl.gz")


_NOT_LABELS = "Is this the image instead of its labels?"


class ConstantImage(BadInput):
    """Every voxel of an image has the same value."""


class NotALabelMap(BadInput):
    """A label map holds values that cannot be labels: not whole, not finite, negative or too large."""


def read_volume(path: str | Path, *, series_uid: str | None = None) -> Volume:
    """Read a scan: one 3D image file (NIfTI, NRRD, MHA/MHD, DICOM ...) or a folder that holds one DICOM series.

    Non-finite voxels are replaced by the lowest finite value and a warning says how many. A single slice is refused:
    the networks are three-dimensional.

    Args:
        path: file or folder.
        series_uid: which series of a folder with several.

    Raises:
        BadInput: not an image, truncated, not one 3D scalar image, no usable grid, or constant.
        OutOfMemory: reading needs more memory than is free.
    """
    vol = _read(Path(path), series_uid)
    array, warnings = replace_not_finite(vol.array, path, vol.nifti)
    low, high = array.min(), array.max()
    if low == high:
        raise ConstantImage(
            f"{path}: the image is empty: every voxel is {low:g}.", "Choose an image that shows a scan."
        )
    return replace(vol, array=array, warnings=vol.warnings + tuple(warnings))


def read_labelmap(path: str | Path) -> Volume:
    """Read a label map as an integer array; float files are accepted if every value is a whole number."""
    vol = _read(Path(path), None)
    array = vol.array
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or np.any(array != np.rint(array)):
            raise NotALabelMap(f"{path}: a label map must hold whole numbers.", _NOT_LABELS)
        array = array.astype(np.int32)
    if array.min() < 0:
        raise NotALabelMap(f"{path}: a label map must not hold negative values.", _NOT_LABELS)
    for dtype in (np.uint8, np.uint16, np.int32):
        if array.max() <= np.iinfo(dtype).max:
            return replace(vol, array=array.astype(dtype, copy=False))
    raise NotALabelMap(f"{path}: label values up to {array.max()} are too large.")


@contextmanager
def _quiet_itk():
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield sitk
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^.*(ITK ERROR|sitk::ERROR): ?", "", lines[-1]) if lines else type(error).__name__


def _read(path: Path, series_uid: str | None) -> Volume:
    check_name(path)
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder.")
    if path.is_dir() or is_dicom(path):
        from rep3d.io.dicom.reading import read_dicom  # with pydicom, which other images do without

        return read_dicom(path, series_uid)
    with _quiet_itk() as sitk:
        return _read_file(sitk, path)


def _read_file(sitk, path: Path) -> Volume:
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty.")
    nifti = read_nifti_header(path)
    warnings: list[str] = []
    if nifti is not None:
        if len(nifti.size) >= 3:
            _check_frames(path, nifti.size, 1)
        nifti, warnings = check_nifti(path, nifti)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if re.search("spacing", str(error)):
            raise BadInput(f"{path}: the voxel size must be positive ({_last_line(error)}).") from error
        if re.search("orthonormal|determinant|direction", str(error), re.IGNORECASE):
            raise BadInput(f"{path}: the axes are not at right angles ({_last_line(error)}).", _RESAMPLE) from error
        raise BadInput(
            f"{path}: not an image that can be read (or a damaged one).",
            "Rep3D reads NIfTI, NRRD, MHA/MHD and DICOM.",
        ) from error
    _check_frames(path, reader.GetSize(), reader.GetNumberOfComponents())
    _check_memory(path, reader.GetSize(), reader.GetPixelID())
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return _to_volume(sitk, image, path, tuple(warnings), nifti=nifti)


_RESAMPLE = "Resample the image to a regular grid first."


def _unreadable(path: Path, error: RuntimeError) -> BadInput:
    if re.search("spacing", str(error)):
        return BadInput(f"{path}: the voxel size must be positive ({_last_line(error)}).")
    if re.search("orthonormal|determinant", str(error), re.IGNORECASE):
        return BadInput(f"{path}: the axes are not at right angles.", _RESAMPLE)
    return BadInput(f"{path}: the file is truncated or damaged ({_last_line(error)}).", "Copy or export it again.")


def _check_frames(path: Path, size: tuple[int, ...], components: int, slices: int = 1) -> None:
    """One scalar volume with at least two voxels along every axis, else BadInput."""
    if components != 1:
        what = "colour image" if components in (3, 4) else "vector image"
        raise BadInput(f"{path}: a {what} ({components} values a voxel); one value a voxel is needed.", _ONE_CHANNEL)
    if any(n > 1 for n in size[3:]):
        raise BadInput(
            f"{path}: {len(size)} dimensions ({' x '.join(map(str, size))}); one 3D volume is needed.",
            "Extract one time point or channel first.",
        )
    extent = [*size[:3], *[1] * (3 - len(size))]
    if slices > 1:
        extent[2] *= slices
    if min(extent) == 1:
        raise BadInput(
            f"{path}: a single slice ({' x '.join(map(str, size))}); a volume is needed.",
            "Give the whole stack: for DICOM, the folder of the series.",
        )


_ONE_CHANNEL = "Convert it to one channel, or choose the scan instead of a picture or label overlay."


def _check_memory(path: Path, size: tuple[int, ...], pixel_id: int) -> None:
    """Refuse to read what does not fit: the file's voxels twice (reader and array)."""
    import psutil
    import SimpleITK as sitk

    wide = {sitk.sitkFloat64, sitk.sitkInt64, sitk.sitkUInt64}
    width = 8 if pixel_id in wide else 4 if pixel_id in {sitk.sitkFloat32, sitk.sitkInt32, sitk.sitkUInt32} else 2
    need = 2 * width * int(np.prod(size[:3], dtype=np.int64))
    free = psutil.virtual_memory().available
    if need > free:
        raise OutOfMemory(
            f"{path}: reading {' x '.join(map(str, size[:3]))} voxels needs {need / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free.",
            "Crop or downsample the image first, or use a machine with more memory.",
        )


def _to_volume(sitk, image, path: Path, warnings: tuple[str, ...], nifti=None, dicom=None) -> Volume:
    submatrix = sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOSUBMATRIX
    while image.GetDimension() > 3:  # trailing axes of length 1, checked before
        image = sitk.Extract(image, [*image.GetSize()[:-1], 0], directionCollapseToStrategy=submatrix)
    geometry = Geometry.from_sitk(image)
    if not np.all(np.isfinite(geometry.spacing)) or min(geometry.spacing) <= 0:
        raise BadInput(f"{path}: the voxel size {geometry.spacing} must be positive.")
    direction = np.asarray(geometry.direction).reshape(3, 3)
    if not np.all(np.isfinite(geometry.affine_ras)):
        raise BadInput(f"{path}: the position or direction of the image is not a finite number.")
    if np.abs(direction.T @ direction - np.eye(3)).max() > SHEAR_TOLERANCE:
        raise BadInput(f"{path}: the axes are not at right angles.", _RESAMPLE)
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    if array.dtype.kind == "c":
        raise BadInput(f"{path}: complex values; one real value a voxel is needed.", "Export the magnitude image.")
    return Volume(array, geometry.affine_ras, geometry, path, warnings, nifti=nifti, dicom=dicom)


def replace_not_finite(array: np.ndarray, path: str | Path, nifti: NiftiHeader | None) -> tuple[np.ndarray, list[str]]:
    """Replace NaN and infinity by the lowest finite value; refuse an image that holds nothing else."""
    if array.dtype.kind != "f":
        return array, []
    bad = ~np.isfinite(array)
    if nifti is not None and len(nifti.not_finite):  # the reader has made them 0 by now
        bad |= np.unpackbits(nifti.not_finite, count=array.size).view(bool).reshape(array.shape, order="F")
    count = int(bad.sum())
    if count == 0:
        return array, []
    if count == array.size:
        raise BadInput(f"{path}: no voxel holds a finite number.", "Check how the image was exported.")
    low = array[~bad].min()
    share = 100 * count / array.size
    return np.where(bad, low, array), [f"{count} voxels ({share:.2g}%) were NaN or infinite and count as {low:g}."]
