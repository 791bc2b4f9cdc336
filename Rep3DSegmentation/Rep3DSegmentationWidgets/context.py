"""What the panels share: widgets, choices, state, worker and log. The module widget makes one and owns it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, Protocol

import slicer
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.parameters import Parameters
from Rep3DSegmentationLib.session import get_client

from .polling import Poller
from .state import ERROR, INFO, WARNING, Message, PanelState

LEVELS = {INFO: logging.INFO, WARNING: logging.WARNING, ERROR: logging.ERROR}


class Panel(Protocol):
    """A part of the module's panel: connects its widgets when it is made, shows the state when it is told to."""

    def refresh(self) -> None:
        """Show the state and the choices."""


class Context:
    """Shared by all panels of one module widget.

    Attributes:
        ui: the widgets of the .ui file by name.
        parameters: the choices; None while there is no scene to keep them (it is being closed).
        state: what is known, what runs, what came of it.
        when_installed: calls what it is given when the packages are there, after asking to install them.
        updating: true while panels set their widgets, so that they can tell that from the user's hand.
    """

    def __init__(self, ui: Any, log: Callable[[str, str], None]):
        self.ui = ui
        self.parameters: Parameters | None = None
        self.state = PanelState()
        self.updating = False
        self.closed = False
        self.when_installed: Callable[[Callable[[], None]], None] = lambda then: then()
        self._panels: list[Panel] = []
        self._pending: list[Any] = []
        self._running: Callable[[], bool] = lambda: False
        self._log = log
        self.poller = Poller(self._poll, self._busy)

    def add(self, *panels: Panel) -> None:
        """Have these panels refreshed."""
        self._panels += panels

    def refresh(self) -> None:
        """Show the state everywhere. Cheap: called after each change."""
        if self.updating or self.closed:
            return
        with self.quiet():
            for panel in self._panels:
                panel.refresh()

    @contextmanager
    def quiet(self):
        """Widgets may be set without being taken for the user's hand."""
        before, self.updating = self.updating, True
        try:
            yield
        finally:
            self.updating = before

    def client(self) -> Any:
        """The application's worker client."""
        return get_client()

    def request(
        self,
        method: str,
        params: dict[str, Any] | None,
        on_result: Callable[[dict[str, Any]], None],
        on_error: Callable[[WorkerError], None],
        on_progress: Callable[..., None] | None = None,
    ) -> Any:
        """Ask the worker without waiting; the answers come while the timer ticks. Returns what can be cancelled.

        A worker that cannot be started is reported through ``on_error`` like any other error; then None is returned.
        """
        try:
            pending = self.client().request(
                method,
                params,
                on_progress=self._alive(on_progress) if on_progress else None,
                on_result=self._alive(on_result),
                on_error=self._alive(on_error),
            )
        except WorkerError as error:
            on_error(error)
            return None
        self._pending.append(pending)
        self.poller.wake()
        return pending

    def watch_run(self, running: Callable[[], bool]) -> None:
        """Keep collecting answers while ``running`` says so."""
        self._running = running
        self.poller.wake()

    def tell(self, level: str, text: str, hint: str = "") -> None:
        """Show a message above Apply and put it into the log."""
        self.state.message = Message(level, text, hint)
        self.log(level, f"{text} {hint}".strip())
        self.refresh()

    def tell_error(self, error: WorkerError) -> None:
        """Show an error of the worker or of the scene."""
        self.tell(INFO if error.code == "cancelled" else ERROR, error.message, error.hint)

    def log(self, level: str, text: str) -> None:
        """Put a line into the panel's log and into Slicer's."""
        logging.log(LEVELS[level], f"Rep3D: {text}")
        if not self.closed:
            self._log(level, text)

    def close(self) -> None:
        """Stop the timer; answers that come later reach no panel."""
        self.closed = True
        self.poller.stop()
        self._pending.clear()

    def _alive(self, callback: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            if not self.closed:
                callback(*arguments)

        return call

    def _poll(self) -> None:
        try:
            self.client().poll()
        except WorkerError as error:
            self.tell_error(error)

    def _busy(self) -> bool:
        self._pending = [pending for pending in self._pending if not pending.done]
        return not self.closed and (bool(self._pending) or self._running())


def scene() -> Any:
    """The scene of the application."""
    return slicer.mrmlScene
