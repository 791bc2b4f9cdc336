"""Peak memory does not grow with classes x native voxels, measured as resident memory of a child process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from rep3d.inference.checks import estimate_bytes

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "memory.py"
SIZE = (200, 200, 160)


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("memory_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_memory_is_independent_of_classes_on_the_native_grid(benchmark):
    """24 classes x native voxels would be 600 MB as float32; a quarter of that is more than enough."""
    options = {"network_spacing": (4.0, 4.0, 4.0), "patch": (32, 32, 32), "overlap": 0.25}
    row = benchmark.measure(SIZE, (0.8, 0.8, 1.0), 24, **options)
    assert row["classes_found"] >= 20
    native = float(np.prod(SIZE))
    assert row["above_model"] < 0.25 * 24 * native * 4
    # int16 scan twice while it is read, and the estimate that is checked before a run
    assert row["above_model"] < 4 * native + estimate_bytes(SIZE, row["network_grid"], (32, 32, 32), 24)


def test_the_estimate_of_a_full_size_ct_keeps_the_bound():
    """512 x 512 x 600 voxels of 0.78 x 0.78 x 1 mm, 16 classes: below 3 GB above the model, scan included."""
    size = (512, 512, 600)
    network_grid = (266, 266, 300)
    window = 4 * 96**3 * 256  # what the estimate allows for the network's own features
    need = estimate_bytes(size, network_grid, (96, 96, 96), 16) - window + 4 * float(np.prod(size))
    assert need < 3e9
