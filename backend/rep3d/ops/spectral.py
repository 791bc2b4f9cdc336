"""Depthwise convolution and its gradients as products of spectra, in blocks of channels.

With positions counted from the centre tap, y[i] = sum_s w[s] x[i + s]; with ^ for a spectrum of sign -1,

    y^  = x^ conj(w^)        gx^ = gy^ w^        gw^ = sum_batch x^ conj(gy^)

Only conj(w^) and conj(gy^) are ever formed (as transforms with sign +1, which cost the same), since
conj(gx^) = conj(gy^) conj(w^): the three products then need no separate conjugation pass, and one weight spectrum
serves forward and backward.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import transforms
from .plan import Plan

#: Spectrum bytes worked on at a time. On a CPU the block should stay in the last-level cache between steps; a GPU wants
#: enough work for one launch.
BLOCK_BYTES = {"cpu": 4 << 20, "other": 256 << 20}


def crop_taps(weight: Tensor, plan: Plan) -> Tensor:
    """``[C, 1, K, K, K]`` -> ``[C, k, k, k]``: without the taps that can never meet data."""
    (d, h, w) = plan.axes
    return weight[:, 0, d.crop : d.crop + d.k, h.crop : h.crop + h.k, w.crop : w.crop + w.k]


def pad_taps(gw: Tensor, weight: Tensor, plan: Plan) -> Tensor:
    """``[C, k, k, k]`` -> the shape of ``weight``: the gradient of cropped taps is exactly zero."""
    if tuple(gw.shape[1:]) == tuple(weight.shape[2:]):
        return gw.reshape(weight.shape)
    full = gw.new_zeros(weight.shape)
    crop_taps(full, plan).copy_(gw)
    return full


def weight_spectrum(weight: Tensor, plan: Plan, dtype: torch.dtype) -> Tensor:
    """conj(w^) of every channel, ``[C, half, L1, L0]``."""
    return transforms.forward(crop_taps(weight, plan).to(dtype), plan, kernel=True, sign=+1)


def _blocks(x: Tensor, plan: Plan, dtype: torch.dtype) -> list[tuple[slice, slice]]:
    """(batch, channel) slices, all the batches of a channel block in a row."""
    batch, channels = x.shape[:2]
    one_map = plan.spectrum_numel * (16 if dtype == torch.float64 else 8)
    maps = max(1, BLOCK_BYTES.get(x.device.type, BLOCK_BYTES["other"]) // one_map)
    per_channel = max(1, min(channels, maps // batch))
    per_batch = min(batch, max(1, maps // per_channel))
    return [
        (slice(b, b + per_batch), slice(c, c + per_channel))
        for c in range(0, channels, per_channel)
        for b in range(0, batch, per_batch)
    ]


def _block(x: Tensor, at: tuple[slice, slice], dtype: torch.dtype) -> Tensor:
    """One block as ``[m, D, H, W]`` in the computing type."""
    return x[at].to(dtype).reshape(-1, *x.shape[2:])


def _times(z: Tensor, spectrum: Tensor) -> Tensor:
    """``[b c, ...] * [c, ...]`` in place."""
    c = spectrum.shape[0]
    return z.view(-1, c, *z.shape[1:]).mul_(spectrum).view(z.shape)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan, out: Tensor, dtype: torch.dtype, spectrum: Tensor | None
) -> None:
    """Write ``conv(x, weight) + bias`` into ``out``; ``spectrum`` is conj(w^) of all channels, where it is known."""
    channels, current = None, None
    for at in _blocks(x, plan, dtype):
        if at[1] != channels:
            channels = at[1]
            current = spectrum[channels] if spectrum is not None else weight_spectrum(weight[channels], plan, dtype)
        z = transforms.forward(_block(x, at, dtype), plan)
        y = transforms.inverse(_times(z, current), plan)
        target = out[at]
        y = y.reshape(target.shape)
        if bias is None:
            target.copy_(y)
        elif target.dtype == y.dtype:
            torch.add(y, bias[channels].to(dtype).view(-1, 1, 1, 1), out=target)
        else:
            target.copy_(y.add_(bias[channels].to(dtype).view(-1, 1, 1, 1)))


def backward(
    gy: Tensor,
    x: Tensor,
    weight: Tensor,
    plan: Plan,
    dtype: torch.dtype,
    gx: Tensor | None,
    gw: Tensor | None,
    spectrum: Tensor | None,
) -> None:
    """Write the gradients into ``gx`` ``[B, C, D, H, W]`` and ``gw`` ``[C, k, k, k]`` (cropped), where given."""
    channels, current, total = None, None, None
    batch = x.shape[0]
    for at in _blocks(gy, plan, dtype):
        if at[1] != channels:
            channels, total = at[1], None
            if gx is not None:
                current = spectrum[channels] if spectrum is not None else weight_spectrum(weight[channels], plan, dtype)
        z = transforms.forward(_block(gy, at, dtype), plan, sign=+1)
        if gw is not None:
            zx = transforms.forward(_block(x, at, dtype), plan).mul_(z)
            c = channels.stop - channels.start if channels.stop <= weight.shape[0] else weight.shape[0] - channels.start
            part = zx.view(-1, c, *zx.shape[1:])
            part = part[0] if part.shape[0] == 1 else part.sum(0)
            total = part if total is None else total.add_(part)
            if at[0].stop >= batch:  # last batch block of these channels
                gw[channels].copy_(transforms.inverse(total, plan, kernel=True))
        if gx is not None:
            target = gx[at]
            target.copy_(transforms.inverse(_times(z, current), plan, sign=+1).reshape(target.shape))
