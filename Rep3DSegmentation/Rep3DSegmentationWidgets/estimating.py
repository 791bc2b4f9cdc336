"""Memory and time of a run in words, and why a run is only started after a question."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .text import duration_text, size_text

#: A run that is estimated to take longer than this is only started after a question.
LONG_RUN_S = 300.0


def estimate_text(answer: dict[str, Any], seconds: float | None) -> str:
    """The worker's answer as a sentence. ``seconds``: of the whole run, which may be about many frames."""
    windows = _("1 window") if answer["windows"] == 1 else _("{0} windows").format(answer["windows"])
    text = _("About {time} on {device}: {windows}, {need} of {free} free memory.").format(
        time=duration_text(seconds),
        device=answer["device"],
        windows=windows,
        need=size_text(answer["memory_bytes"]),
        free=size_text(answer["memory_free_bytes"]),
    )
    if answer["device_memory_bytes"] is None:
        return text
    gpu = _("{need} of GPU memory, {free} more are free there.").format(
        need=size_text(answer["device_memory_bytes"]), free=size_text(answer["device_memory_free_bytes"])
    )
    return f"{text} {gpu}"


def size_question(answer: dict[str, Any], seconds: float | None) -> str:
    """Why a run of this size should be thought over, "" where it need not."""
    need, free = answer["memory_bytes"], answer["memory_free_bytes"]
    if free is not None and need > free:
        return _(
            "This run needs about {need} of this computer's memory; {free} are free. It may fail. A region needs "
            "less; closing other programs frees some."
        ).format(need=size_text(need), free=size_text(free))
    if seconds is not None and seconds > LONG_RUN_S:
        return _(
            "This run takes about {time} on {device}. Less overlap, no mirroring or a region make it shorter."
        ).format(time=duration_text(seconds), device=answer["device"])
    return ""
