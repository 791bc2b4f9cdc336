"""A test host for scripted modules of 3D Slicer: Slicer's own C++ core from ``slicer-core``, without the desktop.

``Host.start()`` boots the core, publishes ``qt``, ``ctk`` and the missing parts of ``slicer`` on PyQt5 with PythonQt's
manners, and loads scripted modules (.py and .ui) unchanged. ``boot()`` starts the core alone, without Qt.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # Late, so that tests without Qt can use the core alone.
    if name == "Host":
        from .host import Host

        return Host
    if name == "boot":
        from .boot import boot

        return boot
    raise AttributeError(name)
