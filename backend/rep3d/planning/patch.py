"""Patches to choose from: the largest that makes sense for a cohort, down to the smallest that the networks take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rep3d.tasks.tasks import PATCH_MULTIPLE

Triple = tuple[float, float, float]

#: At 16 voxels the deepest map would be one voxel, where instance norm is undefined.
SMALLEST = 32
#: The largest patch that is proposed has about this many voxels: a step takes time in proportion to them.
LARGEST_VOXELS = 128**3
#: No axis gets more than this, however thin its voxels are.
LONGEST = 512


def full_size(size_mm: Sequence[float], spacing_mm: Sequence[float]) -> Triple:
    """A scan's size in voxels of the network grid, [3], not rounded, at least 1."""
    return tuple(max(1.0, extent / step) for extent, step in zip(size_mm, spacing_mm))  # type: ignore[return-value]


def starting_patch(size: Triple, spacing_mm: Sequence[float]) -> tuple[int, int, int]:
    """A box of equal sides in mm with about LARGEST_VOXELS voxels, cut to the scan's ``size`` (voxels).

    A scan that is smaller than the box along an axis is held whole: its size, rounded up to a multiple of 16.
    """
    side_mm = (LARGEST_VOXELS * math.prod(spacing_mm)) ** (1 / 3)
    box = []
    for voxels, step in zip(size, spacing_mm):
        whole = PATCH_MULTIPLE * math.ceil(round(voxels, 3) / PATCH_MULTIPLE)
        most = PATCH_MULTIPLE * round(side_mm / step / PATCH_MULTIPLE)
        box.append(max(SMALLEST, min(whole, most, LONGEST)))
    return tuple(box)  # type: ignore[return-value]


def patches(start: tuple[int, int, int], size: Triple) -> Iterator[tuple[int, int, int]]:
    """``start``, then smaller and smaller patches: each time the axis that covers most of the scan loses 16 voxels."""
    patch = list(start)
    yield start
    while any(p > SMALLEST for p in patch):
        longest = max((a for a in range(3) if patch[a] > SMALLEST), key=lambda a: (patch[a] / size[a], patch[a]))
        patch[longest] -= PATCH_MULTIPLE
        yield tuple(patch)  # type: ignore[misc]
