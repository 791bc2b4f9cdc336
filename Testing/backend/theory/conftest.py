"""Settings of the theory tests: one algorithm of the operator, so that both twins round alike on every machine."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def one_algorithm(monkeypatch):
    monkeypatch.setenv("REP3D_CONV_ALGORITHM", "direct")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
