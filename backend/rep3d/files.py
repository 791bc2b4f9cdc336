"""Writing files so that a final name never holds half a result."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from rep3d.errors import OutputFailed


@contextlib.contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``final`` (same suffixes); moved onto ``final`` on success, removed on failure.

    The suffixes are kept because writers choose the format by them. The content is on the disk before the name is, so
    that neither a killed process nor a power cut leaves half a file. Raises OutputFailed, naming ``final``, when the
    folder cannot be made or written, or the disk is full.
    """
    final = Path(final)
    temporary = final.with_name(f".{uuid.uuid4().hex[:8]}-partial-{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb+") as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, final)
    except OSError as error:
        raise OutputFailed(
            f"cannot write {final}: {error.strerror or error}", "Check the folder, its permissions and free space."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(final: str | Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, atomically."""
    with atomic_path(final) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(final: str | Path, data: bytes) -> None:
    """Write bytes, atomically."""
    with atomic_path(final) as temporary:
        temporary.write_bytes(data)


def sha256_file(path: str | Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
