"""Compiled networks and what was measured of them, in the user's cache folder.

Files are written to a temporary name and moved into place, with a checksum in front. The folder holds at most
``LIMIT`` bytes: what has not been used for longest goes first. Deleting it loses nothing but time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from pathlib import Path

from rep3d.errors import OutputFailed
from rep3d.files import sweep, write_bytes, write_text
from rep3d.runtime.folders import cache_folder

LIMIT = 4 << 30
_MAGIC = b"rep3d-engine-1\n"
_DIGEST = 32


def folder() -> Path:
    """``$REP3D_CACHE_DIR/engines``, or the same folder of the user's cache."""
    return cache_folder() / "engines"


def read(file: Path) -> bytes | None:
    """What :func:`write` put there; None if there is nothing, or nothing whole (which is said)."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _DIGEST
    data = content[start:]
    if content[: len(_MAGIC)] != _MAGIC or hashlib.sha256(data).digest() != content[len(_MAGIC) : start]:
        warnings.warn(f"{file} is damaged and is made again.", RuntimeWarning, stacklevel=2)
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # used now
    return data


def write(file: Path, data: bytes) -> None:
    """Keep ``data``; a folder that cannot be written is said and costs the next run the time again."""
    try:
        write_bytes(file, _MAGIC + hashlib.sha256(data).digest() + data)
    except OutputFailed as error:
        warnings.warn(f"{error} It will be made again next time.", RuntimeWarning, stacklevel=2)
        return
    make_room(file)


def make_room(keep: Path, limit: int | None = None) -> None:
    """Delete the files that were used longest ago until the rest fits ``limit`` bytes; ``keep`` stays."""
    limit = LIMIT if limit is None else limit
    sweep(keep.parent)
    found = []
    for path in keep.parent.glob("*.blob"):
        with contextlib.suppress(OSError):
            info = path.stat()
            found.append((info.st_mtime, info.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        if path != keep:
            with contextlib.suppress(OSError):
                path.unlink()
                path.with_suffix(".json").unlink(missing_ok=True)
                total -= size


def read_record(file: Path) -> dict | None:
    """The JSON object in ``file``; None if there is none."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def write_record(file: Path, record: dict) -> None:
    """Keep a JSON object, as :func:`write` keeps bytes."""
    try:
        write_text(file, json.dumps(record, indent=1) + "\n")
    except OutputFailed as error:
        warnings.warn(f"{error} It will be measured again next time.", RuntimeWarning, stacklevel=2)
