"""Which reader a file belongs to, by its content; the name decides only where formats have no mark of their own."""

from __future__ import annotations

from pathlib import Path

from rep3d.errors import BadInput
from rep3d.io.gipl import open_gipl
from rep3d.io.header import not_an_image
from rep3d.io.image_file import ImageFile
from rep3d.io.metaimage import is_metaimage, open_metaimage
from rep3d.io.nifti import open_nifti
from rep3d.io.nrrd import open_nrrd
from rep3d.io.nrrd_header import MAGIC
from rep3d.io.stored import first_bytes

#: Endings of the formats that are read here. A file with one of them that is of no such format is damaged.
OWN = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".img", ".img.gz", ".hdr", ".hdr.gz", ".gipl", ".gipl.gz")


def open_image(path: Path) -> ImageFile | None:
    """Read the header of an image file; None for a format that only ITK knows.

    Raises:
        BadInput: empty, or a header that is not one scalar image on a grid.
    """
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty.")
    name = path.name.lower()
    if first_bytes(path, len(MAGIC))[0] == MAGIC:
        return open_nrrd(path)
    if is_metaimage(path):
        return open_metaimage(path)
    if name.endswith((".gipl", ".gipl.gz")):
        return open_gipl(path)
    image = open_nifti(path)
    if image is None and name.endswith(OWN):
        raise not_an_image(path)
    return image
