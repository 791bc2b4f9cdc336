"""The header of a safetensors file, read with the standard library and checked before anything else looks at the file.

Layout: the header's length in 8 bytes, the header (JSON: ``__metadata__`` and one entry a tensor), the tensors' bytes.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from rep3d.errors import WeightsInvalid

LONGEST_HEADER = 8 << 20  # bytes; what `rep3d fuse` writes has tens of thousands
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_AGAIN = "Get the file again, or fuse it again from its checkpoint."


@dataclass(frozen=True)
class Header:
    """``metadata``: the texts of ``__metadata__``. ``shapes``: of every tensor by name."""

    metadata: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]


def read_header(path: Path) -> Header:
    """The header of that file, its tensors known to lie side by side in the rest of it. Raises WeightsInvalid."""
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(9)
            _refuse_pickle(path, start)
            length = int.from_bytes(start[:8], "little")
            if len(start) < 9 or length > size - 8:
                raise _damaged(path, f"its header of {length} bytes does not fit into {size} bytes")
            if length > LONGEST_HEADER:
                raise _damaged(path, f"its header has {length} bytes, more than {LONGEST_HEADER}")
            text = start[8:] + stream.read(length - 1)
    except OSError as error:
        raise WeightsInvalid(f"{path} cannot be read: {error.strerror}", "Check its permissions.") from error
    entries = parse_json(text, path, "its header")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise _damaged(path, "its __metadata__ is no mapping")
    return Header(metadata, _shapes(entries, size - 8 - length, path))


def parse_json(text: bytes | str, path: Path, what: str) -> dict[str, Any]:
    """A JSON object without repeated names, not nested too deeply. Raises WeightsInvalid.

    NaN and infinities come through: who checks the fields can say which one it is.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            raise ValueError("a name is there twice")
        return values

    try:
        values = json.loads(text, object_pairs_hook=once)
    except RecursionError:  # not chained: its traceback has a thousand lines
        raise _damaged(path, f"{what} is nested too deeply") from None
    except ValueError as error:  # UnicodeDecodeError too
        raise _damaged(path, f"{what} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise _damaged(path, f"{what} is no mapping")
    return values


def _shapes(entries: dict[str, Any], size: int, path: Path) -> dict[str, tuple[int, ...]]:
    spans, shapes = [], {}
    for name, entry in entries.items():
        try:
            item, shape, (begin, end) = _ITEM_BYTES[entry["dtype"]], entry["shape"], entry["data_offsets"]
            right = all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, begin, end)) and len(shape) <= 8
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, f"the entry of tensor {name[:100]!r} is malformed") from error
        if not right or prod(shape) * item != end - begin:
            raise _damaged(path, f"the entry of tensor {name[:100]!r} is malformed")
        spans.append((begin, end, name))
        shapes[name] = tuple(shape)
    at = 0
    for begin, end, name in sorted(spans):
        if begin != at:
            raise _damaged(path, f"the bytes of tensor {name[:100]!r} do not follow those before it")
        at = end
    if at != size:
        raise _damaged(path, f"its tensors take {at} bytes, and there are {size}")
    return shapes


def _refuse_pickle(path: Path, start: bytes) -> None:
    # The header's length may begin like a pickle or a zip archive; then "{" follows.
    if start[8:] != b"{" and start.startswith((b"PK", b"\x80")):
        raise WeightsInvalid(
            f"{path} is a pickled PyTorch file, which could run code when loaded",
            "Turn your own checkpoint into weights with `rep3d fuse`, foreign ones with `rep3d import`.",
        )


def _damaged(path: Path, problem: str) -> WeightsInvalid:
    return WeightsInvalid(f"{path} is not a whole safetensors file: {problem}", _AGAIN)
