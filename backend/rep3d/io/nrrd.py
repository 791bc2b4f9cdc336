"""NRRD (.nrrd, .nhdr): a small strict reader of the header; what it does not know is refused, never guessed.

The grid and the voxels are those of ITK's reader wherever that reads a file rightly. Format: Teem's NRRD definition.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rep3d.data.volume import Geometry
from rep3d.errors import BadInput
from rep3d.io.header import (
    CORRECT,
    MILLIMETRES,
    ORIENTATION,
    PLACE,
    VOXEL_SIZE,
    assumed,
    check_frames,
    check_grid,
    whole,
    wrong,
)
from rep3d.io.image_file import ImageFile
from rep3d.io.nrrd_header import NrrdHeader, read_nrrd_header
from rep3d.io.stored import Stored, read_voxels

TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
DTYPE = {name: code for code, names in TYPES.items() for name in names}
ENCODINGS = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2", "hex": "hex",
    "text": "text", "txt": "text", "ascii": "text",
}  # fmt: skip
#: What turns the axes of a space to left, posterior, superior; any other space is assumed to be that.
TO_LPS = {
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1), "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
}  # fmt: skip
THREE = {"scanner-xyz", "3d-right-handed", "3d-left-handed"}
DOMAIN, UNKNOWN = {"domain", "space", "time"}, {"???", "none"}


def open_nrrd(path: Path) -> ImageFile:
    """Read the header of a scalar image. Raises BadInput for any other, or one that is not of NRRD."""
    header = read_nrrd_header(path)
    sizes, domain = _axes(path, header)
    size = tuple(sizes[axis] for axis in domain)
    check_frames(path, size[:3], math.prod(sizes) // math.prod(size))
    geometry, warnings = _grid(path, header, domain, len(sizes))
    return ImageFile(path, _stored(path, header, sizes), size, geometry, tuple(warnings))


def read_layers(path: Path) -> tuple[np.ndarray, Geometry, list[str], Mapping[str, str]]:
    """Read a 3D image of one or several values a voxel: array [C, X, Y, Z], grid, warnings and key/value pairs.

    Raises BadInput, OutOfMemory.
    """
    header = read_nrrd_header(path)
    sizes, domain = _axes(path, header)
    size = [sizes[axis] for axis in domain]
    check_frames(path, size)
    geometry, warnings = _grid(path, header, domain, len(sizes))
    check_grid(path, geometry)
    values, more = read_voxels(_stored(path, header, sizes))
    others = [axis for axis in range(len(sizes)) if axis not in domain]
    array = values.reshape(sizes, order="F").transpose([*others, *domain])
    array = array.reshape((array.shape[0] if others else 1, *size[:3]))
    return array, geometry, warnings + more, header.pairs


def _axes(path: Path, header: NrrdHeader) -> tuple[list[int], list[int]]:
    """The size of every axis, and which axes are of space; at most one other axis counts the values of a voxel."""
    for name in ("dimension", "sizes", "type", "encoding"):
        if name not in header.fields:
            raise BadInput(f"{path}: the header has no field {name!r}.", CORRECT)
    dimension = whole(path, "dimension", header.fields["dimension"], 1, 16)
    sizes = [whole(path, "sizes", n, 1, 1 << 31) for n in header.words(path, "sizes", dimension)]
    kinds = header.words(path, "kinds", dimension) or ["???"] * dimension
    vectors = header.vectors(path, "spacedirections", dimension) or [()] * dimension
    domain = [
        axis
        for axis, (kind, vector) in enumerate(zip(kinds, vectors, strict=True))
        if kind.lower() in DOMAIN or (kind.lower() in UNKNOWN and vector is not None)
    ]
    if dimension - len(domain) > 1:
        raise wrong(path, "kinds", header.fields.get("kinds", ""), "and more than one axis is not of space")
    return sizes, domain


def _grid(path: Path, header: NrrdHeader, domain: list[int], dimension: int) -> tuple[Geometry, list[str]]:
    """The grid in LPS millimetres, and a warning about what the header leaves open."""
    sizes = [int(n) for n in header.fields["sizes"].split()]
    size = tuple(sizes[axis] for axis in domain[:3])
    space, spaces = _space(path, header, len(domain))
    flip = np.array(TO_LPS.get(space, (1, 1, 1)), float)
    units, missing = _units(path, header, spaces), []
    if space not in TO_LPS:
        missing.append(ORIENTATION)
    vectors = header.vectors(path, "spacedirections", dimension)
    spacing, direction, origin = np.ones(3), np.eye(3), np.zeros(3)
    if spaces:
        if "spacings" in header.fields and any(header.numbers(path, "spacings", dimension)):
            raise wrong(path, "spacings", header.fields["spacings"], "beside a space, which needs space directions")
        if vectors is None:
            missing.append(VOXEL_SIZE)
        else:
            for i, axis in enumerate(domain[:3]):
                vector = _of_space(path, "spacedirections", vectors[axis], spaces)
                spacing[i] = np.sqrt(np.sum(vector * vector))
                direction[:, i] = vector * (1 / spacing[i]) * flip if spacing[i] else 0
        given = header.vectors(path, "spaceorigin", 1)
        if given is None or given[0] is None or np.isnan(given[0][0]):
            missing.append(PLACE)
        else:
            origin = _of_space(path, "spaceorigin", given[0], spaces) * flip
        return Geometry(size, *_tuples(spacing * units, origin * units, direction)), assumed(missing)
    steps = header.numbers(path, "spacings", dimension)
    for i, axis in enumerate(domain[:3]):
        spacing[i] = 1 if steps[axis] is None else steps[axis]
    if any(steps[axis] is None for axis in domain[:3]):
        missing.append(VOXEL_SIZE)
    start = _origin(path, header, domain, dimension, steps)
    if start is None:
        missing.append(PLACE)
    else:
        origin = np.array(start[:3])
    return Geometry(size, *_tuples(spacing * units, origin * units, direction)), assumed(missing)


def _tuples(spacing: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(map(float, spacing)), tuple(map(float, origin)), tuple(map(float, direction.ravel()))


def _space(path: Path, header: NrrdHeader, axes: int) -> tuple[str, int]:
    """The name of the space ("" without one) and its dimension (0 without one)."""
    space = header.fields.get("space", "").lower()
    if space.endswith("-time") or space in ("rast", "last", "lpst"):
        raise wrong(path, "space", space, "with time, where one 3D volume is needed")
    if space and space not in TO_LPS and space not in THREE:
        raise wrong(path, "space", header.fields["space"])
    spaces = 3 if space else 0
    if "spacedimension" in header.fields:
        if space:
            raise wrong(path, "space dimension", header.fields["spacedimension"], "beside a space")
        spaces = whole(path, "space dimension", header.fields["spacedimension"], 1, 8)
    if spaces and spaces != axes:
        raise BadInput(f"{path}: the header has {axes} axes in a space of {spaces} dimensions.", CORRECT)
    return space, spaces


def _units(path: Path, header: NrrdHeader, spaces: int) -> float:
    """Millimetres in the header's unit of length; one unit for all axes. A missing one is millimetres, as always."""
    text = header.fields.get("spaceunits" if spaces else "units", "")
    names = {name.strip().lower() for name in re.findall(r'"([^"]*)"', text)} - {"", "???"}
    if not names:
        return 1.0
    if len(names) > 1 or not names <= MILLIMETRES.keys():
        raise wrong(path, "units", text, f"where one of {', '.join(MILLIMETRES)} is possible")
    return MILLIMETRES[names.pop()]


