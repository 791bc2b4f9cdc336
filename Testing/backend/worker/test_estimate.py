"""The time of a window in an estimate is that of a run, which has small windows in twos on a processor."""

from __future__ import annotations

import torch
from rep3d.inference.engines import Engine
from rep3d.worker import estimate


class Quiet:
    """A job that nobody cancels."""

    def check(self):
        pass


def test_windows_are_timed_as_a_run_has_them(monkeypatch):
    shapes, clock = [], iter((0.0, 9.0, 10.0, 14.0))
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(clock))
    engine = Engine("torch", "1", "asked for", lambda x: shapes.append(tuple(x.shape)) or x)
    seconds, on_device = estimate.time_window(engine, (2, 1, 8, 8, 8), torch.device("cpu"), "float32", Quiet())
    assert shapes == [(2, 1, 8, 8, 8)] * 2 and seconds == 2.0 and on_device is None
