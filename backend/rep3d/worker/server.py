"""The worker's threads: one reads requests, one works on them in turn, the main one waits for the end.

``ping``, ``cancel`` and ``shutdown`` are answered by the reader, so at once whatever runs. Everything ends in
:meth:`Server.run`: the running job is cancelled, the private folder is removed and the process exits.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import sys
import threading
import traceback
from collections import deque
from pathlib import Path
from typing import Any, Protocol

from rep3d.errors import Cancelled
from rep3d.worker import failures, params, protocol
from rep3d.worker.channel import Channel
from rep3d.worker.folder import pid_alive, remove_folder
from rep3d.worker.job import Job
from rep3d.worker.protocol import ProtocolError, Request

TICK_S = 0.25  # between looks at the parent
QUIET_S = 0.5  # without a request, after which the worker gets ready for the first that computes
GRACE_S = 5.0  # for a running job to stop at the end; then the process exits all the same
MAX_WAITING = 64


class Methods(Protocol):
    """What does the work: one call a request, and a way to drop everything that is kept on a device."""

    def call(self, job: Job) -> dict[str, Any]:
        """The result of the request."""

    def unload(self) -> None:
        """Forget models."""

    def idle(self) -> None:
        """Called once, when nothing has waited for a moment: do in advance what the next request would wait for."""


class Server:
    """Serves one channel until its other side is gone.

    Args:
        channel: the pipes.
        folder: private folder, removed at the end.
        methods: what does the work.
        parent_pid: the program that must live.
    """

    def __init__(self, channel: Channel, folder: Path, methods: Methods, parent_pid: int):
        self._channel, self._folder, self._methods, self._parent = channel, folder, methods, parent_pid
        self._state = threading.Condition()  # guards the four below
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._ending = False
        self._end_when_idle = False
        self._signalled = False  # a plain flag: a signal handler must not take a lock

    def run(self) -> None:
        """Serve, clean up and exit the process. Does not return."""
        for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):  # those that this system has
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the parent's terminal is the parent's business
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        worker = threading.Thread(target=self._work, name="worker", daemon=True)
        worker.start()
        with self._state:
            while not self._ending:
                self._state.wait(TICK_S)
                self._ending |= self._signalled or not pid_alive(self._parent)
            if self._running is not None:
                self._running.cancel()
            self._state.notify_all()
        worker.join(GRACE_S)
        remove_folder(self._folder)
        # Not sys.exit: the reader still waits for a line, a job may be deep in native code. Nothing is flushed: both
        # streams are line-buffered, and a thread that is stuck in a full pipe would hold their locks.
        os._exit(0)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signalled = True

    def _end(self) -> None:
        with self._state:
            self._ending = True
            self._state.notify_all()

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._channel.send(message)
        except (OSError, ValueError):  # nobody reads any more
            self._end()

    # --- the reader's thread

    def _read(self) -> None:
        try:
            while True:
                try:
                    line = self._channel.read_line()
                    if line is None:
                        return
                    self._accept(protocol.read_request(line))
                except ProtocolError as error:
                    self._send(protocol.error(error.id, error.code, str(error), error.hint))
        except OSError:
            return
        except BaseException as error:
            traceback.print_exception(error, file=sys.stderr)
        finally:
            self._end()

    def _accept(self, request: Request) -> None:
        """Answer at once, or put into the queue. Raises ProtocolError."""
        try:
            request = Request(request.id, request.method, params.check(request.method, request.params))
            if request.method == "ping":
                self._send(protocol.result(request.id, {}))
            elif request.method == "cancel":
                self._cancel(request)
            elif request.method == "shutdown":
                self._send(protocol.result(request.id, {}))
                self._end()
            else:
                self._enqueue(request)
        except ProtocolError as error:
            error.id = request.id
            raise

    def _enqueue(self, request: Request) -> None:
        with self._state:
            if self._ending:
                raise ProtocolError("the worker is ending", "Start a new one.")
            known = [job.id for job in self._waiting] + ([self._running.id] if self._running else [])
            if request.id in known:
                raise ProtocolError(f"request {request.id!r} is not finished yet", "Give each request its own id.")
            if len(self._waiting) >= MAX_WAITING:
                raise ProtocolError(f"{MAX_WAITING} requests wait already", "Wait for one to end.")
            self._waiting.append(Job(request, self._folder, self._send))
            self._state.notify_all()

    def _cancel(self, request: Request) -> None:
        target = request.params["target"]
        waiting = None
        with self._state:
            if self._running is not None and self._running.id == target:
                self._running.cancel()
                found = True
            else:
                waiting = next((job for job in self._waiting if job.id == target), None)
                found = waiting is not None
                if waiting is not None:
                    self._waiting.remove(waiting)
        self._send(protocol.result(request.id, {"cancelled": found}))
        if waiting is not None:
            self._send(protocol.error(waiting.id, protocol.CANCELLED, "The request was cancelled before it began."))

    # --- the worker's thread

    def _work(self) -> None:
        ready = False  # whether the quiet moment was used
        while True:
            with self._state:
                quiet = False
                while not self._waiting and not self._ending and not quiet:
                    if self._end_when_idle:
                        self._ending = True
                        self._state.notify_all()
                    else:
                        quiet = not self._state.wait(None if ready else QUIET_S)
                if self._ending:
                    break
                job = self._running = None if quiet else self._waiting.popleft()
            if job is None:
                ready = True
                self._methods.idle()
                continue
            reply = self._answer(job)
            with self._state:
                self._running = None  # from here on `cancel` no longer finds it
                late = job.cancelled() and "result" in reply
            if late:
                reply = protocol.error(job.id, protocol.CANCELLED, "The request was cancelled.")
            if "error" in reply:
                job.drop_outputs()
            self._send(reply)
        for job in self._waiting:  # nobody adds to them any more
            self._send(protocol.error(job.id, protocol.CANCELLED, "The worker ended before the request began."))

    def _answer(self, job: Job) -> dict[str, Any]:
        """Run the method; whatever happens becomes the end message of the request."""
        try:
            job.check()
            reply = checked(protocol.result(job.id, _finite(self._methods.call(job))))
            if job.device_lost:
                self._lose_device()
            return reply
        except BaseException as error:
            failure = failures.describe(error)
            release(error)
        if failure.device_lost:
            self._lose_device()
        elif failure.code == "out_of_memory":
            self._methods.unload()  # what is kept warm may be what is missing
        if failure.code != Cancelled.code:
            print(f"rep3d.worker: {job.method} {job.id!r}: {failure.code}: {failure.message}", file=sys.stderr)
        return protocol.error(job.id, failure.code, failure.message, failure.hint)

    def _lose_device(self) -> None:
        """CUDA does not recover within a process: answer what waits, then end, so that the parent starts a new one."""
        self._methods.unload()
        with self._state:
            self._end_when_idle = True


def checked(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply, if it can be sent."""
    try:
        protocol.encode(reply)
    except ProtocolError as error:  # not the fault of the request
        raise RuntimeError(f"the result cannot be sent: {error}") from error
    return reply


def release(error: BaseException | None) -> None:
    """Let go of what the frames of a caught exception hold: gigabytes, and mapped files that Windows cannot delete."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    gc.collect()


def _finite(value: Any) -> Any:
    """The value with NaN and infinities as null, which JSON has no other word for, and tuples as lists."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
