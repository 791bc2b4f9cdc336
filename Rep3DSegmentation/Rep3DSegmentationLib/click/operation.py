"""One piece of work of the worker for clicks, which several editors may wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import WorkerError
from ..i18n import _

if TYPE_CHECKING:
    from ..client import OnProgress, Pending, WorkerClient
    from .picking import PreparedVolume

OnReady = Callable[["PreparedVolume", "tuple[str, ...]"], None]  # with warnings
OnError = Callable[[WorkerError], None]


class Ticket:
    """One caller's share in an operation. Exactly one of ``on_ready`` and ``on_error`` is called, once.

    When it is done it lets go of the caller, who may outlive neither the session nor the operation.
    """

    def __init__(
        self,
        operation: Operation,
        on_progress: OnProgress | None,
        on_ready: OnReady | None,
        on_error: OnError | None,
    ):
        self.done = False
        self._operation: Operation | None = operation
        self._on_progress, self._on_ready, self._on_error = on_progress, on_ready, on_error

    def cancel(self) -> None:
        """No longer wait: ``on_error`` gets ``cancelled`` at once. The work ends when nobody waits for it."""
        if not self.done:
            operation = self._operation
            self.fail(WorkerError("cancelled", _("Cancelled.")))
            operation.leave(self)

    def progress(self, fraction: float, stage: str, eta_s: float | None) -> None:
        """Pass it on."""
        if not self.done and self._on_progress is not None:
            self._on_progress(fraction, stage, eta_s)

    def ready(self, prepared: PreparedVolume, warnings: tuple[str, ...]) -> None:
        """Pass it on; the end."""
        if not self.done:
            on_ready, _on_error = self._end()
            if on_ready is not None:
                on_ready(prepared, warnings)

    def fail(self, error: WorkerError) -> None:
        """Pass it on; the end."""
        if not self.done:
            _on_ready, on_error = self._end()
            if on_error is not None:
                on_error(error)

    def _end(self) -> tuple[OnReady | None, OnError | None]:
        callbacks = self._on_ready, self._on_error
        self.done = True
        self._operation = self._on_progress = self._on_ready = self._on_error = None
        return callbacks


class Operation:
    """Requests to the worker, one after the other, for everybody who holds a ticket."""

    def __init__(self, signature: tuple):
        self.done = False
        self.signature = signature  # of the volume when it was asked for
        self._tickets: list[Ticket] = []
        self._pending: Pending | None = None

    @property
    def abandoned(self) -> bool:
        """Does nobody wait for it any more?"""
        return not self._tickets

    @property
    def joinable(self) -> bool:
        """Will it have an end that is worth waiting for?"""
        return not self.done and not self.abandoned

    def join(self, on_progress: OnProgress | None, on_ready: OnReady | None, on_error: OnError | None) -> Ticket:
        """Wait for it as well."""
        self._tickets.append(Ticket(self, on_progress, on_ready, on_error))
        return self._tickets[-1]

    def leave(self, ticket: Ticket) -> None:
        """Called by a ticket that no longer waits."""
        if ticket in self._tickets:
            self._tickets.remove(ticket)
        if self.abandoned and not self.done and self._pending is not None:
            self._pending.cancel()

    def give_up(self) -> None:
        """Cancel it for everybody."""
        for ticket in list(self._tickets):
            ticket.cancel()

    def send(self, client: WorkerClient, method: str, params: dict[str, Any], on_result, on_error) -> None:
        """The next request. Raises WorkerError."""
        self._pending = client.request(
            method, params, on_progress=self._progress, on_result=on_result, on_error=on_error
        )

    def _progress(self, fraction: float, stage: str, eta_s: float | None) -> None:
        for ticket in list(self._tickets):
            ticket.progress(fraction, stage, eta_s)

    def finish(self, prepared: PreparedVolume, warnings: tuple[str, ...]) -> None:
        """Tell everybody."""
        for ticket in self._end():
            ticket.ready(prepared, warnings)

    def fail(self, error: WorkerError) -> None:
        """Tell everybody who has not had an end."""
        for ticket in self._end():
            ticket.fail(error)

    def _end(self) -> list[Ticket]:
        """From now on it holds nobody: the session may remember it for long."""
        tickets, self._tickets, self._pending, self.done = self._tickets, [], None, True
        return tickets
