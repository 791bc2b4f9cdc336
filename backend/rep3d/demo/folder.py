"""A result folder that appears whole: built beside its final place, then moved there."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from rep3d.errors import OutputFailed
from rep3d.files import read_record, remove_leftovers, temporary_path

#: A folder that holds this file was made by the demo and may be replaced.
MARKER = "demo.json"


def _not_of_a_demo(folder: Path) -> list[str]:
    """Names in the folder that no earlier demo has written."""
    made = (read_record(folder / MARKER) or {}).get("files")
    own = {MARKER, *map(str, made)} if isinstance(made, list) else set()
    return sorted(path.name for path in folder.iterdir() if path.name not in own)


@contextlib.contextmanager
def replaced_folder(final: Path) -> Iterator[Path]:
    """Give an empty folder beside ``final``; on success it takes the place of ``final``, else it is removed.

    An earlier demo there is replaced as a whole, unless somebody has put other files into it.

    Raises:
        OutputFailed: ``final`` is a file or holds something other than an earlier demo, or cannot be written.
    """
    final = Path(final)
    if final.exists() and not final.is_dir():
        raise OutputFailed(f"cannot write {final}: a file has this name", "Choose another folder with -o.")
    if final.is_dir() and (others := _not_of_a_demo(final)):
        raise OutputFailed(
            f"{final} holds {others[0]}, which was not made by the demo, so it is left as it is",
            "Choose another folder with -o.",
        )
    final = final.absolute()  # "." has no name
    remove_leftovers(final)
    building, old = temporary_path(final), final.with_name(f".{final.name}-old-{uuid.uuid4().hex[:8]}")
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
