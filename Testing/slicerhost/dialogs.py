"""Dialogs that would wait for a person: a test queues the answer beforehand, an unexpected dialog is an error."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PyQt5 import QtCore, QtWidgets

from . import errors

# A dialog that is not a message box may close by itself (a timed popup); one that does not in this time is an error.
PATIENCE_MS = 5000


@dataclass(frozen=True)
class Shown:
    """One dialog that came up: its kind (message, file, input, dialog, menu, url), its texts and the answer it got."""

    kind: str
    title: str
    text: str
    reply: Any


class Dialogs:
    """Queue of answers and history of the dialogs that were shown."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self._queue: deque[tuple[Any, str | None]] = deque()

    def answer(self, reply: Any, text: str | None = None) -> None:
        """Queue the answer to the next dialog.

        reply: a button (``qt.QMessageBox.Yes`` or its name "Yes") for a message box; a path, a list of paths or ""
            (cancelled) for a file dialog; a text or None (cancelled) for an input dialog; "accept" or "reject" for any
            other dialog; or a function that is given the dialog and returns one of these (None: it closed the dialog).
        text: what the dialog's title and text must contain; an error is recorded where they do not.
        """
        self._queue.append((reply, text))

    @property
    def pending(self) -> int:
        """How many queued answers no dialog has asked for yet."""
        return len(self._queue)

    @property
    def last(self) -> Shown:
        return self.shown[-1]

    def clear(self) -> None:
        self.shown.clear()
        self._queue.clear()

    def ask(self, kind: str, title: str, text: str, cancelled: Any) -> Any:
        """The queued answer for a dialog that is not really opened; ``cancelled`` where none was queued."""
        known, reply = self._take(kind, title, text)
        if callable(reply):
            reply = reply(None)
        reply = reply if known else cancelled
        self.shown.append(Shown(kind, title, text, reply))
        return reply

    def _take(self, kind: str, title: str, text: str) -> tuple[bool, Any]:
        if not self._queue:
            errors.log.complain("dialog", f"unexpected {kind} dialog '{title}': {text}")
            return False, None
        reply, expected = self._queue.popleft()
        if expected is not None and expected not in f"{title}\n{text}":
            errors.log.complain("dialog", f"{kind} dialog '{title}' does not say '{expected}': {text}")
        return True, reply

    def execute(self, real: QtWidgets.QDialog) -> int:
        """Run a dialog's own event loop and answer it as a person would: by its buttons."""
        if isinstance(real, QtWidgets.QMessageBox):
            silent = real.silent_result() if hasattr(real, "silent_result") else None
            return self._message(real) if silent is None else silent
        title = real.windowTitle()
        if not self._queue:
            return self._wait(real, title)
        _known, reply = self._take("dialog", title, _texts(real))

        def act() -> None:
            answer = self._resolve(real, reply)
            self.shown.append(Shown("dialog", title, _texts(real), answer))
            if real.isVisible() and answer is not None:
                real.done(_result(answer))

        return _run(real, act)

    def _message(self, box: QtWidgets.QMessageBox) -> int:
        title, text = box.windowTitle().strip(), "\n".join(filter(None, [box.text(), box.informativeText()]))
        known, reply = self._take("message", title, text)

        def act() -> None:
            answer = self._resolve(box, reply) if known else None
            button = _button(box, answer)
            if known and button is None and box.isVisible():
                names = [entry.text() for entry in box.buttons()]
                errors.log.complain("dialog", f"message '{title}' has no button {answer!r}, only {names}: {text}")
            self.shown.append(Shown("message", title, text, button.text() if button else None))
            if button is not None:
                button.click()
            if box.isVisible():
                box.reject()
                box.done(int(QtWidgets.QMessageBox.Cancel))

        return _run(box, act)

    def _wait(self, real: QtWidgets.QDialog, title: str) -> int:
        watchdog = QtCore.QTimer()
        watchdog.setSingleShot(True)

        def give_up() -> None:
            errors.log.complain("dialog", f"unexpected dialog '{title}': {_texts(real)}")
            real.reject()

        watchdog.timeout.connect(give_up)
        watchdog.start(PATIENCE_MS)
        result = _loop(real)
        watchdog.stop()
        self.shown.append(Shown("dialog", title, _texts(real), None))
        return result

    def _resolve(self, real: QtWidgets.QDialog, reply: Any) -> Any:
        from .wrapping import wrap

        if not callable(reply) or isinstance(reply, type):
            return reply
        try:
            return reply(wrap(real))
        except BaseException as error:  # called by Qt
            errors.log.record("answer to a dialog", error)
            return "reject"  # nobody else would close it


def _run(real: QtWidgets.QDialog, act: Callable[[], None]) -> int:
    QtCore.QTimer.singleShot(0, act)
    return _loop(real)


def _loop(real: QtWidgets.QDialog) -> int:
    """The dialog's own event loop. ``deleteLater()`` before it, as slicer.util.messageBox does, counts after it: the
    application always runs in an event loop, to which the deletion belongs; a test does not."""
    doomed = getattr(real, "_slicerhost_doomed", False)
    if doomed:
        QtCore.QCoreApplication.removePostedEvents(real, QtCore.QEvent.DeferredDelete)
    result = QtWidgets.QDialog.exec_(real)
    if doomed:
        real.deleteLater()
    return result


def _result(answer: Any) -> int:
    return {"accept": 1, "reject": 0}[answer] if isinstance(answer, str) else int(answer)


def _button(box: QtWidgets.QMessageBox, answer: Any) -> QtWidgets.QAbstractButton | None:
    if answer is None:
        return None
    if isinstance(answer, str):
        for button in box.buttons():
            if button.text().replace("&", "") == answer:
                return button
        answer = getattr(QtWidgets.QMessageBox, answer, QtWidgets.QMessageBox.NoButton)
    return box.button(QtWidgets.QMessageBox.StandardButton(int(answer))) if answer is not None else None


def _texts(real: QtWidgets.QDialog) -> str:
    return "\n".join(filter(None, (label.text() for label in real.findChildren(QtWidgets.QLabel))))


dialogs = Dialogs()
