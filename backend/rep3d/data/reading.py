"""Read a scan from a file or a DICOM folder, and refuse with a clear error what cannot be segmented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.files import check_name
from rep3d.io.dicom.detect import is_dicom
from rep3d.io.formats import open_image
from rep3d.io.segments import is_segmentation, read_segmentation
from rep3d.io.stored import is_regular

if TYPE_CHECKING:
    from rep3d.tasks import Label

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".img", ".hdr", ".gipl", ".gipl.gz")
ROUNDING = 2.0**-20  # eight units in the last place of float32, relative: what arithmetic leaves of whole numbers
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
    array, warnings = replace_not_finite(vol.array, path)
    low, high = array.min(), array.max()
    if low == high:
        raise ConstantImage(
            f"{path}: the image is empty: every voxel is {low:g}.", "Choose an image that shows a scan."
        )
    return replace(vol, array=array, warnings=vol.warnings + tuple(warnings))


def read_labelmap(path: str | Path, labels: Sequence[Label] | None = None) -> Volume:
    """Read a label map as an integer array of the smallest type that holds its values.

    Floats are taken where every value is a whole number as far as the file can tell: to float32's rounding, and for
    scaled NIfTI to half a step of its scale.

    Args:
        labels: the structures of a task. The segments of a 3D Slicer segmentation (.seg.nrrd) are then matched to them
            by name and terminology and get their values; without it they keep those of the file, and a warning says so.

    Raises:
        NotALabelMap: values that are not whole, not finite, negative or too large.
        BadInput, OutOfMemory: as :func:`read_volume`; segments that are not the task's.
    """
    path = Path(path)
    check_name(path)
    with _os_errors(path):
        segmentation = is_regular(path) and is_segmentation(path)
    vol = read_segmentation(path, labels) if segmentation and labels is not None else _read(path, None)
    if segmentation and labels is None:
        told = "A 3D Slicer segmentation was read by its label values; its segments' names were not looked at."
        vol = replace(vol, warnings=(*vol.warnings, told))
    array = _whole(path, vol) if vol.array.dtype.kind == "f" else vol.array
    if array.min() < 0:
        raise NotALabelMap(f"{path}: a label map must not hold negative values.", _NOT_LABELS)
    for dtype in (np.uint8, np.uint16, np.int32):
        if array.max() <= np.iinfo(dtype).max:
            return replace(vol, array=array.astype(dtype, copy=False))
    raise NotALabelMap(f"{path}: label values up to {array.max()} are too large.")


def _whole(path: Path, vol: Volume) -> np.ndarray:
    """The whole numbers that floats stand for. Raises NotALabelMap where they stand for none."""
    array = vol.array
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise NotALabelMap(f"{path}: {bad} voxels of the label map are NaN or infinite.", _NOT_LABELS)
    if np.abs(array).max() > np.iinfo(np.int32).max:
        raise NotALabelMap(f"{path}: label values up to {np.abs(array).max():g} are too large.", _NOT_LABELS)
    nearest = np.rint(array)
    step = 0.0 if vol.nifti is None else vol.nifti.step
    # A scale keeps a value to half a step. From half a label on, steps could no longer tell one from none.
    allowed = step / 2 if step <= 0.5 else 0.0
    if np.any(np.abs(array - nearest) > allowed + ROUNDING * np.maximum(np.abs(nearest), 1)):
        raise NotALabelMap(f"{path}: a label map must hold whole numbers.", _NOT_LABELS)
    return nearest.astype(np.int32)


def _read(path: Path, series_uid: str | None) -> Volume:
    check_name(path)
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder.")
    if not path.is_dir() and not is_regular(path):
        raise BadInput(f"{path}: a pipe or a device, not a file that can be read to its end.", "Give an image file.")
    if path.is_dir() or is_dicom(path):
        from rep3d.io.dicom.reading import read_dicom  # with pydicom, which other images do without

        return read_dicom(path, series_uid)
    with _os_errors(path):
        image = open_image(path)
    if image is not None:
        return image.read()
    from rep3d.io.foreign import read_foreign

    return read_foreign(path)


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    """BadInput for what the system says against reading a file."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.", "Check the file's permissions.") from error


def replace_not_finite(array: np.ndarray, path: str | Path) -> tuple[np.ndarray, list[str]]:
    """Replace NaN and infinity by the lowest finite value; refuse an image that holds nothing else."""
    if array.dtype.kind != "f":
        return array, []
    bad = ~np.isfinite(array)
    count = int(bad.sum())
    if count == 0:
        return array, []
    if count == array.size:
        raise BadInput(f"{path}: no voxel holds a finite number.", "Check how the image was exported.")
    low = array[~bad].min()
    share = 100 * count / array.size
    return np.where(bad, low, array), [f"{count} voxels ({share:.2g}%) were NaN or infinite and count as {low:g}."]
