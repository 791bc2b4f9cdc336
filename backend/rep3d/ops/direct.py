"""The direct algorithm: PyTorch's own depthwise convolution on the cropped kernel, also for the gradients.

PyTorch's backward of a large depthwise 3D convolution is orders of magnitude slower than its forward on a CPU, so
the gradients are written as forward convolutions: gx = conv(gy, flipped w), and gw = conv(x, gy) with every map of
the batch its own group.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .plan import Plan
from .spectral import crop_taps


def _padding(plan: Plan) -> tuple[int, int, int]:
    return tuple(a.p for a in plan.axes)  # type: ignore[return-value]


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan, dtype: torch.dtype) -> Tensor:
    """``conv(x, weight) + bias`` in ``dtype``."""
    w = crop_taps(weight, plan).unsqueeze(1).to(dtype).contiguous()
    b = None if bias is None else bias.to(dtype)
    return F.conv3d(x.to(dtype).contiguous(), w, b, padding=_padding(plan), groups=x.shape[1])


def backward(
    gy: Tensor, x: Tensor, weight: Tensor, plan: Plan, dtype: torch.dtype, gx: Tensor | None, gw: Tensor | None
) -> None:
    """Write the gradients into ``gx`` ``[B, C, D, H, W]`` and ``gw`` ``[C, k, k, k]`` (cropped), where given."""
    batch, channels = x.shape[:2]
    gy = gy.to(dtype).contiguous()
    if gx is not None:
        w = crop_taps(weight, plan).unsqueeze(1).to(dtype).flip((2, 3, 4))
        gx.copy_(F.conv3d(gy, w, padding=_padding(plan), groups=channels))
    if gw is not None:
        # gw[s] = sum_i x[i + s] gy[i]: a correlation of x with gy as the kernel, read at the k lags -p..p.
        maps = x.to(dtype).reshape(1, batch * channels, *x.shape[2:]).contiguous()
        kernels = gy.view(batch * channels, 1, *x.shape[2:])
        y = F.conv3d(maps, kernels, padding=_padding(plan), groups=batch * channels)
        gw.copy_(y.view(batch, channels, *y.shape[2:]).sum(0))
