"""A result folder that appears whole: built beside its final place, then moved there."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from rep3d.errors import OutputFailed

#: A folder that holds this file was made by the demo and may be replaced.
MARKER = "demo.json"


@contextlib.contextmanager
def replaced_folder(final: Path) -> Iterator[Path]:
    """Give an empty folder beside ``final``; on success it takes the place of ``final``, else it is removed.

    An earlier demo there is replaced as a whole.

    Raises:
        OutputFailed: ``final`` is a file or holds something other than an earlier demo, or cannot be written.
    """
    final = Path(final)
    if final.exists() and not final.is_dir():
        raise OutputFailed(f"cannot write {final}: a file has this name", "Choose another folder with -o.")
    if final.is_dir() and any(final.iterdir()) and not (final / MARKER).is_file():
        raise OutputFailed(
            f"{final} is not empty and was not made by the demo, so it is left as it is",
            "Choose another folder with -o.",
        )
    token = uuid.uuid4().hex[:8]
    building, old = (final.parent / f".{final.name}-{kind}-{token}" for kind in ("partial", "old"))
    try:
        building.mkdir(parents=True)
        yield building
        if final.exists():
            os.replace(final, old)
        os.replace(building, final)
    except OSError as error:
        if old.exists() and not final.exists():
            os.replace(old, final)
        raise OutputFailed(
            f"cannot write {final}: {error.strerror or error}", "Check the folder, its permissions and free space."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
