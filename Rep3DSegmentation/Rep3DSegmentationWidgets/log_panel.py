"""The log: what happened, with times; copied with one click for a report."""

from __future__ import annotations

import time
from typing import Any

import slicer

#: Older lines are dropped beyond this number.
LINES = 2000


class LogPanel:
    """Keeps the log. Everything that is written here also goes to Slicer's own log."""

    def __init__(self, ui: Any):
        self.ui = ui
        ui.logText.setMaximumBlockCount(LINES)
        ui.logCopyButton.connect("clicked()", self._on_copy)
        ui.logClearButton.connect("clicked()", self._on_clear)

    def write(self, level: str, text: str) -> None:
        """Add a line; ``level`` is "info", "warning" or "error"."""
        mark = "" if level == "info" else f"{level}: "
        self.ui.logText.appendPlainText(f"{time.strftime('%H:%M:%S')}  {mark}{text}")

    def _on_copy(self) -> None:
        slicer.app.clipboard().setText(self.ui.logText.toPlainText())

    def _on_clear(self) -> None:
        self.ui.logText.clear()
