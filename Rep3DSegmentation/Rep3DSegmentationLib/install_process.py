"""Running pip in Slicer's Python without blocking Slicer: output line by line, cancel, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from .i18n import _

POLL_S = 0.03


@dataclass(frozen=True)
class Watcher:
    """What a caller wants to know and say while something runs; all three are called in the caller's thread."""

    on_output: Callable[[str], None]
    is_cancelled: Callable[[], bool]
    idle: Callable[[], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code (None: cancelled) and its lines."""

    code: int | None
    lines: tuple[str, ...]


def run_in_child(command: Sequence[str], watcher: Watcher, variables: Mapping[str, str] | None = None) -> Outcome:
    """Run a command, hand on its lines as they come, end it with all its children when cancelled.

    The environment is handed on, so that proxies and pip's settings hold. Python's output is made UTF-8; packages of
    the user's other Pythons do not count as installed. `variables` are set on top.

    Raises:
        OSError: the command cannot be started.
    """
    own = {"PYTHONIOENCODING": "utf-8:replace", "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1"}
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {"start_new_session": True}
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **own, **(variables or {})},
        **options,
    )
    incoming: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            incoming.put(line.rstrip())
        incoming.put(None)

    reader = threading.Thread(target=read, name="rep3d-install-output", daemon=True)
    reader.start()
    lines: list[str] = []
    try:
        while True:
            try:
                line = incoming.get(timeout=POLL_S)
            except queue.Empty:
                line = ""
            if line is None:
                break
            if line:
                lines.append(line)
                watcher.on_output(line)
            if watcher.is_cancelled():
                return Outcome(None, tuple(lines))
            watcher.idle()
        return Outcome(process.wait(), tuple(lines))
    finally:
        if process.poll() is None:
            end_with_children(process)
        reader.join(timeout=5)
        process.stdout.close()


def end_with_children(process: subprocess.Popen) -> None:
    """End a process and what it started (pip starts others to build and to unpack); first asked, then forced."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):  # already gone
                os.killpg(process.pid, sign)
            try:
                process.wait(timeout=3)
                return
            except subprocess.TimeoutExpired:
                continue
    process.wait(timeout=10)


def run_through_slicer(
    packaging: ModuleType, requirements: Sequence[str], constraints: str, watcher: Watcher
) -> Outcome:
    """Install with Slicer's own `slicer.packaging.pip_install`, which answers from the event loop.

    It gives no handle to the process: a cancel stops the waiting, and pip ends by itself with what it is at, unheard.
    So only small packages are installed this way.
    """
    lines: list[str] = []
    ended: list[int] = []
    waiting = True

    def on_line(line: str) -> None:
        if waiting:
            lines.append(line)
            watcher.on_output(line)

    try:
        packaging.pip_install(
            list(requirements),
            constraints=constraints,
            blocking=False,
            show_progress=False,
            logCallback=on_line,
            completedCallback=ended.append,
        )
    except (RuntimeError, subprocess.CalledProcessError) as error:  # no PythonSlicer, another one at work
        on_line(f"ERROR: {error}")
        return Outcome(1, tuple(lines))
    while not ended:
        if watcher.is_cancelled():
            waiting = False
            return Outcome(None, tuple(lines))
        watcher.idle()
        time.sleep(POLL_S)
    return Outcome(int(ended[0]), tuple(lines))


def not_in_index(lines: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """Those packages of which no file at all came from the index: offline, a proxy, or no build for this Python.

    light-the-torch 0.8.1 then ends in a TypeError of its own: it calls `build_source()` without its `project_name`.

    Args:
        asked: what pip was asked for; what light-the-torch's error is about.
    """
    found: list[str] = []
    listing = False
    for line in lines:
        if "build_source() missing" in line:
            return tuple(asked)
        if none := re.search(r"satisfies the requirement (\S+) .*\(from versions: none\)", line):
            found.append(none.group(1))
        if listing and line.startswith(" "):
            found.append(line.strip())
        listing = "no matching distributions available" in line or (listing and line.startswith(" "))
    return tuple(dict.fromkeys(found))


def pip_message(lines: Sequence[str]) -> str:
    """What pip itself says went wrong: its ERROR lines and its explanation of a conflict, else its last lines.

    Of a traceback only the last line: the error itself. The log holds all of it.
    """
    said: list[str] = []
    explaining = tracing = False
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            tracing = True
        elif tracing:
            if line.strip() and not line.startswith(" "):
                said.append(line)
                tracing = False
        elif line.startswith("ERROR: Exception:"):
            continue  # the traceback follows
        elif line.startswith("ERROR:"):
            said.append(line.removeprefix("ERROR:").strip())
        elif line.startswith(("The conflict is caused by", "Additionally, some packages")):
            explaining = True
            said.append(line)
        elif line.startswith("To fix this"):
            explaining = False  # general advice on requirement files, which are not the user's here
        elif explaining and line.startswith(" "):
            said.append(line)
    return "\n".join(said or [line for line in lines if line.strip()][-3:])


def advice(lines: Sequence[str]) -> str:
    """What the user can do about a failed run of pip, from what it printed."""
    text = "\n".join(lines).lower()

    def says(*parts: str) -> bool:
        return any(part in text for part in parts)

    if says("no space left", "errno 28", "winerror 112", "not enough space"):
        return _("The disk is full: free some space (the temporary folder counts too), then press Install again.")
    absent = _(
        "The index was not reached (no network, a proxy, a firewall), or it has nothing for this Python: check the "
        "network, the proxy (HTTPS_PROXY) and the index address, or install from a folder of wheels (add its wheel)."
    )
    conflict = says("resolutionimpossible", "conflicting dependencies", "conflict is caused by")
    reached = not says("retry(total=0")  # without an index no version of anything fits: that is no conflict
    if says("no matching distributions available") and reached:
        return absent
    if conflict and reached:
        return _(
            "No set of versions fits; nothing was replaced. Either a package is missing from the index or folder: add "
            "its wheel. Or it needs another version of one that Slicer or another extension uses: update Slicer and "
            "its extensions."
        )
    if says("certificate verify failed", "sslerror", "ssl:"):
        return _(
            "The connection's certificate is not trusted, as behind some firewalls: set PIP_CERT or pip's `cert` to "
            "your organisation's certificate, or install from a folder of wheels."
        )
    if says("proxyerror", "407 proxy", "tunnel connection failed"):
        return _("The proxy refused: check HTTPS_PROXY (or pip's `proxy`), or install from a folder of wheels.")
    if says(
        "newconnectionerror", "name resolution", "getaddrinfo", "timed out", "connection refused", "network is unreach"
    ):
        return _(
            "The package index was not reached: check the network or the proxy (HTTPS_PROXY), or install from a folder "
            "of wheels."
        )
    if says("permission denied", "winerror 5", "access is denied", "not writeable", "read-only file system"):
        return _(
            "Slicer's folder cannot be written: install Slicer in a folder of yours, or start it as administrator; "
            "close other running Slicers."
        )
    if says("no matching distribution", "could not find a version", "build_source() missing"):
        return absent
    return _("Read pip's messages in the log; pressing Install again goes on with what is missing.")
