"""Sliding windows at the trained patch, accumulated slab by slab.

The windows form a regular grid and their Gaussian importance is a product of three 1D profiles, so the sum of all
importances is a product as well: every window can be added with weights that already sum to one everywhere. No weight
volume is kept, no final division is needed, and a row of voxels is finished as soon as no later window touches it.
Only one slab of logits, as thick as a patch, is ever in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rep3d.errors import BadInput, Cancelled
from rep3d.inference.feeder import Feeder, Predictor

Patch = tuple[int, int, int]
PROFILE_SIGMA = 1 / 8  # of the patch, as usual for Gaussian importance
PROFILE_FLOOR = 1e-3  # so that a voxel at the very edge still counts where nothing else covers it
MAX_OVERLAP = 0.9


def check_overlap(overlap: float) -> None:
    """Raise BadInput for an overlap outside 0 to 0.9."""
    if not 0 <= overlap <= MAX_OVERLAP:
        raise BadInput(f"The overlap of the windows must lie between 0 and {MAX_OVERLAP}, not {overlap:g}.")


def axis_starts(size: int, patch: int, overlap: float) -> list[int]:
    """First voxels of the windows along an axis: evenly spread, first at 0, last ending at ``size`` (>= ``patch``)."""
    if size <= patch:
        return [0]
    step = max(1, int(patch * (1 - overlap)))
    count = -(-(size - patch) // step) + 1
    return sorted({round(i * (size - patch) / (count - 1)) for i in range(count)})


def axis_weights(size: int, patch: int, starts: list[int]) -> list[np.ndarray]:
    """Importance of each window along an axis, [patch] float32, scaled so that they sum to 1 at every voxel."""
    position = np.arange(patch) - (patch - 1) / 2
    profile = np.maximum(np.exp(-0.5 * (position / (patch * PROFILE_SIGMA)) ** 2), PROFILE_FLOOR)
    total = np.zeros(size)
    for start in starts:
        total[start : start + patch] += profile
    return [(profile / total[start : start + patch]).astype(np.float32) for start in starts]


@dataclass(frozen=True)
class WindowGrid:
    """Windows over a volume of ``size`` voxels (each at least ``patch``): starts and weights along each axis."""

    size: Patch
    patch: Patch
    starts: tuple[list[int], list[int], list[int]]
    weights: tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]

    @classmethod
    def cover(cls, size: Patch, patch: Patch, overlap: float) -> WindowGrid:
        """Windows of ``patch`` that cover ``size`` with at least this ``overlap`` (0 to 0.9)."""
        check_overlap(overlap)
        starts = tuple(axis_starts(n, p, overlap) for n, p in zip(size, patch))
        return cls(size, patch, starts, tuple(axis_weights(n, p, s) for n, p, s in zip(size, patch, starts)))

    def __len__(self) -> int:
        return int(np.prod([len(s) for s in self.starts]))

    def where(self, order: Patch, place: Patch) -> tuple[slice, ...]:
        """The voxels [C, D, H, W] of the window that is ``place[i]`` th along axis ``order[i]``."""
        slices = [slice(None)] * 4
        for a, i in zip(order, place):
            start = self.starts[a][i]
            slices[a + 1] = slice(start, start + self.patch[a])
        return tuple(slices)

    def weight(self, order: Patch, place: Patch, device: torch.device) -> Tensor:
        """The importance of that window's voxels, with the axes in ``order``."""
        a, b, c = (torch.from_numpy(self.weights[axis][i]).to(device) for axis, i in zip(order, place))
        return a[:, None, None] * b[:, None] * c


