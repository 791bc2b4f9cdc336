"""Deep supervision: logits of lower decoder levels get the same loss against the label map at their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def level_weights(levels: int) -> list[float]:
    """1, 1/2, 1/4, ... for ``levels`` sizes from the full one down, divided by their sum."""
    raw = [0.5**i for i in range(levels)]
    return [w / sum(raw) for w in raw]


def label_at(label_B1DHW: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """The label map at a smaller size by nearest neighbour.

    The voxel taken is the one behind the middle of each cell of 2^i voxels: half a voxel off its centre, whatever the
    size (the first voxel of a cell would lie 3.5 voxels off at 1/8).
    """
    return F.interpolate(label_B1DHW, size=tuple(size), mode="nearest-exact")


def supervised(loss: Loss) -> Loss:
    """``loss`` for networks that return a list of logits [B, C, D, H, W], full size first; a tensor passes unchanged.

    The sum over levels of the loss at each, weighted by `level_weights`.
    """

    def compute(logits: torch.Tensor | Sequence[torch.Tensor], label_B1DHW: torch.Tensor) -> torch.Tensor:
        if isinstance(logits, torch.Tensor):
            return loss(logits, label_B1DHW)
        parts = [loss(level, label_at(label_B1DHW, level.shape[2:])) for level in logits]
        return sum(w * part for w, part in zip(level_weights(len(parts)), parts))

    return compute
