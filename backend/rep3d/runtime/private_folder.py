"""Private folders for temporary files that other processes share, named after the process that owns them.

A folder is called ``rep3d-<pid of the owner>-...``, so that one left behind by a killed process can be told from one of
a program that still runs. The standard library only: 3D Slicer's process uses it too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: Names of private folders; the group is the owner's process id.
FOLDER = re.compile(r"rep3d-(\d{1,10})-[A-Za-z0-9_]+\Z")


def make_private_folder(parent_pid: int | None = None, root: str | Path | None = None) -> Path:
    """A new folder that only this user can read (0700), named after the process that owns it.

    Args:
        parent_pid: of the program that drives the worker; default: this process.
        root: where; default: the system's folder for temporary files.
    """
    prefix = f"rep3d-{os.getpid() if parent_pid is None else parent_pid}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=root)).resolve()


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A private folder inside the block; those of programs that were killed are removed first."""
    sweep_stale_folders()
    folder = make_private_folder()
    try:
        yield folder
    finally:
        remove_folder(folder)


def remove_folder(folder: Path, patience_s: float = 1.0) -> bool:
    """Remove the folder and what is in it; whether it is gone. Windows may hold files of a dying process a moment."""
    end = time.monotonic() + patience_s
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.05)


def sweep_stale_folders(root: str | Path | None = None) -> list[Path]:
    """Remove private folders of this user whose owner no longer runs, as after a power cut; returns those removed.

    A folder of a program that runs is never touched, also not this program's own.
    """
    removed = []
    for path in Path(root or tempfile.gettempdir()).glob("rep3d-*-*"):
        match = FOLDER.match(path.name)
        if match and not pid_alive(int(match[1])) and _is_own_folder(path) and remove_folder(path, 0.0):
            removed.append(path)
    return removed


def _is_own_folder(path: Path) -> bool:
    try:
        info = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and (os.name != "posix" or info.st_uid == os.getuid())


def pid_alive(pid: int) -> bool:
    """Whether a process of this id runs (a zombie counts as running until its parent has noticed)."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _windows_pid_alive(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as another user
        return True
    except OverflowError:
        return False
    return True


def _windows_pid_alive(pid: int) -> bool:
    import ctypes

    synchronize, access_denied, timeout = 0x00100000, 5, 0x102
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    kernel.OpenProcess.restype = ctypes.c_void_p
    kernel.WaitForSingleObject.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
    kernel.CloseHandle.argtypes = [ctypes.c_void_p]
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return ctypes.get_last_error() == access_denied  # type: ignore[attr-defined]
    try:
        return kernel.WaitForSingleObject(handle, 0) == timeout
    finally:
        kernel.CloseHandle(handle)
