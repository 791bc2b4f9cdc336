"""The voxels of an image file: found, decompressed, and checked to the last byte before anybody sees them.

Headers are read by this package (``nrrd``, ``metaimage``, ``gipl``, ``nifti``), which say where the voxels are and how
they are stored. What a file holds is either exactly what it announces or refused: a stream that ends early, is
damaged, or has a wrong checksum or length is never half an image.
"""

from __future__ import annotations

import bz2
import math
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rep3d.errors import BadInput, OutOfMemory

BLOCK_BYTES = {"gzip": 1 << 16, "zlib": 1 << 16, "bzip2": 1 << 12}  # of a file at a time: at most 200 MB of voxels
AGAIN = "Copy or export it again."
#: The most bytes of voxels that one byte of a file can hold, by encoding; bzip2 has no useful limit.
MOST = {"raw": 1, "gzip": 1040, "zlib": 1040, "bzip2": 1 << 20, "text": 8, "hex": 0.5}
MOST_TEXT = 64  # bytes of one number as text


@dataclass(frozen=True)
class Stored:
    """Where the values of an image are.

    path: the file that the user named, for messages. files: those with the values, each with an equal share, in order.
    dtype: with its byte order. size: of all dimensions.
    encoding: raw, gzip (of one or several members), zlib, bzip2, text or hex.
    start: where the values or their compressed stream begin in each file; None: raw values end where the file ends.
    lines: lines to skip from there. skip: bytes to skip after decompression. excess: how many bytes more than
    announced a compressed stream may hold.
    """

    path: Path
    files: tuple[Path, ...]
    dtype: np.dtype
    size: tuple[int, ...]
    encoding: str = "raw"
    start: int | None = 0
    lines: int = 0
    skip: int = 0
    excess: int = 0

    @property
    def count(self) -> int:
        """How many values there are."""
        return math.prod(self.size)

    @property
    def nbytes(self) -> int:
        """Bytes that the values take in memory."""
        return self.count * self.dtype.itemsize


def read_voxels(stored: Stored) -> tuple[np.ndarray, list[str]]:
    """All values [count] in this machine's byte order, and warnings.

    Raises:
        BadInput: a file is missing or no regular file, truncated or damaged, or holds more or less than announced.
        OutOfMemory: the values need more memory than is free.
    """
    if stored.count % len(stored.files):
        raise BadInput(f"{stored.path}: {stored.count} voxels cannot be spread over {len(stored.files)} files.", AGAIN)
    sizes = [_size(stored, file) for file in stored.files]
    _check_announced(stored, sum(sizes) - (stored.start or 0) * len(sizes))
    check_memory(stored.path, stored.nbytes, stored.size)
    try:
        values = np.empty(stored.count, stored.dtype)
    except MemoryError as error:
        raise OutOfMemory(f"{stored.path}: its voxels do not fit in memory.", "Crop or downsample it first.") from error
    share = stored.count // len(stored.files)
    more = 0
    for i, file in enumerate(stored.files):
        part = values[i * share : (i + 1) * share]
        try:
            with file.open("rb") as stream:
                more += _read(stored, stream, sizes[i], part)
        except (OSError, EOFError, zlib.error) as error:
            raise damaged(stored.path, error) from error
    if not values.dtype.isnative:
        values = values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
    warnings = [f"The file holds {more} bytes more than its header announces; they are left out."] if more else []
    return values, warnings


def check_memory(path: Path, nbytes: int, size: Sequence[int]) -> None:
    """Refuse to read what does not fit. Raises OutOfMemory."""
    import psutil

    free = psutil.virtual_memory().available
    if nbytes > free:
        raise OutOfMemory(
            f"{path}: reading {' x '.join(map(str, size))} voxels needs {nbytes / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free.",
            "Crop or downsample the image first, or use a machine with more memory.",
        )


def damaged(path: Path, reason: object) -> BadInput:
    """The error for a file that is not whole."""
    return BadInput(f"{path}: the file is truncated or damaged ({reason}).", AGAIN)


def first_bytes(path: Path, count: int) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked where it is gzip, and whether it is; fewer where there are no more."""
    with path.open("rb") as file:
        raw = file.read(max(count, 2))
        if raw[:2] != b"\x1f\x8b":
            return raw[:count], False
        decoder, found = zlib.decompressobj(31), b""
        try:
            while raw and len(found) < count and not decoder.eof:
                found += decoder.decompress(raw, count - len(found))
                raw = decoder.unconsumed_tail or file.read(BLOCK_BYTES["gzip"])
        except zlib.error:
            pass  # what came before the damage; whoever reads the voxels says that they are damaged
    return found, True


def is_regular(path: Path) -> bool:
    """Whether there is a file that can be read to an end: no folder, pipe or device."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _size(stored: Stored, file: Path) -> int:
    if not is_regular(file):
        raise BadInput(
            f"{stored.path}: the file with its voxels, {file.name}, is missing.", "Keep both files in one folder."
        )
    return file.stat().st_size


