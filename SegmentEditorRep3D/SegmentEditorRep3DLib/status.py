"""What the effect tells the user: one line, and the progress of what runs."""

from __future__ import annotations

from dataclasses import dataclass

from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationWidgets.state import ERROR, INFO, WARNING
from Rep3DSegmentationWidgets.text import duration_text
from slicer.i18n import tr as _

__all__ = ["ERROR", "INFO", "WARNING", "Progress", "Status", "of_error"]


@dataclass(frozen=True)
class Status:
    """``level``: "info", "warning" or "error"."""

    text: str
    level: str = INFO


@dataclass(frozen=True)
class Progress:
    """``fraction``: 0 to 1. ``stage``: the worker's words. ``eta_s``: seconds left, if known."""

    fraction: float
    stage: str
    eta_s: float | None = None

    @property
    def text(self) -> str:
        """Such as "segmenting (window 3 of 40), 25 s left"."""
        if self.eta_s is None:
            return self.stage
        return _("{stage}, {time} left").format(stage=self.stage, time=duration_text(self.eta_s))


def of_error(error: WorkerError) -> Status:
    """An error with what to do about it; something that was cancelled is no error."""
    text = f"{error.message} {error.hint.splitlines()[0] if error.hint else ''}".strip()
    return Status(text, INFO if error.code == "cancelled" else ERROR)
