"""Client of the worker process. Needs no Qt: whoever owns the main thread calls ``poll()`` now and then.

Nothing here blocks the caller except ``call()``, ``wait()`` and ``stop()``; no callback ever runs on another thread.
"""

from __future__ import annotations

import atexit
import itertools
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import arrays
from .backend_location import worker_module
from .child import Child
from .errors import WorkerError
from .i18n import _
from .launch import launch

if TYPE_CHECKING:
    import numpy as np

OnProgress = Callable[[float, str, "float | None"], None]  # fraction 0..1, stage, seconds left if known
_POLL_S = 0.02


class Pending:
    """A request under way. ``result`` or ``error`` is set when it is ``done``."""

    def __init__(self, client: WorkerClient, id: int, method: str):
        self.id, self.method = id, method
        self.done = False
        self.result: dict[str, Any] | None = None
        self.error: WorkerError | None = None
        self._client = client
        self._on_progress: OnProgress | None = None
        self._on_result: Callable[[dict[str, Any]], None] | None = None
        self._on_error: Callable[[WorkerError], None] | None = None

    def cancel(self) -> None:
        """Ask the worker to end this request; its error ``cancelled`` comes through ``poll()``. Harmless when done."""
        if not self.done:
            self._client.request_cancel(self)

    def finish(self, result: dict[str, Any] | None, error: WorkerError | None) -> None:
        """Set the outcome and tell whoever asked."""
        self.done, self.result, self.error = True, result, error
        if error is None and self._on_result is not None:
            self._on_result(result or {})
        elif error is not None and self._on_error is not None:
            self._on_error(error)


