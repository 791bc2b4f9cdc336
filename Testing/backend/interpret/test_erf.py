"""Receptive fields with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rep3d.errors import BadInput
from rep3d.interpret import patch_around, receptive_field
from torch import nn


def linear(kernel):
    """One convolution with this kernel, [classes, 1, K, K, K]."""
    conv = nn.Conv3d(1, kernel.shape[0], kernel.shape[2:], padding=tuple(k // 2 for k in kernel.shape[2:]), bias=False)
    conv.weight.data = kernel
    return conv


def test_the_field_of_a_linear_convolution_is_its_kernel():
    kernel = torch.randn(3, 1, 5, 3, 7, generator=torch.Generator().manual_seed(0))
    net = linear(kernel)
    field = receptive_field(net, torch.rand(1, 16, 16, 16), (8, 7, 6), 2)
    expected = np.zeros((16, 16, 16), np.float32)
    expected[6:11, 6:9, 3:10] = kernel[2, 0].abs().numpy()
    assert np.allclose(field.gradient, expected, atol=1e-6)
    assert field.voxel == (8, 7, 6) and field.class_index == 2


def test_radii_are_millimetres():
    kernel = torch.zeros(2, 1, 9, 1, 9)
    kernel[1, 0, 4, 0, 4], kernel[1, 0, 8, 0, 4], kernel[1, 0, 4, 0, 8] = 0.5, 0.35, 0.15
    field = receptive_field(linear(kernel), torch.rand(1, 16, 16, 16), (6, 8, 6), 1, spacing_mm=(1.5, 1.0, 3.0))
    assert field.radius50_mm == 0 and field.radius90_mm == pytest.approx(12.0)  # 4 voxels of 3 mm


def test_a_region_sums_its_voxels():
    field = receptive_field(linear(torch.ones(2, 1, 1, 1, 1)), torch.rand(1, 8, 8, 8), (4, 4, 0), 1, region=1)
    assert field.gradient.sum() == pytest.approx(3 * 3 * 2)  # cut at the edge


def test_mode_and_gradients_of_the_network_are_left_alone():
    net = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.BatchNorm3d(2)).train()
    before = net[1].running_mean.clone()
    with torch.no_grad():  # works under the caller's no_grad as well
        receptive_field(net, torch.rand(1, 6, 6, 6), (3, 3, 3), 0)
    assert net.training and torch.equal(net[1].running_mean, before)
    assert all(p.grad is None for p in net.parameters())


def test_voxel_and_class_are_checked():
    net = linear(torch.ones(2, 1, 1, 1, 1))
    with pytest.raises(BadInput, match="outside"):
        receptive_field(net, torch.rand(1, 4, 4, 4), (4, 0, 0), 0)
    with pytest.raises(BadInput, match="class 2"):
        receptive_field(net, torch.rand(1, 4, 4, 4), (0, 0, 0), 2)


@given(st.data())
def test_patch_around_holds_the_voxel(data):
    size = data.draw(st.tuples(*[st.integers(1, 12)] * 3))
    patch = data.draw(st.tuples(*[st.integers(1, 12)] * 3))
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in size)
    array = np.arange(1, np.prod(size) + 1, dtype=np.float32).reshape(size)
    out, place, corner = patch_around(array, voxel, patch)
    assert out.shape == patch
    assert out[place] == array[voxel]
    assert tuple(v - c for v, c in zip(voxel, corner)) == place
    # everything of the volume that fits is there, the rest is padding
    assert np.count_nonzero(out) == np.prod([min(n, p) for n, p in zip(size, patch)])
