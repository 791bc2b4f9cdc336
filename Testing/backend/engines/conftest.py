"""One small deployed network with all that the engines treat specially, and one folder of compiled networks."""

from __future__ import annotations

import pytest
import torch
from rep3d.networks import create_network

SHAPE = (1, 1, 32, 32, 32)


@pytest.fixture(scope="session")
def network():
    """Large kernels by transforms (16^3 maps) and directly (2^3), norms and up-sampling; weights not all alike."""
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain", deployed=True).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    return network.requires_grad_(False)


@pytest.fixture(scope="session")
def engine_folder(tmp_path_factory):
    """Compiled networks of these tests: compiled once."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, engine_folder):
    monkeypatch.setenv("REP3D_CACHE_DIR", str(engine_folder))
    monkeypatch.delenv("REP3D_ENGINE", raising=False)
