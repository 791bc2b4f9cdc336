"""What the machine must have. Qt ends the process where its platform plugin cannot be loaded, so this asks first."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import PyQt5


def missing() -> str | None:
    """Why Qt or Slicer's core cannot be loaded here, or None."""
    try:
        import slicer  # noqa: F401
        from PyQt5 import QtWidgets  # noqa: F401 - loads Qt's own libraries before its plugin
    except ImportError as error:
        return f"Slicer's core or Qt cannot be loaded: {error}"
    plugin = Path(PyQt5.__file__).parent / "Qt5" / "plugins" / "platforms" / "libqoffscreen.so"
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen" or not plugin.is_file():
        return None
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return f"a system library of Qt is missing (apt: libgl1 libglib2.0-0 libfontconfig1): {error}"
    return None


def check() -> None:
    """Raises ImportError, which test fixtures turn into a skip."""
    reason = missing()
    if reason is not None:
        raise ImportError(reason)
