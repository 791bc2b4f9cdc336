"""Volumes that stay prepared between requests, so that a click needs one window and no resampling."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rep3d.worker.protocol import ProtocolError

if TYPE_CHECKING:
    from rep3d.inference.prepared import Prepared

MOST = 4  # volumes that are kept open; one more, and the one that was used longest ago is forgotten
MOST_PATCHES = 8  # of a volume, whose files are kept: each click in local mode leaves one


@dataclass
class OpenVolume:
    """A volume on the network's grid, the weights that it was prepared for, and its files.

    files: of the whole volume. patches: those of each patch, the newest last.
    """

    prepared: Prepared
    task: str
    weights: str | None
    sha256: str
    files: list[Path] = field(default_factory=list)
    patches: list[list[Path]] = field(default_factory=list)

    def keep_patch(self, files: list[Path]) -> None:
        """Keep the files of one more patch, and remove those of the oldest if there are too many."""
        self.patches.append(files)
        while len(self.patches) > MOST_PATCHES:
            remove(self.patches.pop(0))

    def remove_files(self) -> None:
        """Remove everything that belongs to it."""
        remove(self.files)
        for files in self.patches:
            remove(files)


class OpenVolumes:
    """The volumes that are open, by key."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, OpenVolume] = OrderedDict()

    def add(self, volume: OpenVolume) -> str:
        """Keep a volume; returns its key."""
        key = uuid.uuid4().hex
        self._open[key] = volume
        while len(self._open) > MOST:
            self.forget(next(iter(self._open)))
        return key

    def get(self, key: str) -> OpenVolume:
        """The volume of that key. Raises ProtocolError if it is not open (any more)."""
        if key not in self._open:
            raise ProtocolError(f"no volume is open under the key {key[:40]!r}", "Open the volume again.")
        self._open.move_to_end(key)
        return self._open[key]

    def forget(self, key: str) -> None:
        """Drop a volume and its files, if it is open."""
        volume = self._open.pop(key, None)
        if volume is not None:
            volume.remove_files()

    def clear(self) -> None:
        """Drop all of them."""
        for key in list(self._open):
            self.forget(key)


def remove(files: list[Path]) -> None:
    """Remove files that are there."""
    for path in files:
        path.unlink(missing_ok=True)
