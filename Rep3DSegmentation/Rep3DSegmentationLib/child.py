"""One worker process: threads feed and drain its pipes, what arrived is taken on the caller's thread."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any

from .encoding import encodable

_TAIL_LINES, _TAIL_CHARS = 40, 2000
_INBOX_LIMIT = 10_000  # messages not yet taken; progress counts once a request
_LOG_LIMIT = 1_000  # lines of log not yet taken


class Inbox:
    """What arrived and was not taken yet. Of the progress of one request only the newest is kept."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._lock = threading.Lock()
        self._messages: deque[tuple[str, Any]] = deque()
        self._newest: dict[Any, dict[str, Any]] = {}
        self._logs: deque[str] = deque(maxlen=_LOG_LIMIT)

    def put(self, message: dict[str, Any]) -> None:
        with self._lock:
            if message.get("event") == "progress":
                key = message.get("id")
                if key not in self._newest:
                    self._messages.append(("progress", key))
                self._newest[key] = message
            elif len(self._messages) < _INBOX_LIMIT:
                self._messages.append(("other", message))
        self.arrived.set()

    def put_log(self, line: str) -> None:
        with self._lock:
            self._logs.append(line)
        self.arrived.set()

    def take(self) -> dict[str, Any] | None:
        with self._lock:
            if not self._messages:
                return None
            kind, item = self._messages.popleft()
            return self._newest.pop(item) if kind == "progress" else item

    def take_log(self) -> str | None:
        with self._lock:
            return self._logs.popleft() if self._logs else None


class Child:
    """A running process that speaks JSON lines.

    ``inbox`` fills from a thread; ``send`` never blocks, whatever the state of the pipe. ``protocol`` is the module
    that defines the messages. Raises OSError when the program cannot be started.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str], folder: Path, working_folder: Path, protocol: ModuleType
    ):
        self.inbox = Inbox()
        self.folder = folder
        self.spoke = False  # has a message of the protocol arrived?
        self.worker_pid: int | None = None  # of the worker itself: in Slicer ``pid`` is that of a launcher
        self._protocol = protocol
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._exit_seen: float | None = None
        self._eof_seen: float | None = None
        options: dict[str, Any] = {}
        if sys.platform == "win32":
            options["creationflags"] = subprocess.CREATE_NO_WINDOW
        else:
            options["start_new_session"] = True  # Ctrl+C in the terminal that started Slicer is not for the worker
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=working_folder,
            **options,
        )
        targets = (self._read_messages, self._read_errors, self._write)
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, line: bytes) -> None:
        """Queue a line for the process."""
        self._outbox.put(line)

    def tail(self) -> str:
        """The last lines that the process wrote to its error stream."""
        return "\n".join(list(self._tail))

    def ended(self) -> bool:
        """Has the process ended, and has all that it said arrived?

        A process that closed its pipe but stays, and a launcher that ended before its pipe closed, get two seconds.
        """
        now, draining = time.monotonic(), any(thread.is_alive() for thread in self._threads[:2])
        if self.process.poll() is not None:
            self._exit_seen = self._exit_seen or now
            return not draining or now - self._exit_seen > 2.0
        if not self._threads[0].is_alive():
            self._eof_seen = self._eof_seen or now
            return now - self._eof_seen > 2.0
        return False

    def leaving(self) -> bool:
        """Has the process ended, or closed its end of the pipe? Then nothing more can be asked of it."""
        return self.process.poll() is not None or not self._threads[0].is_alive()

    def close(self, timeout_s: float, farewell: bytes | None = None) -> int | None:
        """End the process: by asking, by closing its input, by a signal, by force. Returns its exit code."""
        if farewell is not None:
            self.send(farewell)
        self._outbox.put(None)
        for wait_s, action in ((timeout_s, self.process.terminate), (2.0, self._kill), (5.0, None)):
            try:
                self.process.wait(max(wait_s, 0.01))
                break
            except subprocess.TimeoutExpired:
                if action is not None:
                    action()
        for thread in self._threads:
            thread.join(1.0)
        if any(thread.is_alive() for thread in self._threads):
            self._kill()  # a launcher ended, the worker behind it still holds the pipes
            for thread in self._threads:
                thread.join(1.0)
        for pipe, thread in zip((self.process.stdout, self.process.stderr), self._threads):
            if pipe is not None and not thread.is_alive():
                pipe.close()
        return self.process.returncode

    def _kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if self.worker_pid not in (None, self.process.pid) and self._threads[0].is_alive():
            try:
                os.kill(self.worker_pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            except OSError:
                self.inbox.put_log(f"process {self.worker_pid} had ended already")

    def _write(self) -> None:
        stdin = self.process.stdin
        try:
            while (line := self._outbox.get()) is not None:
                stdin.write(line)
                stdin.flush()
        except (OSError, ValueError) as error:  # the process ended: noticed and reported by whoever polls
            self._tail.append(f"input of the worker: {error}")
        finally:
            try:
                stdin.close()
            except OSError:
                self._tail.append("the input of the worker was closed already")

    def _read_messages(self) -> None:
        stream, limit = self.process.stdout, self._protocol.MAX_LINE
        skipping = False
        while line := stream.readline(limit + 1):
            whole = line.endswith(b"\n")
            if not skipping and whole and len(line) <= limit:
                self._take_line(line)
            elif not skipping:
                self.inbox.put_log(f"a line of more than {limit} bytes from the worker was ignored")
            skipping = not whole
        self.inbox.arrived.set()

    def _take_line(self, line: bytes) -> None:
        try:
            message = self._protocol.read_reply(line)
        except self._protocol.ProtocolError as error:
            self.inbox.put_log(f"ignored from the worker: {error}: {line[:200]!r}")
            return
        self.spoke = True
        self.inbox.put(encodable(message))

    def _read_errors(self) -> None:
        stream = self.process.stderr
        while line := stream.readline(_TAIL_CHARS):
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self._tail.append(text)
                self.inbox.put_log(text)
        self.inbox.arrived.set()