def _check_announced(stored: Stored, there: int) -> None:
    """No allocation for a header that announces more than the file can hold."""
    if stored.nbytes > max(there, 0) * MOST[stored.encoding]:
        held = there if stored.encoding == "raw" else f"{there} stored"
        raise BadInput(
            f"{stored.path}: the file is truncated or damaged: {held} bytes of voxels where its header announces "
            f"{stored.nbytes}.",
            AGAIN,
        )


def _read(stored: Stored, stream: BinaryIO, size: int, part: np.ndarray) -> int:
    """Fill ``part`` from one file; returns how many bytes more there were."""
    stream.seek(max(0, size - part.nbytes) if stored.start is None else stored.start)
    for _ in range(stored.lines):
        if not stream.readline(1 << 24):
            raise EOFError("it ends within the lines that are to be skipped")
    view = memoryview(part.view(np.uint8))
    if stored.encoding == "raw":
        stream.seek(stored.skip, 1)
        return _read_raw(stream, size, view)
    if stored.encoding in ("text", "hex"):
        _read_text(stored, stream, part)
        return 0
    return _decompress(stored, stream, view)


def _read_raw(stream: BinaryIO, size: int, view: memoryview) -> int:
    got = 0
    while got < len(view):
        count = stream.readinto(view[got : got + (1 << 30)])
        if not count:
            raise EOFError(f"{got} bytes of voxels where its header announces {len(view)}")
        got += count
    return size - stream.tell()


def _decompress(stored: Stored, stream: BinaryIO, view: memoryview) -> int:
    """Fill ``view`` from a compressed stream, which is read to its end so that its checksum is checked.

    In gzip and bzip2 another stream may follow the first; zeros between and after them are padding.
    """
    new = {"gzip": lambda: zlib.decompressobj(31), "zlib": zlib.decompressobj, "bzip2": bz2.BZ2Decompressor}[
        stored.encoding
    ]
    again = stored.encoding != "zlib"
    decoder, got = new(), -stored.skip
    while block := stream.read(BLOCK_BYTES[stored.encoding]):
        while block:
            if decoder.eof:
                block = block.lstrip(b"\0") if again else b""
                if not block:
                    break
                decoder = new()
            data = decoder.decompress(block)
            block = decoder.unused_data if decoder.eof else b""
            if got < 0:
                data, got = data[-got:], min(0, got + len(data))
            usable = max(0, min(len(data), len(view) - got))
            view[got : got + usable] = data[:usable]
            got += len(data)
            if got > len(view) + stored.excess:
                raise EOFError(f"more than the {len(view)} bytes of voxels that its header announces")
        if decoder.eof and not again:
            break
    if not decoder.eof:
        raise EOFError("its compressed data end too early")
    if got < len(view):
        raise EOFError(f"{max(got, 0)} bytes of voxels where its header announces {len(view)}")
    return got - len(view)


def _read_text(stored: Stored, stream: BinaryIO, part: np.ndarray) -> None:
    """Numbers as text, or bytes as pairs of hexadecimal digits."""
    try:
        if stored.encoding == "hex":
            data = bytes.fromhex(b"".join(stream.read().split()).decode("ascii"))[stored.skip :]
            if len(data) != part.nbytes:
                raise ValueError(f"{len(data)} bytes of voxels where its header announces {part.nbytes}")
            part.view(np.uint8)[:] = np.frombuffer(data, np.uint8)
            return
        stream.seek(stored.skip, 1)
        words = stream.read(MOST_TEXT * (len(part) + 1)).replace(b",", b" ").split()
        if len(words) != len(part):
            raise ValueError(f"{len(words)} numbers where its header announces {len(part)}")
        part[:] = _numbers(words, part.dtype)
    except (ValueError, OverflowError) as error:
        raise damaged(stored.path, error) from error


def _numbers(words: list[bytes], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return np.array([float(word) for word in words])
    values = [_integer(word) for word in words]
    limits = np.iinfo(dtype)
    if min(values) < limits.min or max(values) > limits.max:
        raise ValueError(f"numbers outside {limits.min} to {limits.max}")
    return np.array(values, dtype.newbyteorder("="))


def _integer(word: bytes) -> int:
    """A whole number, also as writers of floats put it (1e+06)."""
    try:
        return int(word)
    except ValueError:
        if float(word).is_integer():
            return int(float(word))
        raise
