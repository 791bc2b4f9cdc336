"""The header of an NRRD file: its lines, checked one by one, and words, numbers and vectors of its fields."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rep3d.errors import BadInput
from rep3d.io.header import CORRECT, real, short, wrong

MAGIC = b"NRRD000"
HEADER_BYTES, FIELD_CHARACTERS = 1 << 24, 2000  # far above any real header; names of files and notes may be longer
FREE_TEXT = {"content", "labels", "sampleunits", "datafile", "number"}
FIELDS = FREE_TEXT | {
    "axismaxs", "axismins", "blocksize", "byteskip", "centers", "dimension", "encoding", "endian", "kinds", "lineskip",
    "max", "measurementframe", "min", "oldmax", "oldmin", "sizes", "space", "spacedimension", "spacedirections",
    "spaceorigin", "spaceunits", "spacings", "thicknesses", "type", "units",
}  # fmt: skip
SYNONYMS = {"centerings": "centers"}
_FIELD = re.compile(r"(?P<name>[A-Za-z][A-Za-z ]{0,30}): (?P<text>.*)\Z", re.DOTALL)
_VECTOR = re.compile(r"none|\(([^()]*)\)")


@dataclass(frozen=True)
class NrrdHeader:
    """The header's fields by their name in small letters without spaces, its key/value pairs, and where it ends."""

    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    files: tuple[str, ...]  # the lines after "data file: LIST"
    end: int

    def words(self, path: Path, name: str, count: int) -> list[str] | None:
        """The ``count`` words of a field, None when it is not there. Raises BadInput for another number of words."""
        if name not in self.fields:
            return None
        found = self.fields[name].split()
        if len(found) != count:
            raise wrong(path, name, self.fields[name], f"where {count} words are needed")
        return found

    def vectors(self, path: Path, name: str, count: int) -> list[tuple[float, ...] | None] | None:
        """``count`` vectors of a field, None for each "none"; None when the field is not there."""
        text = self.fields.get(name)
        if text is None:
            return None
        found = list(_VECTOR.finditer(text))
        if len(found) != count or _VECTOR.sub("", text).strip():
            raise wrong(path, name, text, f"where {count} vectors are needed")
        return [
            None if match[0] == "none" else tuple(real(path, name, n.strip()) for n in match[1].split(","))
            for match in found
        ]

    def numbers(self, path: Path, name: str, dimension: int) -> list[float | None]:
        """A number an axis; None where the header gives none or NaN, which says "not known"."""
        words = self.words(path, name, dimension) or ["nan"] * dimension
        values = [real(path, name, word) for word in words]
        return [None if np.isnan(value) else value for value in values]


def read_nrrd_header(path: Path) -> NrrdHeader:
    """The lines of a header up to the empty line or the end. Raises BadInput for a line that is none of NRRD's."""
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline(100).startswith(MAGIC):
            raise BadInput(f"{path}: not an NRRD file.", CORRECT)
        while raw := file.readline(HEADER_BYTES):
            line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
            if file.tell() > HEADER_BYTES:
                raise BadInput(f"{path}: the header has no end.", CORRECT)
            if not line:
                return NrrdHeader(fields, pairs, (), file.tell())
            if line.startswith("#"):
                continue
            match = _FIELD.match(line)
            name = match["name"].replace(" ", "").lower() if match else ""
            name = SYNONYMS.get(name, name)
            if match and name in FIELDS:
                text = match["text"].strip()
                if name in fields:
                    raise wrong(path, name, text, "and the field is there twice")
                if len(text) > FIELD_CHARACTERS and name not in FREE_TEXT:
                    raise wrong(path, name, text, f"of {len(text)} characters")
                fields[name] = text
                if name == "datafile" and text.split()[:1] == ["LIST"]:
                    names = [n.strip() for n in os.fsdecode(file.read(HEADER_BYTES)).splitlines()]
                    return NrrdHeader(fields, pairs, tuple(filter(None, names)), file.tell())
            elif ":=" in line:
                key, _, value = line.partition(":=")
                pairs[_plain(key)] = _plain(value)
            else:
                raise BadInput(f"{path}: the header holds the line {short(line)}, which is not of NRRD.", CORRECT)
        return NrrdHeader(fields, pairs, (), file.tell())


def _plain(text: str) -> str:
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
