"""One thread, a private choice file and an empty spectrum cache for every test of the operator."""

import pytest
import torch
from rep3d.ops import choice, clear_spectrum_cache, set_spectrum_cache_limit


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    monkeypatch.setenv("REP3D_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("REP3D_CONV_ALGORITHM", raising=False)
    choice.store.forget()
    clear_spectrum_cache()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    set_spectrum_cache_limit(512 << 20)
    clear_spectrum_cache()
    choice.store.forget()
