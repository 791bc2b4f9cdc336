"""The private folder through which arrays travel: made and swept by the parent, checked and removed by the worker.

The standard library only: the parent has no numpy to spare.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from rep3d.runtime.private_folder import FOLDER, make_private_folder, pid_alive, remove_folder, sweep_stale_folders
from rep3d.worker.protocol import ProtocolError

__all__ = [
    "array_path", "make_private_folder", "pid_alive", "remove_folder", "sweep_stale_folders", "why_not_private",
]  # fmt: skip

_ARRAY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.npy\Z")


def why_not_private(folder: Path) -> str:
    """Why the worker must not use ``folder``; "" if it may.

    It may use a real folder of this user that nobody else can enter, and that holds nothing but arrays for a first
    request: at the end all of it is removed.
    """
    try:
        info = os.lstat(folder)
    except (OSError, ValueError) as error:
        return f"{folder} cannot be used: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISDIR(info.st_mode):
        return f"{folder} is not a folder"
    if not FOLDER.match(folder.name):
        return f"{folder} is not called rep3d-<pid>-<letters>"  # it will be removed with all that is in it
    # Windows gives each user a temporary folder of their own, whose access list new folders inherit.
    if os.name == "posix":
        if info.st_uid != os.getuid():
            return f"{folder} belongs to another user"
        if info.st_mode & 0o077:
            return f"{folder} can be entered by others (mode {stat.S_IMODE(info.st_mode):o}, 700 is needed)"
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not _ARRAY.match(entry.name) or not entry.is_file(follow_symlinks=False):
            return f"{folder} is not empty: it holds {entry.name!r}, which is no array of a request"
    return ""


def array_path(folder: Path, name: str) -> Path:
    """The file of an array in the private folder.

    Raises:
        ProtocolError: the name is not that of a plain ``.npy`` file directly in the folder, or no such file is there.
    """
    if not _ARRAY.match(name):
        raise ProtocolError(
            f"{name[:100]!r} is not the name of an array", "Arrays are .npy files directly in the private folder."
        )
    path = folder / name
    try:
        info = os.lstat(path)
    except OSError as error:
        raise ProtocolError(f"there is no array {name} in the private folder ({error.strerror})") from error
    if not stat.S_ISREG(info.st_mode):
        raise ProtocolError(f"{name} is not a plain file", "Links are not followed out of the private folder.")
    return path