class WorkerClient:
    """Starts ``python -m rep3d.worker``, sends requests and dispatches what comes back.

    Args:
        python: the interpreter; default: Slicer's ``PythonSlicer`` on PATH, else this one.
        environment: variables set for the worker on top of this process's.
        on_log: called with each line of the worker's log.
    """

    def __init__(
        self,
        python: str | None = None,
        environment: dict[str, str] | None = None,
        on_log: Callable[[str], None] | None = None,
    ):
        self.on_log = on_log
        self._python, self._environment = python, dict(environment or {})
        self._protocol = worker_module("protocol")
        self._child: Child | None = None
        self._pending: dict[int, Pending] = {}
        self._ids, self._names = itertools.count(1), itertools.count(1)
        atexit.register(_stop_at_exit, weakref.ref(self))

    def start(self) -> None:
        """Start the process if it does not run; returns at once. Raises WorkerError: see :func:`launch.launch`.

        A worker that ends before its first word (a package is missing) fails its requests with ``worker_unavailable``.
        """
        if self._child is not None and not self._child.leaving():
            return
        if self._child is not None:
            self.poll()  # its last words first
        if self._child is not None:
            self._bury()
        self._child = launch(self._python, self._environment)

    def is_running(self) -> bool:
        return self._child is not None and not self._child.leaving()

    @property
    def pid(self) -> int | None:
        """Process id while it runs; inside Slicer that of the launcher of the interpreter."""
        return self._child.pid if self._child is not None else None

    @property
    def folder(self) -> Path | None:
        """The private folder of arrays while the worker runs."""
        return self._child.folder if self._child is not None else None

    @property
    def busy(self) -> bool:
        """Is a request under way?"""
        return bool(self._pending)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the worker, by force after ``timeout_s``; requests under way get the error ``cancelled``."""
        child, self._child = self._child, None
        if child is not None:
            child.close(timeout_s, self._protocol.request(next(self._ids), "shutdown"))
            worker_module("folder").remove_folder(child.folder)
        self._fail_all(WorkerError("cancelled", _("The worker was stopped.")))

    def request(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_result: Callable[[dict[str, Any]], None] | None = None,
        on_error: Callable[[WorkerError], None] | None = None,
    ) -> Pending:
        """Send a request, starting the worker when needed; the callbacks run within ``poll()``.

        Raises WorkerError: as ``start()``, or bad_request when it is longer than a line may be.
        """
        id = next(self._ids)
        try:
            line = self._protocol.request(id, method, params)
        except self._protocol.ProtocolError as error:
            raise WorkerError(
                "bad_request",
                _("The request {method} cannot be sent: {error}").format(method=method, error=error),
                error.hint or _("Ask for fewer files at a time."),
            ) from error
        self.start()
        pending = Pending(self, id, method)
        pending._on_progress, pending._on_result, pending._on_error = on_progress, on_result, on_error
        self._pending[id] = pending
        self._child.send(line)
        return pending

    def request_cancel(self, pending: Pending) -> None:
        """Tell the worker to cancel a request; what came of it arrives as the end of that request."""
        if self._child is not None:
            self._child.send(self._protocol.request(next(self._ids), "cancel", {"target": pending.id}))

    def poll(self) -> int:
        """Dispatch what has arrived, on this thread; returns how many messages. Exceptions of callbacks come out."""
        child, count = self._child, 0
        if child is None:
            return 0
        ended = child.ended()  # asked first, so that nothing said before the end is missed
        child.inbox.arrived.clear()
        while (text := child.inbox.take_log()) is not None:
            self._log(text)
        while (message := child.inbox.take()) is not None:
            count += 1
            self._dispatch(child, message)
        if ended and self._child is child:
            self._bury()
        return count

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        idle: Callable[[], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Send a request and wait for its result, calling ``idle()`` meanwhile. Raises WorkerError.

        After ``timeout_s`` the request is cancelled and the error is ``cancelled``.
        """
        pending = self.request(method, params, on_progress=on_progress)
        self.wait(pending, timeout_s=timeout_s, idle=idle)
        if pending.error is not None:
            raise pending.error
        return pending.result or {}

    def wait(self, pending: Pending, *, timeout_s: float | None = None, idle: Callable[[], None] | None = None) -> None:
        """Poll until ``pending`` is done; cancel it when ``idle()`` raises or after ``timeout_s`` (WorkerError)."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while not pending.done:
                self.poll()
                if pending.done:
                    return
                if end is not None and time.monotonic() > end:
                    text = _("The worker did not answer {method} within {seconds:g} s.")
                    raise WorkerError("cancelled", text.format(method=pending.method, seconds=timeout_s))
                if idle is not None:
                    idle()
                self.pause()
        except BaseException:  # Ctrl+C too: the worker must not go on in vain
            pending.cancel()
            raise

    def pause(self, seconds: float = _POLL_S) -> None:
        """Sleep until something arrives, at most ``seconds``: for loops around ``poll()``."""
        if self._child is not None:
            self._child.inbox.arrived.wait(seconds)

    def write_array(self, array: np.ndarray) -> str:
        """Save an array [X, Y, Z] for the worker, starting it when needed; returns the file's name.

        It stays until ``discard_array()``. Raises WorkerError: output_failed when the disk is full.
        """
        self.start()
        name = f"in{next(self._names)}.npy"
        arrays.write_array(self._child.folder, name, array)
        return name

    def read_array(self, name: str) -> np.ndarray:
        """Load an array that the worker left in the private folder, and delete the file. Raises WorkerError."""
        if self._child is None:
            raise WorkerError("worker_died", _("The worker ended before its result was read."), _("Run again."))
        return arrays.read_array(self._child.folder, name)

    def discard_array(self, name: str) -> None:
        """Delete an array file that is no longer needed."""
        if self._child is not None and not arrays.discard_array(self._child.folder, name):
            self._log(f"{name} is still in use and is removed when the worker ends")

    def _log(self, text: str) -> None:
        if self.on_log is not None:
            self.on_log(text)

    def _dispatch(self, child: Child, message: dict[str, Any]) -> None:
        if message.get("event") == "log":
            self._log(message["message"])
            return
        pending = self._pending.get(message["id"])
        if pending is None:
            return  # the answer to a cancel, or a request that was given up
        if message.get("event") == "progress":
            if pending._on_progress is not None:
                pending._on_progress(message["fraction"], message["stage"], message.get("eta_s"))
            return
        del self._pending[pending.id]
        if "result" in message:
            if pending.method == "hello" and isinstance(message["result"].get("pid"), int):
                child.worker_pid = message["result"]["pid"]
            pending.finish(message["result"], None)
        else:
            error = message["error"]
            pending.finish(None, WorkerError(error["code"], error["message"], error["hint"]))

    def _bury(self) -> None:
        """The process ended by itself: reap it, remove its folder, fail what was under way."""
        child, self._child = self._child, None
        reason = _describe_exit(child.close(0.5))
        worker_module("folder").remove_folder(child.folder)
        if child.spoke:
            code, text = "worker_died", _("The worker ended unexpectedly ({reason}).").format(reason=reason)
            hint = _("The next run starts a new one. If memory ran out, use a ROI or another device.")
        else:
            code, text = "worker_unavailable", _("The worker could not start ({reason}).").format(reason=reason)
            hint = _("If a package is missing, install the dependencies in the module's panel.")
        self._fail_all(WorkerError(code, text, f"{hint}\n{child.tail()}".rstrip()))

    def _fail_all(self, error: WorkerError) -> None:
        pending, self._pending = list(self._pending.values()), {}
        for one in pending:
            one.done = True
        for one in pending:
            one.finish(None, error)


def _describe_exit(code: int | None) -> str:
    if code is None:
        return _("it does not answer")
    return _("signal {number}").format(number=-code) if code < 0 else _("exit code {code}").format(code=code)


def _stop_at_exit(reference: weakref.ref[WorkerClient]) -> None:
    client = reference()
    if client is not None and client._child is not None:
        client._pending.clear()  # nobody is left to be told
        client.stop(timeout_s=2.0)
