"""Writing files so that a final name never holds half a result, nor takes the place of what is not ours."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput, OutputFailed

OVERWRITE_HELP = "Replace what is there."
ABANDONED_S = 3600  # after which a temporary file of a writer that cannot be asked counts as left behind
CLOCK_S = 5.0  # by which the start of one process may seem to differ, as the clock is set
LONGEST_NAME = 150  # bytes; longer names are shortened in temporary names


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


def check_path(path: str | Path, *, is_name: bool = True) -> None:
    """Raise BadInput for what can be no input or output: a pipe, device or socket, and a name that no disk takes.

    Args:
        path: as the user gave it; it need not exist. is_name: else it may be any text, which is no path if it is long.
    """
    check_name(path)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        number = getattr(error, "errno", None)
        if is_name and number in (None, errno.ENAMETOOLONG, errno.ELOOP):
            words = getattr(error, "strerror", None) or "no path"
            raise BadInput(f"{shown(path)}: {words}.", "Give another name.") from error
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise BadInput(f"{path} is neither a file nor a folder.", "Pipes, devices and sockets are not read.")


def check_free(
    outputs: Iterable[Path] = (),
    *,
    patterns: Iterable[Path] = (),
    overwrite: bool | None = False,
    record: Path | None = None,
    same: Callable[[dict[str, Any]], bool] | None = None,
) -> None:
    """Refuse names that are taken, unless by an earlier result of the same source. To be called before computing.

    What a killed run has left of these files is removed.

    Args:
        outputs: all that will be written.
        patterns: the same where the names are not known yet, such as ``folder / "stage*.png"``.
        overwrite: whether the user has said that what is there may go; None where there is no way to say so.
        record: the JSON file of ours among them that says what all were made from; without one nothing may be there.
        same: whether what that file holds is of the same source; it may raise KeyError and TypeError for "no".

    Raises OutputFailed: a name is taken.
    """
    there = []
    for output in map(Path, outputs):
        check_path(output)
        remove_leftovers(output)
        there += [output] if os.path.lexists(output) else []
    for pattern in map(Path, patterns):
        sweep(pattern.parent, pattern.name)
        there += sorted(path for path in pattern.parent.glob(pattern.name) if not path.name.startswith("."))
    for path in there:
        if path.is_dir():
            raise OutputFailed(f"cannot write {path}: a folder has this name", "Choose another name with -o.")
    if not there or overwrite or (record is not None and same is not None and _is_own(Path(record), same)):
        return
    why = ", and it is no earlier result of the same source" if record is not None else ""
    raise taken(there[0], why, may_overwrite=overwrite is not None)


def taken(path: Path, why: str = "", *, may_overwrite: bool = True) -> OutputFailed:
    """The error for a name that is taken."""
    hint = "Choose another place for the output"
    return OutputFailed(f"{path} is there already{why}", hint + (", or --overwrite." if may_overwrite else "."))


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


def as_json(value: Any) -> Any:
    """The value as it comes back from a JSON file, to compare it with one."""
    return json.loads(json.dumps(value))


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
    """A hidden name beside ``final`` that says which process of which machine writes it, and when that began."""
    owner = f"{_machine()}-{os.getpid()}-{_started():08x}-{uuid.uuid4().hex[:8]}"
    return final.with_name(f".{owner}-partial-{_short(final.name)}")


def _short(name: str) -> str:
    """A name that leaves room for the owner's; the end stays, by which writers choose the format."""
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16] + name[-24:]


@functools.cache
def _machine() -> str:
    """Tells machines apart, and containers on one machine, which cannot see each other's processes."""
    try:
        processes = os.readlink("/proc/self/ns/pid")  # Linux alone has it
    except OSError:
        processes = ""
    return hashlib.sha256(f"{platform.node()}{processes}".encode()).hexdigest()[:6]


def _started() -> int:
    """When this process began, in whole seconds."""
    return _start_of(os.getpid())


@functools.cache
def _start_of(pid: int) -> int:
    import psutil  # here: this file is imported by everything

    return int(psutil.Process(pid).create_time())


def remove_leftovers(final: str | Path) -> None:
    """Delete temporary files and folders for ``final`` whose writer was killed, as :func:`sweep` does."""
    final = Path(final)
    sweep(final.parent, glob.escape(_short(final.name)))


def sweep(folder: Path, pattern: str = "*") -> None:
    """Delete temporary files and folders of killed writers in a folder, for final names that match.

    Those of a living process of this machine stay. Where it is not certain that the writer has ended (it is another
    machine's, or its number belongs to another process by now) those that nobody has written to for an hour go.
    """
    for path in folder.glob(f".*-partial-{pattern}"):
        with contextlib.suppress(OSError):
            if _writer_ended(path):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _writer_ended(path: Path) -> bool:
    owner = re.match(r"\.([0-9a-f]{6})-(\d+)-([0-9a-f]{8})-[0-9a-f]{8}-partial-", path.name)
    if owner and owner[1] == _machine():
        import psutil

        try:
            process = psutil.Process(int(owner[2]))
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            if abs(process.create_time() - int(owner[3], 16)) < CLOCK_S:
                return False
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False
    return time.time() - path.stat().st_mtime > ABANDONED_S


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


def content_hash(path: Path) -> str | None:
    """The SHA-256 of a file; None for a folder, or where nothing is."""
    return sha256_file(path) if path.is_file() else None
