"""Errors that a user can act on, with the codes of the worker protocol."""

from __future__ import annotations


class WorkerError(Exception):
    """A request failed. ``code`` is from the closed list of the protocol; ``hint`` says what to do about it."""

    def __init__(self, code: str, message: str, hint: str = ""):
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint

    def __reduce__(self):  # Exception would pass the message alone
        return type(self), (self.code, self.message, self.hint)


class InputError(WorkerError):
    """A node or an option cannot be used: code ``bad_input``."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__("bad_input", message, hint)

    def __reduce__(self):
        return type(self), (self.message, self.hint)
