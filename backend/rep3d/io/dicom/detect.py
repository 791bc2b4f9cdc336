"""Tell DICOM files from others by their first bytes."""

from __future__ import annotations

from pathlib import Path

_BEGINNINGS = {b"\x08\x00", b"\x02\x00", b"\x00\x08"}  # group 8 or 2, little-endian; group 8, big-endian
_REPRESENTATIONS = {b"UL", b"OB", b"UI", b"CS", b"SH", b"DA", b"TM", b"LO"}  # of a first element


def is_dicom(path: Path) -> bool:
    """Whether the file starts like DICOM: with the preamble, or without it with an element of the first groups."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or starts_without_preamble(start)


def starts_without_preamble(start: bytes) -> bool:
    """Whether these bytes are a first data element: its group, a low element number, and a type or a short length."""
    if len(start) < 132 or start[:2] not in _BEGINNINGS:
        return False
    order = "big" if start[:2] == b"\x00\x08" else "little"
    if int.from_bytes(start[2:4], order) > 0x60:
        return False
    return start[4:6] in _REPRESENTATIONS or int.from_bytes(start[4:8], order) <= 64


def has_dicom(folder: Path) -> bool:
    """Whether a file directly in ``folder`` is a DICOM image (see :func:`rep3d.io.dicom.reading.has_scan`)."""
    from rep3d.io.dicom.reading import has_scan  # with pydicom, which other folders do without

    return has_scan(folder)
