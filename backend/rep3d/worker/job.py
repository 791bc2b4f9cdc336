"""One request at work: what its method sees of the outside (progress, log, cancelling, arrays)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rep3d.errors import Cancelled, OutputFailed
from rep3d.worker import protocol
from rep3d.worker.folder import array_path

if TYPE_CHECKING:
    import numpy as np

REPORT_EVERY_S = 0.03  # windows of a tiny network come faster than a pipe and a screen need to know
FEW_SECONDS = 0.5  # of work before the first guess at what is left


class Clock:
    """Seconds left, from the pace between the first sign of real work and now."""

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now = now
        self._start: tuple[float, float] | None = None  # time, fraction

    def left(self, fraction: float) -> float | None:
        """The guess at ``fraction`` (0..1) of the whole; None before there is ground for one."""
        now = self._now()
        if self._start is None:
            if fraction > 0.02:  # preparing goes at another pace than the windows; the first one includes warming up
                self._start = (now, fraction)
            return None
        began, first = self._start
        if fraction <= first or (now - began < FEW_SECONDS and fraction < 1):
            return None
        return (1 - fraction) * (now - began) / (fraction - first)


class Job:
    """A request and its way back to whoever sent it.

    Args:
        request: with params that were checked.
        folder: private folder.
        send: writes a message to the pipe.
    """

    def __init__(self, request: protocol.Request, folder: Path, send: Callable[[dict], None]):
        self.id, self.method, self.params = request.id, request.method, request.params
        self.folder = folder
        self.device_lost = False  # set by a method that goes on although this process cannot use its GPU again
        self._send = send
        self._cancel = threading.Event()
        self._clock = Clock()
        self._last = -1.0
        self._outputs: list[Path] = []

    def cancel(self) -> None:
        """Ask the method to stop; from any thread."""
        self._cancel.set()

    def cancelled(self) -> bool:
        """Whether it was asked to."""
        return self._cancel.is_set()

    def check(self) -> None:
        """Raise Cancelled if it was."""
        if self.cancelled():
            raise Cancelled("The request was cancelled.")

    def progress(self, fraction: float, stage: str) -> None:
        """Tell how far it is (0..1) and what it is doing."""
        left = self._clock.left(fraction)
        now = time.monotonic()
        if now - self._last >= REPORT_EVERY_S or fraction >= 1:
            self._last = now
            self._send(protocol.progress(self.id, fraction, stage, left))

    def log(self, message: str, level: str = "info") -> None:
        """Tell the user something."""
        self._send(protocol.log(self.id, message, level))

    def input_path(self, name: str) -> Path:
        """The file of an array that came with the request. Raises ProtocolError."""
        return array_path(self.folder, name)

    def write_array(self, stem: str, array: np.ndarray) -> str:
        """Save an array into the private folder and return its name; it is dropped again if the request fails.

        Raises:
            OutputFailed: the disk is full, or the folder is gone.
        """
        import numpy as np

        final = self.folder / f"{stem}-{uuid.uuid4().hex}.npy"
        temporary = final.with_suffix(".partial")
        try:
            with open(temporary, "xb") as stream:
                np.save(stream, array, allow_pickle=False)
            os.replace(temporary, final)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise OutputFailed(
                f"The result cannot be written to the temporary folder {self.folder}: {error.strerror or error}",
                f"It needs {array.nbytes / 2**20:.0f} MiB: free some space on that disk.",
            ) from error
        self._outputs.append(final)
        return final.name

    def output_path(self, stem: str, suffix: str) -> Path:
        """A new name in the private folder for a file that the method writes itself, and that is dropped with it."""
        path = self.folder / f"{stem}-{uuid.uuid4().hex}{suffix}"
        self._outputs.append(path)
        return path

    def drop_outputs(self) -> None:
        """Remove every array that was written: nobody will hear of them."""
        for path in self._outputs:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._outputs.clear()
