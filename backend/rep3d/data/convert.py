"""Files that a preparation has to write itself: one channel of a 4D image, and label maps with other values.

They lie in the prepared folder under names that hold the source's sha256 and the settings, so that a changed source or
setting never meets an old file; what is there already is not made again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rep3d.data.reading import read_labelmap
from rep3d.data.volume import Geometry, to_sitk
from rep3d.errors import BadInput
from rep3d.files import atomic_path, check_name
from rep3d.io.formats import open_image
from rep3d.io.header import not_an_image
from rep3d.io.segments import is_segmentation

if TYPE_CHECKING:
    from rep3d.tasks import Label

FOLDER = "converted"


@dataclass(frozen=True)
class Conversion:
    """What to do with the files of a case: ``channel`` of 4D images (None: 3D), ``labels``: old value -> new value.

    Values that ``labels`` does not name stay as they are. ``structures``: the task's, whose values the segments of
    3D Slicer segmentations get first. ``folder`` is where results go.
    """

    folder: Path
    channel: int | None = None
    labels: dict[int, int] = field(default_factory=dict)
    structures: tuple[Label, ...] = ()


def convert_image(conversion: Conversion, key: str, path: Path, sha256: str) -> Path:
    """The channel of a 4D image as a 3D file, or ``path`` itself when there is nothing to do.

    Raises BadInput when the file cannot be read, is not 4D or has no such channel; OutputFailed.
    """
    if conversion.channel is None:
        return path
    target = conversion.folder / f"{key}.channel{conversion.channel}.{sha256[:16]}.nii.gz"
    if not target.is_file():
        array, geometry = read_channel(path, conversion.channel)
        _write(array, geometry, target)
    return target


def convert_label(conversion: Conversion, key: str, path: Path, sha256: str) -> Path:
    """The label map with its values replaced and segments brought to the task's values, or ``path`` as it is.

    Raises BadInput when the file cannot be read; OutputFailed.
    """
    segments = is_segmentation(path)
    if not conversion.labels and not segments:
        return path
    what = [sorted(conversion.labels.items()), conversion.structures if segments else ()]
    rule = hashlib.sha256(repr(what).encode()).hexdigest()[:8]
    target = conversion.folder / f"{key}.labels{rule}.{sha256[:16]}.nii.gz"
    if not target.is_file():
        labels = read_labelmap(path, conversion.structures)
        array = labels.array
        top = max([int(array.max()), *conversion.labels, *conversion.labels.values()])
        table = np.arange(top + 1, dtype=np.uint16 if top < 1 << 16 else np.int32)
        for old, new in conversion.labels.items():
            table[old] = new
        array = table[array]
        _write(array.astype(np.uint8) if array.max() < 256 else array, labels.grid, target)
    return target


def read_channel(path: Path, channel: int) -> tuple[np.ndarray, Geometry]:
    """One channel [X, Y, Z] of a 4D image and its grid. NaN and infinite voxels become NaN.

    Raises BadInput when the file cannot be read, is not 4D, or has no such channel.
    """
    check_name(path)
    image = open_image(path)
    if image is None:
        raise not_an_image(path)
    volume = image.read_channel(channel)
    return volume.array, volume.geometry


def _write(array: np.ndarray, geometry: Geometry, target: Path) -> None:
    import SimpleITK as sitk

    with atomic_path(target) as temporary:
        try:
            sitk.WriteImage(to_sitk(array, geometry), str(temporary), useCompression=True)
        except RuntimeError as error:  # ITK gives no errno; a full disk is the usual reason
            raise OSError(f"the image could not be written ({str(error).splitlines()[-1]})") from error
        try:  # the writer of .nii.gz does not always notice a full disk
            open_image(temporary).verify()
        except BadInput as error:
            raise OSError(f"the image is not whole after writing ({error})") from error
