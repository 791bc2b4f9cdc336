"""Probabilities of every class on the native grid, in tiles of bytes, compressed; read without PyTorch.

A dense map would hold classes x voxels. Almost everywhere a class is impossible, so only tiles in which it reaches
``FLOOR`` are kept: one byte a voxel (``round(255 p)``), zlib-compressed, one after the other in a file, and an index.
3D Slicer's process reads single classes from it while the network's process may already do something else.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rep3d.errors import BadInput, OutputFailed

FORMAT = 1
FLOOR = 1 / 64  # a class that stays below this everywhere in a tile is left out of it
REMEMBERED_TILES = 64  # of 64^3 bytes each
Index = tuple[int, int, int]


class ProbabilityWriter:
    """Takes tiles in any order and writes them to ``<path>``; ``close`` writes the index ``<path>.json``.

    Args:
        path: of the file of compressed tiles; must not exist yet.
        shape: native grid (i, j, k).
        num_classes: with background, of which no tiles are kept.

    Raises:
        OutputFailed: the files cannot be written.
    """

    def __init__(self, path: str | Path, shape: Index, num_classes: int):
        self.path, self.shape, self.num_classes = Path(path), tuple(shape), num_classes
        self._tiles: list[list[int]] = []  # class, start, shape, offset, length: as in the index
        self._offset = 0
        try:
            self._stream = open(self.path, "xb")  # noqa: SIM115 - closed by close() or discard()
        except OSError as error:
            raise _failed(self.path, error) from error

    def add(self, class_index: int, start: Index, values: np.ndarray) -> None:
        """Keep ``values`` [i, j, k] (probabilities 0 to 1) of a class, if any of them reaches the floor."""
        if class_index == 0 or not values.size or float(values.max()) < FLOOR:
            return
        data = zlib.compress(np.ascontiguousarray(np.rint(values * 255).astype(np.uint8)).tobytes(), 1)
        try:
            self._stream.write(data)
        except OSError as error:
            raise _failed(self.path, error) from error
        self._tiles.append([int(class_index), *map(int, start), *values.shape, self._offset, len(data)])
        self._offset += len(data)

    def close(self) -> None:
        """Finish both files; the index is written last, so that a map with an index is whole."""
        index = {
            "format": FORMAT,
            "shape": list(self.shape),
            "num_classes": self.num_classes,
            "bytes": self._offset,
            "tiles": self._tiles,
        }
        target = index_path(self.path)
        partial = target.with_name(target.name + ".part")
        try:
            self._stream.close()
            partial.write_text(json.dumps(index), encoding="utf-8")
            os.replace(partial, target)
        except OSError as error:
            raise _failed(self.path, error) from error

    def discard(self) -> None:
        """Remove what was written (after a cancelled or failed run)."""
        self._stream.close()
        target = index_path(self.path)
        for path in (self.path, target, target.with_name(target.name + ".part")):
            path.unlink(missing_ok=True)


class ProbabilityMap:
    """Reads what a ``ProbabilityWriter`` wrote.

    Raises:
        BadInput: the files are missing, cut off or of another format.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            index = json.loads(index_path(self.path).read_text(encoding="utf-8"))
            rows = np.asarray(index["tiles"], np.int64).reshape(-1, 9)
            self.shape: Index = tuple(int(n) for n in index["shape"])
            self.num_classes = int(index["num_classes"])
            whole = index["format"] == FORMAT and self.path.stat().st_size == index["bytes"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{self.path}: not a probability map ({error})", "Run the segmentation again.") from error
        if not whole:
            raise BadInput(f"{self.path}: the probability map is cut off or of another version.", "Run it again.")
        self._classes, self._starts, self._stops = rows[:, 0], rows[:, 1:4], rows[:, 1:4] + rows[:, 4:7]
        self._places = rows[:, 7:]
        self._decoded: OrderedDict[int, np.ndarray] = OrderedDict()

    @property
    def classes(self) -> tuple[int, ...]:
        """Classes (background never) that have any tile, in order."""
        return tuple(int(c) for c in np.unique(self._classes))

    def box(self, class_index: int) -> tuple[Index, Index] | None:
        """First voxel and shape of the smallest box of tiles that holds the class; None if it is nowhere."""
        tiles = np.flatnonzero(self._classes == class_index)
        if not len(tiles):
            return None
        low, high = self._starts[tiles].min(axis=0), self._stops[tiles].max(axis=0)
        return tuple(map(int, low)), tuple(map(int, high - low))

    def read(self, class_index: int) -> tuple[np.ndarray, Index]:
        """Probabilities of a class, uint8 ``round(255 p)`` [i, j, k] in its box, and the box's first voxel.

        An empty array at (0, 0, 0) for a class that is nowhere. Raises BadInput when the file is damaged.
        """
        box = self.box(class_index)
        if box is None:
            return np.zeros((0, 0, 0), np.uint8), (0, 0, 0)
        first, shape = box
        values = np.zeros(shape, np.uint8, order="F")  # i fastest, as the voxels of a volume
        with open(self.path, "rb") as stream:
            for tile in np.flatnonzero(self._classes == class_index):
                where = tuple(slice(a - f, z - f) for a, z, f in zip(self._starts[tile], self._stops[tile], first))
                values[where] = self._decode(stream, int(tile))
        return values, first

    def at(self, voxel: Index) -> dict[int, float]:
        """Probability of every class but background at one voxel; classes that are impossible there are left out.

        Tiles are remembered, so that following a mouse costs next to nothing.
        """
        here = np.flatnonzero(((self._starts <= voxel) & (voxel < self._stops)).all(axis=1))
        found: dict[int, float] = {}
        for tile in map(int, here):
            if tile not in self._decoded:
                with open(self.path, "rb") as stream:
                    self._decoded[tile] = self._decode(stream, tile)
                while len(self._decoded) > REMEMBERED_TILES:
                    self._decoded.popitem(last=False)
            self._decoded.move_to_end(tile)
            value = int(self._decoded[tile][tuple(np.asarray(voxel) - self._starts[tile])])
            if value:
                found[int(self._classes[tile])] = value / 255
        return found

    def _decode(self, stream: BinaryIO, tile: int) -> np.ndarray:
        offset, length = map(int, self._places[tile])
        stream.seek(offset)
        try:
            data = zlib.decompress(stream.read(length))
            return np.frombuffer(data, np.uint8).reshape(self._stops[tile] - self._starts[tile])
        except (zlib.error, ValueError) as error:
            raise BadInput(f"{self.path}: the probability map is damaged ({error}).", "Run it again.") from error


def index_path(path: str | Path) -> Path:
    """The index that belongs to a file of tiles."""
    path = Path(path)
    return path.with_name(path.name + ".json")


def _failed(path: Path, error: OSError) -> OutputFailed:
    return OutputFailed(f"{path}: cannot write the probabilities: {error.strerror or error}", "Free some space.")
