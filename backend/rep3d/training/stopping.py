"""A run is asked to stop by a signal, or by the process that started it: it saves, then exits."""

from __future__ import annotations

import os
import signal
import threading

_active: StopRequest | None = None


class Stopped(Exception):
    """The run has been asked to stop. ``name``: the signal's; ``exit_code``: what the process then ends with."""

    def __init__(self, number: int):
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


class StopRequest:
    """SIGTERM and the first SIGINT ask the loop to save and stop at its next `check`; a second one acts at once.

    patient: a second one does nothing, also while the checkpoint is written. For ranks: who started them sends each of
    them a signal when one ends, or on top of the terminal's, and has others to end them at once.
    """

    def __init__(self, patient: bool = False) -> None:
        self.patient = patient
        self.received = 0
        self.previous: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        global _active
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.previous[number] = signal.signal(number, self._receive)
        _active = self
        return self

    def _receive(self, number: int, _frame) -> None:
        self.received = self.received or number
        if not self.patient:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def check(self, numbers: list[int] | None = None) -> None:
        """Raise Stopped if a stop has been asked for; of several ranks, all pass all their ``numbers``."""
        if number := max([self.received] if numbers is None else numbers):
            raise Stopped(number)

    def __exit__(self, *_) -> None:
        global _active
        _active = None
        if not (self.patient and self.received):
            self._restore()


def ask_to_stop(number: int) -> None:
    """As signal ``number`` would, from any thread. Outside of a training loop nothing is to be saved: exit at once."""
    if _active is None:
        os._exit(128 + number)
    _active.received = number
