"""Test-time averaging that a network without mirror augmentation can stand.

Mirroring swaps left and right. A network that was trained with mirrored images has seen such anatomy; one that was
not has not, and would call a left kidney right. So mirrored copies are only averaged along the axes that the weights
list in ``training["mirror_axes"]``; other weights get copies shifted by a few voxels, which move the anatomy against
the network's downsampling grid.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

SHIFT = 4  # voxels: a quarter of the network's stride of 16, so that the three copies fall on different grids


def mirrored(predict: Callable[[Tensor], Tensor], axes: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """Mean logits over every combination of flips along ``axes`` (0, 1, 2 = x, y, z), each flipped back."""
    flips = [tuple(a + 2 for a in c) for n in range(1, len(axes) + 1) for c in combinations(axes, n)]

    def run(x_BCDHW: Tensor) -> Tensor:
        total = predict(x_BCDHW).float()
        for dims in flips:
            total = total + predict(x_BCDHW.flip(dims)).float().flip(dims)
        return total / (len(flips) + 1)

    return run


def shifted(predict: Callable[[Tensor], Tensor], shift: int = SHIFT) -> Callable[[Tensor], Tensor]:
    """Mean logits over the window and two copies shifted along the diagonal by +-``shift`` voxels, each shifted back.

    A shifted copy says nothing about the voxels that it pushed out of the window; there the mean is over the others.
    """

    def run(x_BCDHW: Tensor) -> Tensor:
        total = predict(x_BCDHW).float()
        count = torch.ones(1, 1, *x_BCDHW.shape[2:], device=total.device)
        for back in (False, True):
            low, high = slice(shift, None), slice(None, -shift)  # the part that stays, before and after the move
            source, target = (low, high) if back else (high, low)
            moved = torch.zeros_like(x_BCDHW)
            moved[:, :, target, target, target] = x_BCDHW[:, :, source, source, source]
            total[:, :, source, source, source] += predict(moved).float()[:, :, target, target, target]
            count[:, :, source, source, source] += 1
        return total / count

    return run
