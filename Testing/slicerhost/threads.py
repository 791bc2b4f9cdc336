"""Qt and MRML belong to the main thread: they are used there, and garbage is collected there.

Python's collector runs in whatever thread allocates. If that is a reader thread and the garbage holds widgets, Qt
deletes them in the wrong thread and the process may die. So the automatic collector is off, and the main thread
collects.
"""

from __future__ import annotations

import gc
import threading


def check(what: str) -> None:
    """Raises RuntimeError off the main thread, where the application would crash sooner or later."""
    if threading.current_thread() is not threading.main_thread():
        name = threading.current_thread().name
        raise RuntimeError(f"{what} is used in the thread '{name}': Qt may only be used in the main thread")


def collect_here() -> None:
    """Turn the automatic collector off; :func:`collect` takes its place."""
    gc.disable()


def collect() -> None:
    """Collect the generations whose thresholds are passed, as the automatic collector would."""
    counts, limits = gc.get_count(), gc.get_threshold()
    for generation in (2, 1, 0):
        if limits[generation] and counts[generation] > limits[generation]:
            gc.collect(generation)
            return
