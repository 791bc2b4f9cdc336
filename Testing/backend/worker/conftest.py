"""Workers as real processes, driven through their pipes."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rep3d.worker import folder, protocol

BACKEND = Path(__file__).parents[3] / "backend"
PATIENCE_S = 60.0


class Driver:
    """One worker and its pipes. ``command`` replaces ``-m rep3d.worker``; without ``drain`` nobody reads its output."""

    def __init__(
        self,
        root: Path,
        *,
        env: dict[str, str] | None = None,
        command: list[str] | None = None,
        drain: bool = True,
    ):
        self.folder = folder.make_private_folder(root=root)
        self.errors = root / f"{self.folder.name}.log"
        arguments = ["--folder", str(self.folder), "--parent", str(os.getpid())]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *(command or ["-m", "rep3d.worker"]), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(BACKEND), "OMP_NUM_THREADS": "1", **(env or {})},
            )
        self._messages: queue.Queue[bytes] = queue.Queue()
        self._numbers = itertools.count(1)
        if drain:
            threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        for line in self.process.stdout:
            self._messages.put(line)

    def log(self) -> str:
        """What the worker wrote to standard error."""
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def raw(self, line: bytes) -> None:
        """Send bytes as they are."""
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def send(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> int:
        """Send a request, return its id."""
        number = next(self._numbers)
        self.raw(protocol.request(number, method, {**(params or {}), **more}))
        return number

    def ends(self, count: int) -> dict[Any, dict[str, Any]]:
        """The next ``count`` ends of requests by id; events in between are passed over."""
        found: dict[Any, dict[str, Any]] = {}
        while len(found) < count:
            message = self.read()
            if "event" not in message:
                found[message["id"]] = message
        return found

    def read(self, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next message, which must be a legal one."""
        try:
            return protocol.read_reply(self._messages.get(timeout=timeout_s))
        except queue.Empty:
            raise AssertionError(f"nothing came within {timeout_s} s; the worker's log:\n{self.log()}") from None

    def silent(self) -> bool:
        """Whether nothing waits to be read."""
        return self._messages.empty()

    def end(self, id: Any, events: list | None = None) -> dict[str, Any]:
        """The end message of a request; its events go to ``events``."""
        while True:
            message = self.read()
            assert message["id"] == id, message
            if "event" not in message:
                return message
            if events is not None:
                events.append(message)

    def end_of_any(self) -> dict[str, Any]:
        """The next message that is no event."""
        while "event" in (message := self.read()):
            pass
        return message

    def call(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """A request that must succeed; its result."""
        message = self.end(self.send(method, params, **more))
        assert "result" in message, message
        return message["result"]

    def fails(self, method: str, code: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, str]:
        """A request that must fail with ``code``; its error."""
        message = self.end(self.send(method, params, **more))
        assert "error" in message, json.dumps(message)[:500]
        assert message["error"]["code"] == code, message
        assert "Traceback" not in json.dumps(message)
        return message["error"]

    def put(self, array: np.ndarray, name: str = "input.npy", affine: np.ndarray | None = None) -> dict[str, Any]:
        """Save an array [X, Y, Z]; the ``volume`` parameter for it."""
        np.save(self.folder / name, array)
        return {"array": name, "affine": (np.eye(4) if affine is None else affine).tolist(), "name": "head"}

    def take(self, name: str) -> np.ndarray:
        """Read an array of the worker's and remove it."""
        array = np.load(self.folder / name)
        (self.folder / name).unlink()
        return array

    def files(self) -> set[str]:
        """Names of what lies in the private folder."""
        return set(os.listdir(self.folder))

    def wait(self, timeout_s: float = 15.0) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(timeout_s)

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        folder.remove_folder(self.folder)


def wait_until(condition, timeout_s: float = 15.0) -> bool:
    """Poll until ``condition()`` holds; whether it did in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="session")
def worker_home(tmp_path_factory) -> Path:
    """Folders of the shared worker: ``weights`` of the user, ``manifest.json``."""
    home = tmp_path_factory.mktemp("worker home ä")
    (home / "manifest.json").write_text('{"version": 1, "weights": []}', encoding="utf-8")
    return home


@pytest.fixture(scope="session")
def worker_env(worker_home) -> dict[str, str]:
    return {
        "REP3D_WEIGHTS_DIR": str(worker_home / "weights"),
        "REP3D_CACHE_DIR": str(worker_home / "cache"),
        "REP3D_WEIGHTS_MANIFEST": str(worker_home / "manifest.json"),
        "REP3D_CONV_ALGORITHM": "fft",  # nothing is measured, so that times are those of the work
    }


@pytest.fixture(scope="session")
def shared_worker(worker_home, worker_env):
    driver = Driver(worker_home, env=worker_env)
    yield driver
    driver.close()


@pytest.fixture
def worker(shared_worker):
    """The real worker, one process for all tests: each test must leave it alive, quiet and its folder empty."""
    assert shared_worker.process.poll() is None, shared_worker.log()
    yield shared_worker
    for name in shared_worker.files():
        (shared_worker.folder / name).unlink()
    assert shared_worker.call("ping") == {}
    assert shared_worker.silent()


STUB = """
import sys, time, pathlib
from rep3d.errors import Rep3DError
from rep3d.worker import __main__, job

class MethodTable:
    unloaded = 0
    def __init__(self, folder): self.folder = folder
    def unload(self): MethodTable.unloaded += 1
    def idle(self): pass
    def call(self, job):
        return getattr(self, pathlib.Path(job.params["path"]).name if "path" in job.params else job.method)(job)
{body}

__main__.MethodTable = MethodTable
__main__.main()
"""


@pytest.fixture
def stub_worker(tmp_path):
    """Start the real server around methods of the test's own (no torch: it starts at once): stub_worker(body)."""
    started = []

    def start(body: str, **options: Any) -> Driver:
        script = tmp_path / "stub.py"
        script.write_text(STUB.format(body=body), encoding="utf-8")
        started.append(Driver(tmp_path, command=[str(script)], **options))
        return started[-1]

    yield start
    for driver in started:
        driver.close()


@pytest.fixture
def head() -> np.ndarray:
    """Smooth noise [50, 60, 50] float32, first axis fastest: four windows of the hippocampus network."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(0).normal(size=(50, 60, 50)), 3)
    return np.asfortranarray((1000 * (noise - noise.min())).astype(np.float32))


@pytest.fixture
def small(head) -> np.ndarray:
    """The part of ``head`` that fits into one window."""
    return np.asfortranarray(head[:48, :, :48])
