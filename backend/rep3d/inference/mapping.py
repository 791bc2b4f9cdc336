"""From logits on the network grid to labels on the native grid, without ever holding classes x native voxels.

Logits arrive in slabs. Each native tile interpolates the few rows it needs and takes the largest class at once.
Interpolation weights are never negative, so a class that lies below another one at every network voxel of a tile lies
below it at every native voxel too: such classes are left out, which is exact and leaves one class in most tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rep3d.data.preprocess import axis_centres, interpolation_matrix
from rep3d.probability_map import FLOOR

#: Takes a class, the first voxel of a tile (native grid, RAS order) and the probabilities in it [R, A, S].
Sink = Callable[[int, tuple[int, int, int], np.ndarray], None]

TILE = 64  # voxels along each side of a tile, in whichever of the two grids is finer


@dataclass(frozen=True)
class AxisMap:
    """One axis of the way back: ``matrix`` [native rows in reach, network rows], rows ``first``.. of the native
    grid."""

    first: int
    matrix: np.ndarray  # dense float32; an axis has at most some hundred rows
    tile: int  # native rows to be done at a time
    low: np.ndarray  # first and one past the last network row with weight, for each native row
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.matrix)

    @classmethod
    def build(cls, native: int, network: int, step: float, crop: tuple[int, int]) -> AxisMap:
        """Map ``network`` rows, of which only those in ``crop`` were segmented, to ``native`` rows.

        ``step`` is the native voxel size in network voxels; both grids share their centre. Native voxels whose centre
        lies outside the cropped region are out of reach: they stay background.
        """
        centres = axis_centres(network, native, step)
        low = crop[0] - 0.5 if crop[0] > 0 else -np.inf
        high = crop[1] - 0.5 if crop[1] < network else np.inf
        reach = np.flatnonzero((centres >= low) & (centres < high))
        matrix = interpolation_matrix(centres[reach] - crop[0], crop[1] - crop[0], step).toarray()
        used = matrix > 0
        first = int(reach[0]) if len(reach) else 0
        tile = max(4, int(TILE / max(1.0, step)))
        return cls(first, matrix, tile, used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1))


class LabelMapper:
    """Collects slabs of logits and writes finished labels into ``labels`` (a view of the native array, RAS order).

    ``axis`` is the one along which slabs arrive; ``maps`` are the three axes in array order. With a ``sink``, the
    probabilities of the classes that are possible in a tile are handed to it as well.
    """

    def __init__(self, labels: np.ndarray, maps: tuple[AxisMap, AxisMap, AxisMap], axis: int, sink: Sink | None = None):
        self.axis, self.sink, self.maps = axis, sink, maps
        first, second = (a for a in range(3) if a != axis)
        self.rows, self.map_1, self.map_2 = maps[axis], maps[first], maps[second]
        reach = tuple(slice(m.first, m.first + len(m)) for m in maps)
        self.labels = np.moveaxis(labels[reach], axis, 0)  # a view: rows along the slab axis first
        self.kept: Tensor | None = None  # the last rows of earlier slabs, which native rows still need
        self.slab: Tensor | None = None
        self.base = 0  # network row of kept[:, 0]
        self.next = 0  # native row to be done next

    def add(self, slab_KRAB: Tensor) -> None:
        """Take the next rows of logits and label every native row that they complete; the slab is not kept."""
        self.slab = slab_KRAB
        if self.kept is None:
            self.kept = slab_KRAB[:, :0]
        end = self.base + self.kept.shape[1] + slab_KRAB.shape[1]
        ready = self.next + int(np.searchsorted(self.rows.high[self.next :], end, side="right"))
        while self.next < ready:
            stop = min(ready, self.next + self.rows.tile)
            self._label_rows(self.next, stop)
            self.next = stop
        needed = int(self.rows.low[self.next]) if self.next < len(self.rows) else end
        start = min(max(needed, self.base), end)
        self.kept = self._logits(start, end).clone()  # a copy: the slab's memory belongs to the caller
        self.base, self.slab = start, None

    def _logits(self, r0: int, r1: int, a: slice = slice(None), b: slice = slice(None)) -> Tensor:
        """Rows ``r0`` to ``r1`` (network rows) of a column of logits, put together from kept rows and the slab."""
        assert self.kept is not None and self.slab is not None
        border = self.base + self.kept.shape[1]
        parts = []
        if r0 < border:
            parts.append(self.kept[:, r0 - self.base : r1 - self.base, a, b])
        if r1 > border:
            parts.append(self.slab[:, max(r0 - border, 0) : r1 - border, a, b])
        return parts[0] if len(parts) == 1 else torch.cat([self.kept[:, :0, a, b], *parts], dim=1)

    def finished(self) -> bool:
        """Whether every native row within reach has its labels."""
        return self.next == len(self.rows)

    def _label_rows(self, start: int, stop: int) -> None:
        r0, r1 = int(self.rows.low[start:stop].min()), int(self.rows.high[start:stop].max())
        matrix_r = torch.from_numpy(self.rows.matrix[start:stop, r0:r1])
        for a in range(0, len(self.map_1), self.map_1.tile):
            a_end = min(a + self.map_1.tile, len(self.map_1))
            a0, a1 = int(self.map_1.low[a:a_end].min()), int(self.map_1.high[a:a_end].max())
            matrix_a = torch.from_numpy(self.map_1.matrix[a:a_end, a0:a1])
            for b in range(0, len(self.map_2), self.map_2.tile):
                b_end = min(b + self.map_2.tile, len(self.map_2))
                b0, b1 = int(self.map_2.low[b:b_end].min()), int(self.map_2.high[b:b_end].max())
                matrix_b = torch.from_numpy(self.map_2.matrix[b:b_end, b0:b1])
                logits = self._logits(r0, r1, slice(a0, a1), slice(b0, b1))
                if self.sink is None:
                    tile = label_tile(logits, matrix_r, matrix_a, matrix_b)
                else:
                    classes, p_CRAB, tile = probability_tile(logits, matrix_r, matrix_a, matrix_b)
                    self._hand_on(classes, p_CRAB, (start, a, b))
                self.labels[start:stop, a:a_end, b:b_end] = tile

    def _hand_on(self, classes: np.ndarray, p_CRAB: np.ndarray, corner: tuple[int, int, int]) -> None:
        """Give the sink each class with its axes back in RAS order."""
        assert self.sink is not None
        order = [a for a in range(3) if a != self.axis]
        order.insert(0, self.axis)  # RAS axis of each axis of the tile
        where = [0, 0, 0]
        for ras, first in zip(order, corner):
            where[ras] = self.maps[ras].first + first
        for class_index, p_RAB in zip(classes.tolist(), p_CRAB):
            if class_index:
                self.sink(class_index, tuple(where), np.moveaxis(p_RAB, 0, self.axis))


def probability_tile(
    logits_KRAB: Tensor, matrix_r: Tensor, matrix_a: Tensor, matrix_b: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
    """Softmax of the interpolated logits: the classes that are possible in the tile [C], theirs [C, native tile], and
    the labels of the tile as :func:`label_tile` gives them.

    Left out are classes that cannot be the largest anywhere in it and stay below half the floor of probability maps
    at every network voxel.
    """
    likely = logits_KRAB.softmax(dim=0).amax(dim=(1, 2, 3)) >= FLOOR / 2
    classes = (possible(logits_KRAB, winners(logits_KRAB)) | likely).nonzero()[:, 0]
    if len(classes) == 1:
        shape = (1, len(matrix_r), len(matrix_a), len(matrix_b))
        return classes.cpu().numpy(), np.ones(shape, np.float32), int(classes[0])
    values, names = _interpolate(logits_KRAB[classes], matrix_r, matrix_a, matrix_b), classes.cpu().numpy()
    # The largest logit, not the largest probability: the softmax rounds close ones to the same number.
    return names, values.softmax(0).cpu().numpy(), names[winners(values).cpu().numpy()]


def label_tile(logits_KRAB: Tensor, matrix_r: Tensor, matrix_a: Tensor, matrix_b: Tensor) -> np.ndarray | int:
    """Class with the largest interpolated logit at each native voxel of a tile; one number if it is the same for all.

    The matrices [native, network] interpolate along R, A and B. Ties go to the lower class.
    """
    if len(logits_KRAB) > 1 and bool((logits_KRAB[1:].amax(dim=0) <= logits_KRAB[0]).all()):
        return 0  # the quick way out for the many tiles without any structure
    won = winners(logits_KRAB)
    if bool((won == won[0, 0, 0]).all()):
        return int(won[0, 0, 0])
    classes = possible(logits_KRAB, won).nonzero()[:, 0]
    values = _interpolate(logits_KRAB[classes], matrix_r, matrix_a, matrix_b)
    return classes.cpu().numpy()[winners(values).cpu().numpy()]


def winners(values_KRAB: Tensor) -> Tensor:
    """The class with the largest value at each voxel [R, A, B], the lower one of equal ones; ``argmax`` but quick.

    On processors PyTorch's argmax over the first axis costs many times what comparing class after class does.
    """
    if values_KRAB.device.type != "cpu":
        return values_KRAB.argmax(dim=0)
    best = values_KRAB[0].clone()
    won = torch.zeros_like(best, dtype=torch.uint8 if len(values_KRAB) <= 256 else torch.int64)
    for k in range(1, len(values_KRAB)):
        won.masked_fill_(values_KRAB[k] > best, k)
        torch.maximum(best, values_KRAB[k], out=best)
    return won


def possible(logits_KRAB: Tensor, won: Tensor) -> Tensor:
    """Which classes [K] can be the largest at some native voxel of the tile: those not below another one everywhere.

    ``won``: the class with the largest logit at each voxel of the tile.
    """
    counts = torch.bincount(won.flatten(), minlength=len(logits_KRAB))
    alive = torch.ones_like(counts, dtype=torch.bool)
    index = (counts == 0).nonzero()[:, 0]  # the others are the largest somewhere already
    if len(index):
        rest = logits_KRAB[index]
        for winner in counts.topk(min(2, len(counts))).indices.tolist():  # the usual background and structure
            lead = (rest - logits_KRAB[winner]).amax(dim=(1, 2, 3))
            alive[index] &= (lead > 0) | ((lead == 0) & (index <= winner))
    return alive


def _interpolate(logits_CRAB: Tensor, matrix_r: Tensor, matrix_a: Tensor, matrix_b: Tensor) -> Tensor:
    """Logits on the native voxels of a tile [C, native R, A, B]."""
    device = logits_CRAB.device
    values = matrix_a.to(device) @ (logits_CRAB @ matrix_b.T.to(device))
    return torch.einsum("ir,crab->ciab", matrix_r.to(device), values)
