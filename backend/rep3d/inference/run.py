"""Progress, cancelling and the clock of one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager

from rep3d.errors import Cancelled

Progress = Callable[[float, str], None]  # fraction 0..1 of the run, name of the stage


class Run:
    """Passed from step to step of a segmentation; ``timings`` are seconds by step."""

    def __init__(self, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None):
        self.progress, self.cancelled = progress, cancelled
        self.timings: dict[str, float] = {}

    def check(self) -> None:
        """Raise Cancelled if the caller has cancelled the run."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("The segmentation was cancelled.")

    def report(self, fraction: float, stage: str) -> None:
        """Tell how far the run is. Raises Cancelled."""
        self.check()
        if self.progress is not None:
            self.progress(fraction, stage)

    @contextmanager
    def clock(self, step: str):
        """Add the time spent inside to ``timings[step]``."""
        start = time.perf_counter()
        yield
        self.timings[step] = self.timings.get(step, 0.0) + time.perf_counter() - start
