"""The checkpoint and the weights file of a small network, shared with other folders, and a scan for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rep3d.data.volume import Volume

from ..fused_weights import checkpoint, weights_file

__all__ = ["checkpoint", "weights_file"]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def scan() -> Volume:
    """A left-handed, anisotropic MR-like scan [30, 40, 28], second axis to the right, with a bright ball in it."""
    affine = np.array([[0, 1.0, 0, -20], [-1.25, 0, 0, 15], [0, 0, -1.5, 30], [0, 0, 0, 1.0]])
    x, y, z = np.meshgrid(*[np.arange(n) for n in (30, 40, 28)], indexing="ij")
    ball = ((x - 15) ** 2 + (y - 20) ** 2 + (z - 14) ** 2) < 40
    noise = np.random.default_rng(0).normal(0, 5, ball.shape)
    return Volume((100 + 80 * ball + noise).astype(np.float32), affine)
