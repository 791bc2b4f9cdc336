"""Having the worker answer for a volume, and the click that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from Rep3DSegmentationLib.click.picking import PreparedVolume
from Rep3DSegmentationLib.click.session import ClickOptions, Operation, get_session
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
        waiting: the click to apply afterwards, None for none. error: of the last request, None if it had none.
    """

    def __init__(self, changed: Callable[[], None]):
        self.progress: Progress | None = None
        self.waiting: Waiting | None = None
        self.error: WorkerError | None = None
        self.warnings: tuple[str, ...] = ()
        self._operation: Operation | None = None
        self._changed = changed

    @property
    def running(self) -> bool:
        """Has this editor something under way?"""
        return self._operation is not None and not self._operation.done

    @property
    def busy(self) -> bool:
        """Is something under way that this editor waits for, be it its own or another editor's?"""
        return self.running or self.waiting is not None

    def state(self, volume: Any, options: ClickOptions) -> str:
        """ "ready", "preparing" (by this editor or another one) or "none"."""
        return get_session().state(volume, options) if volume is not None else NONE

    def answer(self, volume: Any, options: ClickOptions) -> PreparedVolume | None:
        """What is known of the whole volume."""
        return get_session().prepared(volume, options) if volume is not None else None

    def whole(self, volume: Any, options: ClickOptions) -> None:
        """Have the whole volume segmented, unless it is or is being. Raises WorkerError."""
        if self.state(volume, options) == NONE:
            self._start(
                lambda *callbacks: get_session().prepare(volume, options, *callbacks), lambda _answer: self._changed()
            )

    def patch(
        self, volume: Any, voxel: tuple[int, int, int], options: ClickOptions, ready: Callable[[PreparedVolume], None]
    ) -> None:
        """Have one patch around a voxel segmented, instead of one that was asked for before. Raises WorkerError."""
        self.cancel()
        self._start(lambda *callbacks: get_session().window(volume, voxel, options, *callbacks), ready)

    def cancel(self) -> None:
        """Stop what this editor has started, and forget the click that waits for it."""
        self.waiting = None
        if self.running:
            self._operation.cancel()

    def _start(self, ask: Callable[..., Operation], ready: Callable[[PreparedVolume], None]) -> None:
        self.error, self.warnings, self.progress = None, (), Progress(0.0, "")
        mine: list[Operation] = []

        def current() -> bool:
            return bool(mine) and self._operation is mine[0]

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
        self._operation = mine[0]
        self._changed()
