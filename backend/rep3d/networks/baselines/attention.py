"""Parts of the transformers that are written here: attention with learned relative positions in windows, and its MLP.

Windows: the map is padded to whole windows, shifted by half a window in every second layer, and cut. A voxel attends to
those of its window that are its neighbours in the map: neither to padding nor, in a shifted window at the border, to
the opposite side (Liu et al., Swin Transformer, ICCV 2021).
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

Size = tuple[int, int, int]

#: Axes of [B, D, H, W, C] that windows cut.
AXES = (1, 2, 3)


class Mlp(nn.Sequential):
    """Linear, GELU, linear; [..., C] to [..., C] over ``ratio`` times as many channels."""

    def __init__(self, channels: int, ratio: float = 4.0):
        hidden = int(channels * ratio)
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))


def attend(
    query_BNC: torch.Tensor,
    key_BNC: torch.Tensor,
    value_BNC: torch.Tensor,
    heads: int,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """softmax(q k^T / sqrt(C / heads) + bias) v by head, [B, N, C]; ``bias`` broadcasts to [B, heads, N, N]."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query_BNC, key_BNC, value_BNC))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head self-attention of [B, N, C]; any N."""

    def __init__(self, channels: int, heads: int, *, bias: bool = True):
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.out = nn.Linear(channels, channels)

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:
        return self.out(attend(*self.qkv(x_BNC).chunk(3, dim=-1), self.heads))


class EncoderLayer(nn.Module):
    """``x + attention(LN(x))``, then ``x + MLP(LN(x))``; [B, N, C]."""

    def __init__(self, channels: int, heads: int, mlp_ratio: float = 4.0, *, bias: bool = True):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = SelfAttention(channels, heads, bias=bias)
        self.mlp = Mlp(channels, mlp_ratio)

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:
        x_BNC = x_BNC + self.attention(self.norm1(x_BNC))
        return x_BNC + self.mlp(self.norm2(x_BNC))


class RelativeBias(nn.Module):
    """A learned number for each head and offset between two voxels of a window of at most ``window`` voxels."""

    def __init__(self, window: Size, heads: int):
        super().__init__()
        self.window = window
        self.table = nn.Parameter(torch.empty(*(2 * w - 1 for w in window), heads))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, size: Size) -> torch.Tensor:
        """Bias [heads, N, N] of a window of ``size`` voxels, N their number; entry (i, j) belongs to offset i - j."""
        table = self.table
        for axis, (n, w) in enumerate(zip(size, self.window)):
            place = torch.arange(n, device=table.device)
            offset = (place[:, None] - place[None]).flatten() + w - 1
            table = table.index_select(2 * axis, offset).unflatten(2 * axis, (n, n))
        # [D, D', H, H', W, W', heads] -> [heads, D, H, W, D', H', W']
        n = size[0] * size[1] * size[2]
        return table.permute(6, 0, 2, 4, 1, 3, 5).reshape(-1, n, n)


def fit_window(size: Size, window: Size, shifted: bool) -> tuple[Size, Size]:
    """Window and shift on a map of ``size``: a window covers no more than the map, and then nothing is shifted."""
    fitted = tuple(min(n, w) for n, w in zip(size, window))
    return fitted, tuple(w // 2 if shifted and w < n else 0 for n, w in zip(size, fitted))


def cut(x_BDHWC: torch.Tensor, window: Size, shift: Size) -> torch.Tensor:
    """Windows [B x number, voxels, C] of a map: zero-padded to whole windows, rolled back by ``shift``."""
    padding = [-n % w for n, w in zip(x_BDHWC.shape[1:4], window)]
    if any(padding):
        x_BDHWC = F.pad(x_BDHWC, (0, 0, 0, padding[2], 0, padding[1], 0, padding[0]))
    if any(shift):
        x_BDHWC = torch.roll(x_BDHWC, [-s for s in shift], AXES)
    b, d, h, w, c = x_BDHWC.shape
    x = x_BDHWC.reshape(b, d // window[0], window[0], h // window[1], window[1], w // window[2], window[2], c)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, window[0] * window[1] * window[2], c)


def join(windows: torch.Tensor, size: Size, window: Size, shift: Size) -> torch.Tensor:
    """The reverse of ``cut``: [B, *size, C], padding dropped."""
    grid = [-(-n // w) for n, w in zip(size, window)]
    x = windows.unflatten(0, (-1, *grid)).unflatten(4, window)
    x = x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, *(g * w for g, w in zip(grid, window)), windows.shape[-1])
    if any(shift):
        x = torch.roll(x, list(shift), AXES)
    return x[:, : size[0], : size[1], : size[2]]


def window_mask(size: Size, window: Size, shift: Size, device: torch.device) -> torch.Tensor | None:
    """Who may attend to whom, [number of windows, 1, voxels, voxels] bool; None where all may.

    Padding attends to padding, so that no row of the softmax is empty; what it gets is dropped.
    """
    if not any(shift) and not any(n % w for n, w in zip(size, window)):
        return None
    # The map in pieces that are contiguous before the roll; 0 stays for padding.
    piece = torch.zeros(1, *size, 1, device=device)
    borders = []
    for n, w, s in zip(size, window, shift):
        padded = n + -n % w
        # Rolled back by s, the first s voxels land behind the last window's first w - s.
        borders.append([slice(0, s), slice(s, padded)] if s else [slice(0, padded)])
    for number, (d, h, w) in enumerate(itertools.product(*borders)):
        piece[:, d, h, w] = number + 1
    piece_MN = cut(piece, window, shift)[..., 0]
    return (piece_MN[:, :, None] == piece_MN[:, None])[:, None]


class WindowAttention(nn.Module):
    """Multi-head attention within windows of a map [B, D, H, W, C], of any size, with learned relative positions.

    Args:
        channels, heads: C, a multiple of heads.
        window: voxels of a window; on a smaller map the window is the map (global attention).
        shifted: windows lie half a window further.
        skip: attention of the map to another of the same size: its keys and values come from there, and the map itself
            is the query ("skip attention", nnFormer section III-C).
    """

    def __init__(self, channels: int, heads: int, window: int, *, shifted: bool = False, skip: bool = False):
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        self.heads = heads
        self.window = (window,) * 3
        self.shifted = shifted
        self.skip = skip
        self.project = nn.Linear(channels, (2 if skip else 3) * channels)
        self.bias = RelativeBias(self.window, heads)
        self.out = nn.Linear(channels, channels)

    def forward(self, x_BDHWC: torch.Tensor, source_BDHWC: torch.Tensor | None = None) -> torch.Tensor:
        """The attended map; ``source_BDHWC``: where keys and values come from, with ``skip`` only."""
        size = tuple(x_BDHWC.shape[1:4])
        window, shift = fit_window(size, self.window, self.shifted)
        query = cut(x_BDHWC, window, shift)
        if self.skip:
            key, value = self.project(cut(source_BDHWC, window, shift)).chunk(2, dim=-1)
        else:
            query, key, value = self.project(query).chunk(3, dim=-1)
        bias = self.bias(window)[None]
        mask = window_mask(size, window, shift, x_BDHWC.device)
        if mask is not None:  # the same windows for each image of the batch
            bias = bias.masked_fill(~mask, float("-inf")).repeat(len(query) // len(mask), 1, 1, 1)
        return join(self.out(attend(query, key, value, self.heads, bias)), size, window, shift)
