"""Messages and progress, shown in the same way wherever they stand."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .state import Job
from .text import duration_text

COLORS = {"info": "#4a90d9", "warning": "#d9a441", "error": "#d0453c"}


def show_message(frame: Any, label: Any, message: Any) -> None:
    """Show a message in a frame whose border says how serious it is; hide the frame when there is none."""
    frame.setVisible(message is not None)
    if message is None:
        return
    color = COLORS[message.level]
    frame.setStyleSheet(f"QFrame#{frame.name} {{ border: 1px solid {color}; border-left: 4px solid {color}; }}")
    label.setText(f"{message.text}\n{message.hint}" if message.hint else message.text)


def show_progress(bar: Any, label: Any, job: Job | None) -> None:
    """Show how far a job is; both widgets are hidden when there is none."""
    bar.setVisible(job is not None)
    label.setVisible(job is not None)
    if job is None:
        return
    bar.setRange(0, 0 if job.fraction is None else 1000)
    if job.fraction is not None:
        bar.setValue(round(1000 * job.fraction))
    stage = _("Cancelling") if job.cancelling else job.stage[:1].upper() + job.stage[1:]
    left = "" if job.eta_s is None else _(", about {0} left").format(duration_text(job.eta_s))
    label.setText(stage + left)
