"""Download published weights: resumed where it broke off, checked by SHA-256, moved into place whole or not at all."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import rep3d
from rep3d.errors import BadInput, Cancelled, OutputFailed, WeightsInvalid, WeightsMissing
from rep3d.files import sha256_file
from rep3d.weights_store import Published, checked, installed_name

Progress = Callable[[float, str], None]
CHUNK = 1 << 17
TIMEOUT_S = 15.0  # without a byte; cancelling is noticed after at most this
RETRIES = 3  # in a row without a new byte
PAUSE_S = 1.0
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)\Z")


def download(
    entry: Published, *, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
) -> Path:
    """The installed file of ``entry``, downloaded into the user's folder.

    What has arrived is kept in ``TASK-SHA.part`` when the connection breaks or the user cancels; the next call goes on
    from there. Proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) or the system.

    Raises:
        BadInput: the user has other weights for this task, or another process is downloading these.
        WeightsMissing: the server cannot be reached or does not have the file.
        WeightsInvalid: what arrived is not what was published. OutputFailed: the disk. Cancelled.
    """
    target = installed_name(entry.task)
    if target.exists():
        if sha256_file(target) == entry.sha256:
            return target
        raise BadInput(f"You have other weights for task {entry.task!r} already: {target}.", "Remove them first.")
    part = target.with_name(f"{entry.task}-{entry.sha256[:12]}.part")
    report = progress or (lambda fraction, stage: None)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part) as stream:
            _check_space(part, entry.bytes - stream.seek(0, os.SEEK_END))
            _Transfer(entry, stream, report, cancelled).run()
            stream.flush()
            os.fsync(stream.fileno())
        report(0.99, "checking")
        _check(part, entry)
        os.replace(part, target)
    except OSError as error:
        raise OutputFailed(
            f"{part} cannot be written: {error.strerror or error}", "Check the folder, its permissions and free space."
        ) from error
    return target


def _check(part: Path, entry: Published) -> None:
    """Size, checksum, and everything that any weights file must satisfy; a wrong file is removed."""
    problem = ""
    if sha256_file(part) != entry.sha256:
        problem = "its checksum is not the published one"
    else:
        meta, _ = checked(part)
        if meta.task.key != entry.task:
            problem = f"it was trained for task {meta.task.key!r}, not {entry.task!r}"
    if problem:
        part.unlink()
        raise WeightsInvalid(f"What {entry.url} sent is not the weights {entry.id}: {problem}.", "Try again later.")


def _check_space(part: Path, missing: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise OutputFailed(
            f"The weights need {missing / 2**20:.0f} MiB in {part.parent}, {free / 2**20:.0f} MiB are free.",
            "Free some space on that disk.",
        )


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The file open for reading and writing, for one process at a time; the lock goes with the process."""
    with open(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+b") as stream:
        try:
            if sys.platform == "win32":
                import msvcrt

                stream.seek(1 << 40)  # a byte that nobody reads
                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(f"{part.name} is being downloaded by another program.", "Wait for it to end.") from error
        yield stream


class _Transfer:
    """Gets the bytes that are missing, again and again while some arrive."""

    def __init__(self, entry: Published, stream: BinaryIO, report: Progress, cancelled: Callable[[], bool] | None):
        self.entry, self.stream, self.report = entry, stream, report
        self.cancelled = cancelled or (lambda: False)
        self.opener = urllib.request.build_opener()  # takes proxies from the environment or the system

    def run(self) -> None:
        """Fill the stream to the published size."""
        failures = best = 0
        while (have := self.stream.seek(0, os.SEEK_END)) != self.entry.bytes:
            if have > self.entry.bytes:
                self.stream.truncate(0)
                continue
            try:
                self._request(have)
                failure: Exception | None = None
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                failure = error
            reached = self.stream.seek(0, os.SEEK_END)
            failures = 0 if reached > max(best, have) else failures + 1
            best = max(best, reached)  # a server that starts anew and breaks off each time does not go on for ever
            if failures >= RETRIES or (failure is not None and not _worth_retrying(failure)):
                raise WeightsMissing(
                    f"The weights {self.entry.id} could not be downloaded from {self.entry.url}: {_reason(failure)}.",
                    "Check the connection and the proxy. What has arrived is kept; the next try goes on from there.",
                ) from failure
            if failure is not None:
                self._pause()

    def _pause(self) -> None:
        end = time.monotonic() + PAUSE_S
        while time.monotonic() < end:
            self._check()
            time.sleep(0.05)

    def _check(self) -> None:
        if self.cancelled():
            raise Cancelled("The download was cancelled. What has arrived is kept for the next try.")

    def _request(self, have: int) -> None:
        self._check()
        headers = {"User-Agent": f"rep3d/{rep3d.__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            response = self.opener.open(urllib.request.Request(self.entry.url, headers=headers), timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                self.stream.truncate(0)
            raise
        with response:
            if have and not self._goes_on(response, have):
                self.stream.truncate(0)
                have = 0
                if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                    return  # a part that nobody asked for: ask for the whole
            self.stream.seek(have)
            while chunk := _read(response):
                self._check()
                have += len(chunk)
                if have > self.entry.bytes:
                    self.stream.truncate(0)
                    raise WeightsInvalid(
                        f"What {self.entry.url} sends is larger than the weights {self.entry.id} of "
                        f"{self.entry.bytes} bytes.",
                        "Try again later.",
                    )
                self.stream.write(chunk)
                size = f"{have / 2**20:.1f} of {self.entry.bytes / 2**20:.1f} MiB"
                self.report(0.98 * have / self.entry.bytes, f"downloading ({size})")
            self.stream.flush()

    def _goes_on(self, response: http.client.HTTPResponse, have: int) -> bool:
        """Whether the answer starts at the byte that was asked for, of the file that was published."""
        match = _RANGE.match(response.headers.get("Content-Range", ""))
        size_fits = match is not None and match[2] in ("*", str(self.entry.bytes))
        return response.status == http.HTTPStatus.PARTIAL_CONTENT and size_fits and int(match[1]) == have


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except OSError as error:  # of the network: told from those of the disk
        raise urllib.error.URLError(error) from error


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code in (408, 416, 429)
    reason = getattr(error, "reason", None)
    return not isinstance(reason, ssl.SSLCertVerificationError)


def _reason(error: Exception | None) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if error is None:
        return "the server sends nothing more"
    return str(getattr(error, "reason", error)) or type(error).__name__
