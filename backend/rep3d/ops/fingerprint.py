"""A fast test whether the values of a tensor in main memory are still the same.

A checksum of the bytes, such as CRC-32, would take longer than the convolution of a small map. Here the bytes are read
as 64-bit integers, and sums modulo 2^64 are compared: of every row, and of every column. Any one changed value changes
its row. Values that change places change rows or columns, as a row is shorter than the distance of two values in one
column. To be overlooked, a change must leave every row and every column as it was. The length of a row is odd, so that
signs that all flip do not cancel.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Integers of a row, and columns: sizes at which PyTorch's sums run at the speed of memory.
ROW, COLUMNS = 33, 64


def fingerprint(values: Tensor) -> Tensor:
    """int64, one axis: row sums, column sums and what is left over, of ``values`` (any shape, in main memory)."""
    flat = values.detach().contiguous().view(-1)
    size = flat.element_size()
    if flat.data_ptr() % 8 or flat.storage_offset() * size % 8:  # cannot be read as 64-bit integers where it lies
        flat = flat.clone()
    whole = flat.numel() * size // 8
    numbers = flat[: whole * 8 // size].view(torch.int64)
    rows, lines = whole // ROW, whole // COLUMNS
    return torch.cat(
        (
            numbers[: rows * ROW].view(rows, ROW).sum(1),
            numbers[rows * ROW :],
            numbers[: lines * COLUMNS].view(lines, COLUMNS).sum(0),
            numbers[lines * COLUMNS :],
            flat[whole * 8 // size :].view(torch.uint8).to(torch.int64),
        )
    )
