"""A slow, direct, float64 reference for output and gradients. It shares no code with the algorithms under test."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor


def _shifted(x: Tensor, weight: Tensor):
    """For every tap: (its index, the zero-padded x moved so that it lines up with the output)."""
    kernel = weight.shape[2:]
    pads = [(k - 1) // 2 for k in kernel]
    padded = F.pad(x, (pads[2], pads[2], pads[1], pads[1], pads[0], pads[0]))
    d, h, w = x.shape[2:]
    for a, b, c in itertools.product(*(range(k) for k in kernel)):
        yield (a, b, c), padded[:, :, a : a + d, b : b + h, c : c + w]


def conv3d_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y[b, c, i] = bias[c] + sum_t weight[c, 0, t] x[b, c, i + t - p]``, tap by tap, in float64."""
    x, weight = x.detach().double(), weight.detach().double()
    y = torch.zeros_like(x)
    for (a, b, c), moved in _shifted(x, weight):
        y += weight[:, 0, a, b, c].view(1, -1, 1, 1, 1) * moved
    return y if bias is None else y + bias.detach().double().view(1, -1, 1, 1, 1)


def gradients_reference(gy: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """``(gx, gw)`` as defined: gw[t] = sum_bi gy[i] x[i + t - p], gx = conv(gy, flipped weight). In float64."""
    gx = conv3d_reference(gy, weight.flip((2, 3, 4)))
    gy, x = gy.detach().double(), x.detach().double()
    gw = torch.zeros(weight.shape, dtype=torch.float64, device=weight.device)
    for (a, b, c), moved in _shifted(x, weight):
        gw[:, 0, a, b, c] = (gy * moved).sum((0, 2, 3, 4))
    return gx, gw
