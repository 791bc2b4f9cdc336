"""Having the worker answer for a volume, and the click that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from Rep3DSegmentationLib.click.entries import ClickOptions
from Rep3DSegmentationLib.click.operation import Ticket
from Rep3DSegmentationLib.click.picking import PreparedVolume
from Rep3DSegmentationLib.click.session import get_session
from Rep3DSegmentationLib.errors import WorkerError

from .interaction import ClickPoint
from .status import Progress

NONE, PREPARING, READY = "none", "preparing", "ready"


@dataclass(frozen=True)
class Waiting:
    """A click that is applied when the answer is there, if ``context`` and ``options`` are still the same then."""

    point: ClickPoint
    context: tuple
    options: ClickOptions


class Preparation:
    """What one editor has asked of the session. ``changed`` is called when there is something new to show.

    Attributes:
        progress: of what this editor started, None while nothing runs.
        options: of what was asked for last. waiting: the click to apply afterwards, None for none.
        error: of the last request, None if it had none. warnings: that came with the last answer.
    """

    def __init__(self, changed: Callable[[], None]):
        self.progress: Progress | None = None
        self.waiting: Waiting | None = None
        self.error: WorkerError | None = None
        self.warnings: tuple[str, ...] = ()
        self.options: ClickOptions | None = None
        self._ticket: Ticket | None = None
        self._changed = changed

    @property
    def running(self) -> bool:
        """Has this editor something under way?"""
        return self._ticket is not None and not self._ticket.done

    @property
    def busy(self) -> bool:
        """Is something under way that this editor waits for?"""
        return self.running or self.waiting is not None

    def state(self, volume: Any, options: ClickOptions) -> str:
        """ "ready", "preparing" (by this editor or another one) or "none"."""
        return get_session().state(volume, options) if volume is not None else NONE

    def answer(self, volume: Any, options: ClickOptions) -> PreparedVolume | None:
        """What is known of the whole volume."""
        return get_session().prepared(volume, options) if volume is not None else None

    def whole(self, volume: Any, options: ClickOptions) -> None:
        """Have the whole volume segmented, or wait for it with another editor. Raises WorkerError."""
        if self.running and self.options == options:
            return
        self._stop()
        if self.state(volume, options) != READY:
            self._start(
                options,
                lambda *callbacks: get_session().prepare(volume, options, *callbacks),
                lambda _answer: self._changed(),
            )

    def patch(
        self, volume: Any, voxel: tuple[int, int, int], options: ClickOptions, ready: Callable[[PreparedVolume], None]
    ) -> None:
        """Have one patch around a voxel segmented, instead of one that was asked for before. Raises WorkerError."""
        self._stop()
        self._start(options, lambda *callbacks: get_session().window(volume, voxel, options, *callbacks), ready)

    def cancel(self) -> None:
        """Stop what this editor waits for, and forget the click that waits for it. ``error`` says so afterwards."""
        self.waiting = None
        if self.running:
            self._ticket.cancel()

    def _stop(self) -> None:
        """Like :meth:`cancel`, and nobody is told."""
        ticket, self._ticket, self.waiting, self.progress = self._ticket, None, None, None
        if ticket is not None:
            ticket.cancel()

    def _start(
        self, options: ClickOptions, ask: Callable[..., Ticket], ready: Callable[[PreparedVolume], None]
    ) -> None:
        self.error, self.warnings, self.progress, self.options = None, (), Progress(0.0, ""), options
        mine: list[Ticket] = []

        def current() -> bool:
            return bool(mine) and self._ticket is mine[0]

        def on_progress(fraction: float, stage: str, eta_s: float | None) -> None:
            if current():
                self.progress = Progress(fraction, stage, eta_s)
                self._changed()

        def on_ready(answer: PreparedVolume, warnings: tuple[str, ...]) -> None:
            if current():
                self.progress, self.warnings = None, warnings
                ready(answer)

        def on_error(error: WorkerError) -> None:
            if current():
                self.progress, self.waiting, self.error = None, None, error
                self._changed()

        try:
            mine.append(ask(on_progress, on_ready, on_error))
        except WorkerError:
            self.progress = None
            raise
        self._ticket = mine[0]
        self._changed()
