"""One timer that collects the worker's answers on the main thread, and only runs while some are expected."""

from __future__ import annotations

from collections.abc import Callable

import qt

INTERVAL_MS = 50


class Poller:
    """Calls ``poll`` every 50 ms while ``busy`` says that answers are expected.

    ``poll`` may run long-living callbacks of the application (a progress callback may process events), therefore a tick
    that arrives inside another one does nothing.
    """

    def __init__(self, poll: Callable[[], object], busy: Callable[[], bool]):
        self._poll, self._busy = poll, busy
        self._inside = False
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)

    def wake(self) -> None:
        """Start ticking if it does not."""
        if not self._timer.isActive():
            self._timer.start()

    def stop(self) -> None:
        """Stop ticking for good; a poller that was stopped is not woken again."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self._tick)

    def is_active(self) -> bool:
        """Whether it ticks."""
        return bool(self._timer.isActive())

    def _tick(self) -> None:
        if self._inside:
            return
        self._inside = True
        try:
            self._poll()
        finally:
            self._inside = False
        if not self._busy():
            self._timer.stop()
