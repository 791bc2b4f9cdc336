"""Writing files so that a final name never holds half a result, nor takes the place of what is not ours."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import platform
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput, OutputFailed

OVERWRITE_HELP = "Replace what is there."
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


def check_free(
    outputs: Iterable[Path],
    *,
    overwrite: bool = False,
    record: Path | None = None,
    same: Callable[[dict[str, Any]], bool] | None = None,
) -> None:
    """Refuse names that are taken, unless by an earlier result of the same source. To be called before computing.

    Args:
        outputs: all that will be written; the last part may be a pattern such as ``stage*.png``.
        overwrite: whether the user has said that what is there may go.
        record: the JSON file of ours among them that says what all were made from; without one nothing may be there.
        same: whether what that file holds is of the same source; it may raise KeyError and TypeError for "no".

    Raises OutputFailed: a name is taken.
    """
    taken = [path for output in outputs for path in _there(Path(output))]
    for path in taken:
        if path.is_dir():
            raise OutputFailed(f"cannot write {path}: a folder has this name", "Choose another name with -o.")
    if not taken or overwrite or (record is not None and same is not None and _is_own(Path(record), same)):
        return
    of_ours = ", and it is no earlier result of the same source" if record is not None else ""
    raise OutputFailed(
        f"{taken[0]} is there already{of_ours}", "Choose another name with -o, or replace it with --overwrite."
    )


def _there(output: Path) -> list[Path]:
    if glob.has_magic(output.name) and not os.path.lexists(output):
        return sorted(path for path in output.parent.glob(output.name) if not path.name.startswith("."))
    return [output] if os.path.lexists(output) else []


def _is_own(record: Path, same: Callable[[dict[str, Any]], bool]) -> bool:
    content = read_record(record)
    try:
        return content is not None and same(content)
    except (KeyError, TypeError, AttributeError):  # of another program, or of another command
        return False


def read_record(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


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
