"""MetaImage (.mha, .mhd): a small strict reader of the header.

The grid and the voxels are those of ITK's reader wherever that reads a file rightly; unlike it, this one refuses
compressed voxels that are not whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rep3d.data.volume import Geometry
from rep3d.errors import BadInput
from rep3d.io.header import (
    BYTE_ORDER,
    CORRECT,
    MILLIMETRES,
    ORIENTATION,
    PLACE,
    VOXEL_SIZE,
    assumed,
    check_frames,
    real,
    short,
    whole,
    wrong,
)
from rep3d.io.image_file import ImageFile
from rep3d.io.stored import Stored

HEADER_BYTES, FIELD_CHARACTERS = 1 << 20, 4000
TYPES = {
    "CHAR": "i1", "ASCII_CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4",
    "LONG": "i4", "ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8",
}  # fmt: skip
#: Names of one and the same thing; when a header has several of them, they must agree.
POSITION = ("Offset", "Position", "Origin", "ImagePosition")
DIRECTION = ("TransformMatrix", "Rotation", "Orientation")
ORDER = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_LINE = re.compile(r"\s*(?P<name>[A-Za-z][A-Za-z0-9_ .\[\]()-]{0,200}?)\s*[=:]\s*(?P<text>.*?)\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class MetaHeader:
    """The fields of a header up to ElementDataFile, and where the header ends."""

    fields: Mapping[str, str]
    end: int

    def one_of(self, path: Path, names: tuple[str, ...]) -> str | None:
        """The value of the field with one of these names, None without one. Raises BadInput when they disagree."""
        found = [(name, self.fields[name]) for name in names if name in self.fields]
        if len({text for _, text in found}) > 1:
            raise wrong(path, found[1][0], found[1][1], f"and its {found[0][0]} is another")
        return found[0][1] if found else None

    def numbers(self, path: Path, names: tuple[str, ...], count: int) -> list[float] | None:
        """``count`` numbers of the field with one of these names, None without one. Raises BadInput."""
        text = self.one_of(path, names)
        if text is None:
            return None
        words = text.split()
        if len(words) != count:
            raise wrong(path, names[0], text, f"where {count} numbers are needed")
        return [real(path, names[0], word) for word in words]

    def flag(self, path: Path, names: tuple[str, ...]) -> bool | None:
        """True or False of the field with one of these names, None without one. Raises BadInput."""
        text = self.one_of(path, names)
        if text is None:
            return None
        if text.lower() not in ("true", "t", "1", "false", "f", "0"):
            raise wrong(path, names[0], text, "where True or False is needed")
        return text.lower() in ("true", "t", "1")


def is_metaimage(path: Path) -> bool:
    """Whether the file is named like a MetaImage and its first lines hold the field that every MetaImage needs."""
    if not path.name.lower().endswith((".mha", ".mhd")):
        return False
    with path.open("rb") as file:
        return b"NDims" in file.read(8000)


def read_meta_header(path: Path) -> MetaHeader:
    """The lines up to ElementDataFile, which ends every header. Raises BadInput for a line that is no field."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while raw := file.readline(HEADER_BYTES):
            line = os.fsdecode(raw).strip("\r\n\0")
            if file.tell() > HEADER_BYTES or len(line) > FIELD_CHARACTERS:
                raise BadInput(f"{path}: the header holds a line of {len(line)} characters or has no end.", CORRECT)
            if not line.strip():
                continue
            match = _LINE.match(line)
            if match is None:
                raise BadInput(f"{path}: the header holds the line {short(line)}, which is not of MetaImage.", CORRECT)
            name, text = match["name"], match["text"]
            if fields.get(name, text) != text:
                raise wrong(path, name, text, "and the field is there twice")
            fields[name] = text
            if name == "ElementDataFile":
                return MetaHeader(fields, file.tell())
    raise BadInput(f"{path}: the header has no field 'ElementDataFile'.", CORRECT)


def open_metaimage(path: Path) -> ImageFile:
    """Read the header of a scalar image. Raises BadInput for any other, or one that is not of MetaImage."""
    header = read_meta_header(path)
    for name in ("NDims", "DimSize", "ElementType"):
        if name not in header.fields:
            raise BadInput(f"{path}: the header has no field {name!r}.", CORRECT)
    if header.fields.get("ObjectType", "Image") != "Image":
        raise wrong(path, "ObjectType", header.fields["ObjectType"], "where Image is needed")
    dimension = whole(path, "NDims", header.fields["NDims"], 1, 10)
    words = header.fields["DimSize"].split()
    if len(words) != dimension:
        raise wrong(path, "DimSize", header.fields["DimSize"], f"where {dimension} numbers are needed")
    size = [whole(path, "DimSize", word, 1, 1 << 31) for word in words]
    channels = whole(path, "ElementNumberOfChannels", header.fields.get("ElementNumberOfChannels", "1"), 1, 1 << 16)
    check_frames(path, size[:3], channels)
    geometry, missing = _grid(path, header, size)
    stored = _stored(path, header, size, missing)
    return ImageFile(path, stored, tuple(size), geometry, (*assumed(missing), *_not_applied(path, header)))