def padding(size: Patch, patch: Patch) -> list[tuple[int, int]]:
    """Voxels to add before and after each axis so that it holds a patch; small volumes end up in the middle."""
    missing = [max(0, p - n) for n, p in zip(size, patch)]
    return [(m // 2, m - m // 2) for m in missing]


def slab_axis(size: Patch, patch: Patch) -> int:
    """The axis along which a slab, as thick as a patch, is smallest."""
    padded = [max(n, p) for n, p in zip(size, patch)]
    return min(range(3), key=lambda a: patch[a] * padded[(a + 1) % 3] * padded[(a + 2) % 3])


def count_windows(size: Patch, patch: Patch, overlap: float) -> int:
    """How many windows cover a volume of ``size`` voxels."""
    padded = tuple(n + sum(pad) for n, pad in zip(size, padding(size, patch)))
    return len(WindowGrid.cover(padded, patch, overlap))


def iterate_slabs(
    predictor: Predictor | Feeder,
    x_CDHW: Tensor,
    patch: Patch,
    overlap: float,
    *,
    axis: int = 0,
    on_window: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Yield finished logits along ``axis`` as (first row, [K, rows, other axes in order]) in float32.

    Args:
        predictor: maps [b, C, *patch] to logits [b, K, *patch]; windows come one by one, or as a Feeder says.
        x_CDHW: the normalised volume; smaller axes are padded with 0, which is the value of air.
        on_window: called with (windows done, windows in all) after each.
        cancelled: asked before each window; a true answer raises Cancelled.

    The yielded tensor is only valid until the next one is asked for. Memory: one slab of K x patch[axis] x the other
    axes, where the volume is, or on the predictor's GPU if the Feeder finds room for it there.
    """
    feeder = predictor if isinstance(predictor, Feeder) else Feeder(predictor)
    pads = padding(tuple(x_CDHW.shape[1:]), patch)
    if any(sum(p) for p in pads):
        x_CDHW = F.pad(x_CDHW, [n for pair in reversed(pads) for n in pair])
    grid = WindowGrid.cover(tuple(x_CDHW.shape[1:]), patch, overlap)
    order = (axis, *(a for a in range(3) if a != axis))
    inner = tuple(slice(pads[a][0], grid.size[a] - pads[a][1]) for a in order[1:])
    keep_from, keep_to = pads[axis][0], grid.size[axis] - pads[axis][1]
    places = list(product(*(range(len(grid.starts[a])) for a in order)))
    answers = feeder.logits(x_CDHW, (grid.where(order, place) for place in places))
    slab: Tensor | None = None  # [K, patch[axis], sizes of the other axes]: a view of axes in their own order
    for done, place in enumerate(places, start=1):
        if cancelled is not None and cancelled():
            raise Cancelled("The segmentation was cancelled.")
        logits = next(answers).movedim(axis + 1, 1)
        if slab is None:
            slab = _new_slab(feeder, logits, grid, axis, x_CDHW.device)
        start_1, start_2 = (grid.starts[a][i] for a, i in zip(order[1:], place[1:]))
        part = slab[:, :, start_1 : start_1 + patch[order[1]], start_2 : start_2 + patch[order[2]]]
        part.addcmul_(logits.to(slab.device), grid.weight(order, place, slab.device))
        del logits
        if done == len(places):
            next(answers, None)  # lets the last ones be checked
        if on_window is not None:
            on_window(done, len(places))
        if done < len(places) and places[done][0] == place[0]:
            continue
        start = grid.starts[axis][place[0]]
        last = done == len(places)
        rows = patch[axis] if last else grid.starts[axis][place[0] + 1] - start
        low, high = max(start, keep_from), min(start + rows, keep_to)
        if low < high:
            yield low - keep_from, slab[(slice(None), slice(low - start, high - start), *inner)]
        if not last:  # move the unfinished rows to the front, class by class to keep the temporary small
            for channel in slab:
                channel[: patch[axis] - rows] = channel[rows:].clone()
                channel[patch[axis] - rows :] = 0


def _new_slab(feeder: Feeder, logits: Tensor, grid: WindowGrid, axis: int, home: torch.device) -> Tensor:
    """Zeros [K, patch[axis], others], laid out in memory like the logits of a window, so that adding is quick."""
    shape = [len(logits), *grid.size]
    shape[axis + 1] = grid.patch[axis]
    near = logits.device == home or feeder.fits(4 * int(np.prod(shape)))
    return torch.zeros(shape, device=logits.device if near else home).movedim(axis + 1, 1)


@torch.no_grad()
def sliding_window_logits(
    net: Predictor,
    x_CDHW: Tensor,
    patch: Patch,
    overlap: float = 0.5,
    *,
    on_window: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Tensor:
    """Logits [K, D, H, W] (float32, on the device of ``x_CDHW``) of a whole volume on the network grid.

    For validation in training, where volumes are small; the network must already be in eval mode and on the same
    device. Volumes smaller than the patch are padded with 0 and cropped back.
    """
    slabs = [
        slab.clone() for _, slab in iterate_slabs(net, x_CDHW, patch, overlap, on_window=on_window, cancelled=cancelled)
    ]
    return torch.cat(slabs, dim=1)
