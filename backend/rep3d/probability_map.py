"""Probabilities of every class on the native grid, in tiles of bytes, compressed; read without PyTorch.

A dense map would hold classes x voxels. Almost everywhere a class is impossible, so only tiles in which it reaches
``FLOOR`` are kept: one byte a voxel (``round(255 p)``), zlib-compressed, one after the other in a file, and an index.
3D Slicer's process reads single classes from it while the network's process may already do something else.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.errors import BadInput, OutputFailed

FORMAT = 1
FLOOR = 1 / 64  # a class that stays below this everywhere in a tile is left out of it
Index = tuple[int, int, int]


@dataclass(frozen=True)
class Tile:
    """A box of voxels of one class and where its bytes lie in the file."""

    class_index: int
    start: Index
    shape: Index
    offset: int
    length: int


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
        self.tiles: list[Tile] = []
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
        box = tuple(int(s) for s in start), tuple(int(n) for n in values.shape)
        self.tiles.append(Tile(int(class_index), *box, self._offset, len(data)))
        self._offset += len(data)

    def close(self) -> None:
        """Finish both files; the index is written last, so that a map with an index is whole."""
        index = {
            "format": FORMAT,
            "shape": list(self.shape),
            "num_classes": self.num_classes,
            "bytes": self._offset,
            "tiles": [[t.class_index, *t.start, *t.shape, t.offset, t.length] for t in self.tiles],
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
            tiles = [Tile(t[0], tuple(t[1:4]), tuple(t[4:7]), t[7], t[8]) for t in index["tiles"]]
            self.shape: Index = tuple(int(n) for n in index["shape"])
            self.num_classes = int(index["num_classes"])
            whole = index["format"] == FORMAT and self.path.stat().st_size == index["bytes"]
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise BadInput(f"{self.path}: not a probability map ({error})", "Run the segmentation again.") from error
        if not whole:
            raise BadInput(f"{self.path}: the probability map is cut off or of another version.", "Run it again.")
        self._tiles: dict[int, list[Tile]] = {}
        for tile in tiles:
            self._tiles.setdefault(tile.class_index, []).append(tile)

    @property
    def classes(self) -> tuple[int, ...]:
        """Classes (background never) that have any tile, in order."""
        return tuple(sorted(self._tiles))

    def box(self, class_index: int) -> tuple[Index, Index] | None:
        """First voxel and shape of the smallest box of tiles that holds the class; None if it is nowhere."""
        tiles = self._tiles.get(class_index)
        if not tiles:
            return None
        low = tuple(min(t.start[a] for t in tiles) for a in range(3))
        high = tuple(max(t.start[a] + t.shape[a] for t in tiles) for a in range(3))
        return low, tuple(h - b for h, b in zip(high, low))

    def read(self, class_index: int) -> tuple[np.ndarray, Index]:
        """Probabilities of a class, uint8 ``round(255 p)`` [i, j, k] in its box, and the box's first voxel.

        An empty array at (0, 0, 0) for a class that is nowhere. Raises BadInput when the file is damaged.
        """
        box = self.box(class_index)
        if box is None:
            return np.zeros((0, 0, 0), np.uint8), (0, 0, 0)
        first, shape = box
        values = np.zeros(shape, np.uint8)
        with open(self.path, "rb") as stream:
            for tile in self._tiles[class_index]:
                where = tuple(slice(s - f, s - f + n) for s, f, n in zip(tile.start, first, tile.shape))
                values[where] = self._decode(stream, tile)
        return values, first

    def at(self, voxel: Index) -> dict[int, float]:
        """Probability of every class but background at one voxel; classes that are impossible there are left out."""
        found: dict[int, float] = {}
        with open(self.path, "rb") as stream:
            for class_index, tiles in self._tiles.items():
                for tile in tiles:
                    inside = tuple(v - s for v, s in zip(voxel, tile.start))
                    if all(0 <= v < n for v, n in zip(inside, tile.shape)):
                        value = int(self._decode(stream, tile)[inside])
                        if value:
                            found[class_index] = value / 255
        return found

    def _decode(self, stream: Any, tile: Tile) -> np.ndarray:
        stream.seek(tile.offset)
        try:
            data = zlib.decompress(stream.read(tile.length))
            return np.frombuffer(data, np.uint8).reshape(tile.shape)
        except (zlib.error, ValueError) as error:
            raise BadInput(f"{self.path}: the probability map is damaged ({error}).", "Run it again.") from error


def index_path(path: str | Path) -> Path:
    """The index that belongs to a file of tiles."""
    path = Path(path)
    return path.with_name(path.name + ".json")


def _failed(path: Path, error: OSError) -> OutputFailed:
    return OutputFailed(f"{path}: cannot write the probabilities: {error.strerror or error}", "Free some space.")