def _of_space(path: Path, name: str, vector: tuple[float, ...] | None, spaces: int) -> np.ndarray:
    if vector is None or len(vector) != spaces or not np.all(np.isfinite(vector)):
        raise wrong(path, name, str(vector), f"where {spaces} numbers are needed")
    return np.array(vector)[:3]


def _origin(
    path: Path, header: NrrdHeader, domain: list[int], dimension: int, steps: list[float | None]
) -> list[float] | None:
    """The first voxel's centre by the axes' ends, None where the header does not tell."""
    low, high = (header.numbers(path, name, dimension) for name in ("axismins", "axismaxs"))
    centers = header.words(path, "centers", dimension) or ["???"] * dimension
    sizes = [int(n) for n in header.fields["sizes"].split()]
    found = []
    for axis in domain:
        node = centers[axis].lower() == "node"
        step = steps[axis]
        if low[axis] is None or (step is None and high[axis] is None):
            return None
        if step is None:
            step = (high[axis] - low[axis]) / max(1, sizes[axis] - 1 if node else sizes[axis])
        found.append(low[axis] + (0 if node else step / 2))
    return found


def _stored(path: Path, header: NrrdHeader, sizes: list[int]) -> Stored:
    """Where the voxels are. Raises BadInput for a type, encoding or byte order that is not known."""
    fields = header.fields
    if fields["type"].lower() not in DTYPE:
        raise wrong(path, "type", fields["type"])
    if fields["encoding"].lower() not in ENCODINGS:
        raise wrong(path, "encoding", fields["encoding"])
    dtype, encoding = np.dtype(DTYPE[fields["type"].lower()]), ENCODINGS[fields["encoding"].lower()]
    endian = fields.get("endian", "").lower()
    if dtype.itemsize > 1 and encoding != "text":
        if endian not in ("little", "big"):
            raise wrong(path, "endian", endian, "where little or big is needed")
        dtype = dtype.newbyteorder("<" if endian == "little" else ">")
    lines = whole(path, "line skip", fields.get("lineskip", "0"), 0, 1 << 20)
    skip = whole(path, "byte skip", fields.get("byteskip", "0"), -1, 1 << 40)
    if skip < 0 and encoding != "raw":
        raise wrong(path, "byte skip", "-1", "which needs raw voxels")
    attached = "datafile" not in fields
    start = None if skip < 0 else header.end if attached else 0
    files = (path,) if attached else _data_files(path, header)
    return Stored(path, files, dtype, tuple(sizes), encoding, start, lines, max(0, skip))


def _data_files(path: Path, header: NrrdHeader) -> tuple[Path, ...]:
    """One detached file, a list of them, or a numbered row; each with an equal share of the slowest axis."""
    text = header.fields["datafile"]
    if header.files or text.split()[:1] == ["LIST"]:
        names = list(header.files)
    elif match := re.fullmatch(
        r"(\S*%0?[0-9]{0,2}d\S*) (-?[0-9]{1,12}) (-?[0-9]{1,12}) (-?[0-9]{1,12})( [0-9]+)?", text
    ):
        first, last, step = (int(match[i]) for i in (2, 3, 4))
        if step == 0 or abs(last - first) // abs(step) > 100000:
            raise wrong(path, "data file", text, "which is no row of numbers")
        numbers = range(first, last + (1 if step > 0 else -1), step)
        names = [match[1] % number for number in numbers]
    else:
        names = [text]
    slowest = int(header.fields["sizes"].split()[-1])
    if not names or len(names) > slowest or slowest % len(names):
        raise wrong(path, "data file", text, f"{len(names)} files for an axis of {slowest}")
    return tuple(path.parent / name for name in names)
