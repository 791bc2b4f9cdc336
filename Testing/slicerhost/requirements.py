"""What the machine must have. Qt ends the process where its platform plugin cannot be loaded, so this asks first."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import PyQt5


def missing() -> str | None:
    """Why Qt cannot start here, or None."""
    if sys.platform != "linux":
        return None
    plugin = Path(PyQt5.__file__).parent / "Qt5" / "plugins" / "platforms" / "libqoffscreen.so"
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen" or not plugin.is_file():
        return None
    try:
        from PyQt5 import QtWidgets  # noqa: F401 - loads Qt's own libraries before its plugin

        ctypes.CDLL(str(plugin))
    except (OSError, ImportError) as error:
        return f"a system library of Qt is missing (apt: libgl1 libglib2.0-0 libfontconfig1): {error}"
    return None


def check() -> None:
    """Raises ImportError, which test fixtures turn into a skip."""
    reason = missing()
    if reason is not None:
        raise ImportError(reason)
