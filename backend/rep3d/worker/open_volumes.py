"""Volumes that stay prepared between requests, so that a click needs one window and no resampling."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from rep3d.inference.prepared import Prepared
from rep3d.worker.protocol import ProtocolError

MOST = 4  # volumes that are kept open; one more, and the one that was used longest ago is forgotten


@dataclass
class OpenVolume:
    """A volume on the network's grid, the weights that it was prepared for, and its files."""

    prepared: Prepared
    task: str
    weights: str | None
    sha256: str
    files: list[Path]


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
            for path in volume.files:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Drop all of them."""
        for key in list(self._open):
            self.forget(key)
