"""Peak memory does not grow with classes x native voxels, measured as resident memory of a child process."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rep3d.data.volume import Volume
from rep3d.errors import OutOfMemory
from rep3d.inference.checks import WORKSPACE_VALUES, estimate_bytes, prepare_bytes, window_bytes
from rep3d.inference.pipeline import segment_volume

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SIZE = (200, 200, 160)


@pytest.fixture
def whole_scan(monkeypatch):
    """The benchmark, which is a script among others."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import whole_scan

    return whole_scan


def test_memory_is_independent_of_classes_on_the_native_grid(whole_scan, tmp_path):
    """20 classes more would be 512 MB more as float32 on the native grid; a quarter of that is more than enough."""
    whole_scan.write_scan(tmp_path / "scan.nii", SIZE, (0.8, 0.8, 1.0), body_mm=6.0)
    how = {"program": "rep3d", "network": "stand-in", "batch": 1}
    how |= {"spacing_mm": [4.0, 4.0, 4.0], "patch": [32, 32, 32], "overlap": 0.25}

    def measure(classes):
        out = tmp_path / f"{classes}.nii.gz"
        return whole_scan.measure(tmp_path / "scan.nii", out, how | {"classes": classes}, threads=1)

    row, few = measure(24), measure(4)
    assert row["classes_found"] >= 20
    native = float(np.prod(SIZE))
    assert row["above_model"] - few["above_model"] < 0.25 * 20 * native * 4
    # int16 scan twice while it is read, the estimate that is checked before a run, and what is imported on the way
    estimate = estimate_bytes(SIZE, row["network_grid"], (32, 32, 32), 24)
    assert row["above_model"] < 4 * native + estimate + 150e6


def test_a_process_that_takes_too_much_is_ended(whole_scan, tmp_path):
    """Also one whose run failed tells why."""
    how = {"program": "rep3d", "network": "stand-in", "classes": 2, "spacing_mm": [4.0] * 3, "patch": [32] * 3}
    how |= {"overlap": 0, "batch": 1}
    assert whole_scan.measure(tmp_path / "none.nii", tmp_path / "o.nii.gz", how, 1e6)["exceeded_gb"] > 0.001
    with pytest.raises(RuntimeError, match=r"none\.nii"):
        whole_scan.measure(tmp_path / "none.nii", tmp_path / "o.nii.gz", how)


@pytest.mark.parametrize(
    ("network_grid", "spacing"), [((266, 266, 300), "0.78 x 0.78 x 1 mm"), ((512, 512, 600), "the network's own")]
)
def test_the_estimate_of_a_full_size_ct_keeps_the_bound(network_grid, spacing):
    """512 x 512 x 600 voxels, 16 classes, window 96: below 3 GB above the model, int16 scan included."""
    size = (512, 512, 600)
    window = 4 * 96**3 * WORKSPACE_VALUES  # what the estimate allows for the network's own features
    need = estimate_bytes(size, network_grid, (96, 96, 96), 16) - window + 2 * float(np.prod(size))
    assert need < 3e9, spacing


def test_estimates_by_hand():
    """Intensities where the grid gets finer, resampling where it gets coarser; padding is counted."""
    assert prepare_bytes((10, 10, 10), (10, 10, 50)) == 4 * 2.25 * 5000
    assert prepare_bytes((10, 10, 10), (4, 5, 10)) == 4 * (400 + 200 + 1000)  # two stages, and the piece in float32
    fits, padded = (window_bytes((n, 32, 32), (16, 16, 16), 3) for n in (16, 8))
    assert padded - fits == 4 * 16 * 32 * 32


def test_cropping_lets_a_volume_pass_that_would_not_fit_whole(monkeypatch, small_task, threshold):
    """What is compared with the free memory before the first window is the region, not the whole volume."""
    from dataclasses import replace

    x = np.full((64, 64, 64), -1000.0, np.float32)
    x[20:40, 20:40, 20:40] = 60
    volume, task = Volume(x, np.eye(4)), replace(small_task, patch=(32, 32, 32))
    whole = window_bytes((64, 64, 64), task.patch, 3) + x.size
    small = window_bytes((36, 36, 36), task.patch, 3) + x.size
    assert small < whole
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=(small + whole) // 2))
    assert segment_volume(volume, threshold, task, device="cpu", batch=1).labelmap.any()
    x[0, 0, 0] = x[-1, -1, -1] = 60  # nothing can be cropped off
    with pytest.raises(OutOfMemory, match="64 x 64 x 64"):
        segment_volume(volume, threshold, task, device="cpu", batch=1)
    assert segment_volume(volume, threshold, task, device="cpu", batch=1, roi=(10, 50, 10, 50, 10, 50)).labelmap.any()
