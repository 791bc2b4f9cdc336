"""The large-kernel operator written with matrix products alone, for programs that do not have it.

The same mathematics as rep3d.ops (docs/operator.md): transforms of length n + p along each axis, spectra multiplied,
only the wanted samples transformed back. Everything is real: the parts of a complex number are rows of one matrix, so
that a complex transform along D or H is one product with a constant block matrix. Two permutations are all that moves
data, once the last axis is done going forward and before it is done going back.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rep3d.ops.plan import make_plan


def circle(n: int, length: int, count: int | None = None) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi f j / length for f < count (default: length) and j < n, [count, n] float64."""
    angle = (torch.arange(count or length)[:, None] * torch.arange(n)).remainder(length).double()
    angle *= 2 * math.pi / length
    return angle.cos(), angle.sin()


def blocks(top_left: Tensor, top_right: Tensor, bottom_left: Tensor, bottom_right: Tensor) -> Tensor:
    """[[a, b], [c, d]] as one matrix."""
    return torch.cat([torch.cat([top_left, top_right], 1), torch.cat([bottom_left, bottom_right], 1)])


class SpectralConv3d(nn.Module):
    """``conv3d(x, weight, bias, groups=C)`` with stride 1 and "same" zero padding, for maps of one size.

    Args:
        weight: [C, 1, KD, KH, KW], every K odd. bias: [C] or None.
        size: (D, H, W) of the maps.

    Shapes: [B, C, D, H, W] -> the same, float32. Raises ValueError for maps of another size.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, size: tuple[int, int, int]):
        super().__init__()
        plan = make_plan(tuple(size), tuple(weight.shape[2:]), "matmul")
        d, h, w = plan.axes
        self.size, self.half = tuple(size), plan.half
        self.length_h = h.length
        channels = weight.shape[0]
        kernel = weight[:, 0, d.crop : d.crop + d.k, h.crop : h.crop + h.k, w.crop : w.crop + w.k].double()
        padded = kernel.new_zeros(channels, d.length, h.length, w.length)
        padded[:, : d.k, : h.k, : w.k] = kernel
        padded = padded.roll((-d.p, -h.p, -w.p), (1, 2, 3))  # the centre tap at position 0
        spectrum = torch.fft.rfftn(padded, dim=(1, 2, 3)).conj().reshape(1, channels, d.length, -1)
        self._keep("spectrum_re", spectrum.real)
        self._keep("spectrum_im", spectrum.imag)
        c, s = circle(w.n, w.length, plan.half)
        self._keep("w_forward", torch.cat([c, -s]).T)  # [W, (part, f)]
        fold = torch.full((plan.half, 1), 2.0, dtype=torch.float64)  # the frequencies that are not kept
        fold[0] = 1
        if w.length % 2 == 0:
            fold[-1] = 1
        self._keep("w_back", torch.cat([c * fold, -s * fold]) / w.length)  # [(part, f), W]
        c, s = circle(h.n, h.length)
        self._keep("h_forward", blocks(c, s, -s, c))  # [(part, f), (part, H)]
        self._keep("h_back", blocks(c.T, -s.T, s.T, c.T) / h.length)
        c, s = circle(d.n, d.length)
        self._keep("d_forward_re", torch.stack([c, s], -1).flatten(1))  # [f, (D, part)]
        self._keep("d_forward_im", torch.stack([-s, c], -1).flatten(1))
        self._keep("d_back_re", torch.stack([c.T, s.T], 1).flatten(0, 1) / d.length)  # [(D, part), f]
        self._keep("d_back_im", torch.stack([-s.T, c.T], 1).flatten(0, 1) / d.length)
        self._keep("bias", torch.zeros(channels) if bias is None else bias)
        self.bias = self.bias.view(1, -1, 1, 1, 1)

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.detach().to(torch.float32).contiguous())

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        if tuple(x_BCDHW.shape[2:]) != self.size:
            raise ValueError(f"made for maps of {list(self.size)}, not {list(x_BCDHW.shape[2:])}")
        batch, channels = x_BCDHW.shape[:2]
        depth, height, _ = self.size
        half, length_h = self.half, self.length_h
        maps = (batch, channels, depth)
        z = torch.matmul(x_BCDHW, self.w_forward).reshape(*maps, height, 2, half)
        z = z.permute(0, 1, 2, 4, 3, 5).reshape(*maps, 2 * height, half)
        z = torch.matmul(self.h_forward, z).reshape(batch, channels, 2 * depth, length_h * half)
        re, im = torch.matmul(self.d_forward_re, z), torch.matmul(self.d_forward_im, z)
        product_re = re * self.spectrum_re - im * self.spectrum_im
        product_im = re * self.spectrum_im + im * self.spectrum_re
        z = torch.matmul(self.d_back_re, product_re) + torch.matmul(self.d_back_im, product_im)
        z = torch.matmul(self.h_back, z.reshape(*maps, 2 * length_h, half)).reshape(*maps, 2, height, half)
        z = z.permute(0, 1, 2, 4, 3, 5).reshape(*maps, height, 2 * half)
        return torch.matmul(z, self.w_back) + self.bias


def multiplications(size: tuple[int, int, int], kernel: tuple[int, int, int]) -> tuple[float, float]:
    """Multiply-adds of one channel: (direct convolution of the cropped kernel, SpectralConv3d)."""
    plan = make_plan(tuple(size), tuple(kernel), "matmul")
    d, h, w = plan.axes
    direct = float(math.prod(a.n * a.k for a in plan.axes))
    last = d.n * h.n * w.n * 2 * plan.half
    middle = d.n * 2 * h.length * 2 * h.n * plan.half
    first = 2 * d.length * 2 * d.n * h.length * plan.half
    return direct, 2.0 * (last + middle + first) + 4.0 * d.length * h.length * plan.half
