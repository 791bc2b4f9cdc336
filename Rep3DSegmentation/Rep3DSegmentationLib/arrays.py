"""Arrays to and from the worker: ``.npy`` files in the private folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import WorkerError
from .i18n import _
from .launch import other_temporary_folder

if TYPE_CHECKING:
    import numpy as np


def write_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Save an array; Fortran order is kept, so that a transposed view of Slicer's voxels is written without a copy.

    Raises WorkerError: output_failed when the disk is full or the folder is gone.
    """
    import numpy as np

    path, temporary = folder / name, folder / f"{name}.part"
    try:
        with open(temporary, "wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    except OSError as error:
        if folder.is_dir():
            temporary.unlink(missing_ok=True)
        raise WorkerError(
            "output_failed",
            _("The volume could not be written to {folder}: {error}").format(folder=folder, error=error),
            _("{need:.0f} MB are needed there: free space on that disk, or {other}.").format(
                need=array.nbytes / 1e6, other=other_temporary_folder()
            ),
        ) from error


def read_array(folder: Path, name: str) -> np.ndarray:
    """Load an array wholly into memory and delete its file. Raises WorkerError (internal)."""
    import numpy as np

    if Path(name).name != name or not name.endswith(".npy"):
        raise WorkerError("internal", _("The worker named a file that cannot be read: {name}").format(name=name))
    try:
        array = np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise WorkerError(
            "internal",
            _("The result {name} could not be read: {error}").format(name=name, error=error),
            _("Run again; if it happens again, free space on the disk of the temporary folder."),
        ) from error
    discard_array(folder, name)
    return array


def discard_array(folder: Path, name: str) -> bool:
    """Delete an array file; false while it is in use (Windows), then it goes with the folder when the worker ends."""
    try:
        (folder / Path(name).name).unlink(missing_ok=True)
    except OSError:
        return False
    return True