def _grid(path: Path, header: MetaHeader, size: list[int]) -> tuple[Geometry, list[tuple[str, str]]]:
    """The grid in LPS millimetres, and what the header leaves open."""
    n, missing = len(size), []
    rows = header.numbers(path, DIRECTION, n * n)
    if rows is None:
        missing.append(ORIENTATION)
        rows = np.eye(n).ravel().tolist()
    spacing = header.numbers(path, ("ElementSpacing",), n) or header.numbers(path, ("ElementSize",), n)
    if spacing is None:
        missing.append(VOXEL_SIZE)
        spacing = [1.0] * n
    origin = header.numbers(path, POSITION, n)
    if origin is None:
        missing.append(PLACE)
        origin = [0.0] * n
    unit = header.fields.get("DistanceUnits", "").lower()
    if unit not in ("", "?", *MILLIMETRES):
        raise wrong(path, "DistanceUnits", unit, f"where one of {', '.join(MILLIMETRES)} is possible")
    factor = MILLIMETRES.get(unit, 1.0)
    direction = np.array(rows).reshape(n, n)[:3, :3].T  # a row of the header is an axis
    return Geometry(
        tuple(size[:3]),
        tuple(factor * s for s in spacing[:3]),
        tuple(factor * o for o in origin[:3]),
        tuple(map(float, direction.ravel())),
    ), missing


def _not_applied(path: Path, header: MetaHeader) -> list[str]:
    slope, offset = (
        real(path, name, header.fields.get(name, default))
        for name, default in (("ElementToIntensityFunctionSlope", "1"), ("ElementToIntensityFunctionOffset", "0"))
    )
    if (slope, offset) == (1.0, 0.0):
        return []
    return [f"The header's intensity function ({slope:g} x + {offset:g}) was not applied; 3D Slicer does not either."]


def _stored(path: Path, header: MetaHeader, size: list[int], missing: list[tuple[str, str]]) -> Stored:
    """Where the voxels are; adds to ``missing`` a byte order that the header leaves open."""
    kind = header.fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY")
    if kind not in TYPES or not header.fields["ElementType"].startswith("MET_"):
        raise wrong(path, "ElementType", header.fields["ElementType"])
    dtype = np.dtype(TYPES[kind])
    binary = header.flag(path, ("BinaryData",)) is not False
    packed = bool(header.flag(path, ("CompressedData",)))
    if "CompressedDataSize" in header.fields:
        whole(path, "CompressedDataSize", header.fields["CompressedDataSize"], 0, 1 << 50)
    big = header.flag(path, ORDER)
    if binary and dtype.itemsize > 1:
        if big is None:
            missing.append(BYTE_ORDER)
        dtype = dtype.newbyteorder(">" if big else "<")
    encoding = "text" if not binary else "zlib" if packed else "raw"
    skip = whole(path, "HeaderSize", header.fields.get("HeaderSize", "0"), -1, 1 << 40)
    if skip < 0 and encoding != "raw":
        raise wrong(path, "HeaderSize", "-1", "which needs raw voxels")
    local = header.fields["ElementDataFile"].lower() == "local"
    start = None if skip < 0 else skip or (header.end if local else 0)
    files = (path,) if local else _data_files(path, header, size)
    return Stored(path, files, dtype, tuple(size), encoding, start)


def _data_files(path: Path, header: MetaHeader, size: list[int]) -> tuple[Path, ...]:
    """One detached file, a list of them, or a numbered row; each with an equal share of the slowest axis."""
    text = header.fields["ElementDataFile"]
    words = text.split()
    if not words:
        raise wrong(path, "ElementDataFile", text, "where a name is needed")
    if words[0] == "LIST":
        with path.open("rb") as file:
            file.seek(header.end)
            lines = os.fsdecode(file.read(HEADER_BYTES)).splitlines()
        names = [line.strip() for line in lines if line.strip()]
    elif re.fullmatch(r"[^%]*%0?[0-9]{0,2}d[^%]*", words[0]):
        first, last, step = _row(path, text, words[1:], size[-1])
        names = [words[0] % number for number in range(first, last + 1, step)]
    else:
        names = [text]
    if not names or size[-1] % len(names):
        raise wrong(path, "ElementDataFile", text, f"{len(names)} files for an axis of {size[-1]}")
    return tuple(path.parent / name for name in names)


def _row(path: Path, text: str, words: list[str], count: int) -> tuple[int, int, int]:
    """First, last and step of a numbered row of files, such as ``slice%03d.raw 1 20 1``."""
    numbers = [whole(path, "ElementDataFile", word, 0, 1 << 31) for word in words[:3]]
    first = numbers[0] if numbers else 1
    last = numbers[1] if len(numbers) > 1 else first + count - 1
    step = numbers[2] if len(numbers) > 2 else 1
    if step < 1 or not 0 <= last - first <= 100000:
        raise wrong(path, "ElementDataFile", text, "which is no row of numbers")
    return first, last, step
