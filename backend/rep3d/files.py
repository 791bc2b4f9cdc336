"""Writing files so that a final name never holds half a result."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import platform
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from rep3d.errors import BadInput, OutputFailed

ABANDONED_S = 3600  # after which another machine's temporary file counts as left behind


def shown(path: str | Path) -> str:
    """A path as text that every stream and window can show: bytes that are no UTF-8 are written as ``\\xNN``."""
    try:
        return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, as Windows allows in names
        return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def check_name(path: str | Path) -> None:
    """Raise BadInput for a path that is no UTF-8: ITK ends the process when it is given one."""
    if shown(path) != str(path):
        raise BadInput(f"{shown(path)}: the name is not valid UTF-8.", "Rename the file or folder.")


@contextlib.contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``final`` (same suffixes); moved onto ``final`` on success, removed on failure.

    The suffixes are kept because writers choose the format by them. The content is on the disk before the name is, so
    that neither a killed process nor a power cut leaves half a file. Raises OutputFailed, naming ``final``, when the
    folder cannot be made or written, or the disk is full; BadInput for a name that no library could write to.
    """
    check_name(final)
    final = Path(final)
    temporary = temporary_path(final)
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


def temporary_path(final: Path) -> Path:
    """A hidden name beside ``final`` that says which process of which machine writes it."""
    return final.with_name(f".{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}-partial-{final.name}")


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def remove_leftovers(final: str | Path) -> None:
    """Delete temporary files for ``final`` whose writer was killed.

    Those of a living process of this machine stay; of another machine's, which cannot be asked, those that nobody has
    written to for an hour are deleted.
    """
    final = Path(final)
    for path in final.parent.glob(f".*-partial-{glob.escape(final.name)}"):
        owner = re.match(r"\.([0-9a-f]{6})-(\d+)-[0-9a-f]{8}-partial-", path.name)
        with contextlib.suppress(OSError):
            here = owner is not None and owner[1] == _machine()
            if not _alive(int(owner[2])) if here else time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()


def _alive(pid: int) -> bool:
    import psutil  # here: this file is imported by everything

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def write_text(final: str | Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, atomically."""
    with atomic_path(final) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


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
