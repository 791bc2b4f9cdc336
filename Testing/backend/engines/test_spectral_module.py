"""The operator as matrix products: equal to PyTorch's convolution for any size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.inference.engines.spectral_module import SpectralConv3d, multiplications
from torch.nn import functional as F

SIZE = st.tuples(*[st.integers(1, 9)] * 3)
KERNEL = st.tuples(*[st.sampled_from((1, 3, 5, 7, 21))] * 3)


@settings(max_examples=40, deadline=None)
@given(size=SIZE, kernel=KERNEL, channels=st.integers(1, 3), batch=st.integers(1, 2), bias=st.booleans())
def test_equal_to_the_convolution(size, kernel, channels, batch, bias):
    torch.manual_seed(0)
    x, weight = torch.randn(batch, channels, *size), torch.randn(channels, 1, *kernel)
    b = torch.randn(channels) if bias else None
    expected = F.conv3d(
        x.double(), weight.double(), None if b is None else b.double(),
        padding=[k // 2 for k in kernel], groups=channels,
    )  # fmt: skip
    found = SpectralConv3d(weight, b, size)(x)
    assert found.shape == x.shape and found.dtype == torch.float32
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1e-3)


def test_maps_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"made for maps of \[4, 5, 6\], not \[4, 5, 7\]"):
        SpectralConv3d(torch.randn(1, 1, 3, 3, 3), None, (4, 5, 6))(torch.randn(1, 1, 4, 5, 7))


def test_where_the_transforms_are_cheaper():
    direct, spectral = multiplications((48, 48, 48), (21, 21, 21))
    assert direct == (48 * 21) ** 3 and spectral < direct / 10
    direct, spectral = multiplications((6, 6, 6), (3, 3, 3))
    assert direct < spectral
    direct, _ = multiplications((2, 2, 2), (21, 21, 21))
    assert direct == (2 * 3) ** 3  # taps that never meet data are not counted
