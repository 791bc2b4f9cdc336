"""Exceptions that Qt or VTK would swallow: those raised in slots, timers, event handlers and observers."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from types import TracebackType

from PyQt5 import QtCore

# What Qt says here whatever a module does.
_NOISE = ("propagateSizeHints", "XDG_RUNTIME_DIR")
# Warnings after which the desktop application may crash.
_SERIOUS = ("thread", "QPaintDevice", "QObject::installEventFilter")


@dataclass(frozen=True)
class Recorded:
    """One exception that nobody could catch: where it was raised and what was raised."""

    where: str
    error: BaseException
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class ErrorLog(list):
    """The exceptions of this process, in order; a test that leaves some behind fails."""

    def record(self, where: str, error: BaseException) -> None:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.append(Recorded(where, error, text))
        print(f"Exception in {where}:\n{text}", file=sys.stderr)

    def complain(self, where: str, message: str) -> None:
        """Record something that is wrong without an exception, such as a dialog that no test expected."""
        self.record(where, RuntimeError(message))

    def take(self, kind: type[BaseException] = BaseException) -> list[BaseException]:
        """Remove and return the recorded exceptions of a kind: for tests that expect them."""
        taken = [entry.error for entry in self if isinstance(entry.error, kind)]
        self[:] = [entry for entry in self if not isinstance(entry.error, kind)]
        return taken


log = ErrorLog()


def install_hook() -> None:
    """Record what reaches ``sys.excepthook``: VTK observers and Qt virtual methods end there."""

    def hook(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        log.record("callback", error)

    sys.excepthook = hook


def install_message_handler() -> None:
    """Record what Qt itself complains of where it is serious; print the rest but for what it always says."""

    def handle(kind: int, _context: QtCore.QMessageLogContext, message: str) -> None:
        if any(word in message for word in _NOISE):
            return
        if kind in (QtCore.QtCriticalMsg, QtCore.QtFatalMsg) or any(word in message for word in _SERIOUS):
            log.complain("Qt", message)
        else:
            print(f"Qt: {message}", file=sys.stderr)

    QtCore.qInstallMessageHandler(handle)
