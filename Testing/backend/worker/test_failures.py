"""Whatever goes wrong inside becomes an error of the list; nothing but the protocol is ever on the pipe."""

from __future__ import annotations

import os
import textwrap

import pytest

from .conftest import BACKEND, STUB, Driver

NOISE = """
    def hello(self, job):
        import ctypes, os, warnings
        print("print")
        sys.stdout.write("write\\n")
        sys.stdout.buffer.write(b"bytes\\n")
        os.write(1, b"descriptor\\n")
        os.system("echo child")
        sys.__stdout__.write("original\\n")
        if os.name == "posix":
            libc = ctypes.CDLL(None)
            libc.puts(b"native"); libc.fflush(None)
        print("\\udcff ünïcode")
        warnings.warn("warned")
        assert sys.stdin.read() == "" and os.read(0, 1) == b""
        return {"fine": True, "nan": float("nan"), "tuple": (1, float("inf"))}
"""


def test_prints_do_not_reach_the_pipe(stub_worker):
    worker = stub_worker(NOISE)
    assert worker.call("hello") == {"fine": True, "nan": None, "tuple": [1, None]}
    worker.call("ping")
    said = worker.log()
    for word in ("print", "write", "bytes", "descriptor", "child", "original", "warned", "ünïcode"):
        assert word in said
    assert "native" in said or os.name != "posix"


FAULTS = """
    def value(self, job): raise ValueError("first line\\nsecond line")
    def memory(self, job):
        waste = bytearray(1 << 20)
        raise MemoryError
    def native(self, job): raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: ...")
    def gpu(self, job): raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    def disk(self, job): raise OSError(28, "No space left on device", "/somewhere")
    def leave(self, job): sys.exit(3)
    def missing(self, job): import no_such_package
    def large(self, job): return {"x": "a" * (1 << 21)}
    def odd(self, job): return {"x": object()}
    def deep(self, job): return self.deep(job)
    def ours(self, job):
        job.write_array("out", __import__("numpy").zeros(3))
        raise Rep3DError("sentence", "advice")
"""


@pytest.mark.parametrize(
    ("behaviour", "code", "message", "hint"),
    [
        ("value", "internal", "Unexpected ValueError: first line", "report"),
        ("memory", "out_of_memory", "not enough memory", "ROI"),
        ("native", "out_of_memory", "not enough memory", "ROI"),
        ("gpu", "out_of_memory", "on the GPU", "CPU"),
        ("disk", "output_failed", "/somewhere", "space"),
        ("leave", "internal", "SystemExit", ""),
        ("missing", "worker_unavailable", "no_such_package", "Install"),
        ("large", "internal", "longer than", ""),
        ("odd", "internal", "JSON", ""),
        ("deep", "internal", "RecursionError", ""),
        ("ours", "internal", "sentence", "advice"),
    ],
)
def test_whatever_fails_is_an_error_of_the_list(faulty, behaviour, code, message, hint):
    error = faulty.fails("inspect", code, path=os.path.abspath(behaviour))
    assert message in error["message"] and hint in error["hint"] and "second line" not in error["message"]
    assert faulty.files() == set()
    assert faulty.call("ping") == {}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    root = tmp_path_factory.mktemp("faulty")
    (root / "stub.py").write_text(STUB.format(body=FAULTS), encoding="utf-8")
    driver = Driver(root, command=[str(root / "stub.py")])
    yield driver
    assert "Traceback" in driver.log()  # unexpected ones are told in full, there
    driver.close()


def test_a_failed_request_lets_go_of_its_memory(stub_worker):
    """Frames of the exception hold arrays and mapped files; they must be free when the error has been sent."""
    worker = stub_worker(
        """
    def hello(self, job):
        import numpy, weakref
        array = numpy.zeros(10); MethodTable.ref = weakref.ref(array)
        try:
            raise KeyError("inner")
        except KeyError as error:
            kept = error  # a circle: frame, exception, traceback, frame
        raise ValueError("outer") from kept
    def tasks(self, job): return {"held": MethodTable.ref() is not None}
"""
    )
    worker.fails("hello", "internal")
    assert worker.call("tasks") == {"held": False}


LOST = """
    def hello(self, job):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\\nCUDA kernel errors might be ...")
    def tasks(self, job): return {"unloaded": MethodTable.unloaded}
"""


def test_a_gpu_that_is_gone(stub_worker):
    """What waits is still answered; then the process ends, because CUDA never recovers within one."""
    worker = stub_worker(LOST)
    first, second = worker.send("hello"), worker.send("tasks")
    error = worker.end(first)["error"]
    assert error["code"] == "device_unavailable" and "illegal memory access" in error["message"]
    assert worker.end(second)["result"] == {"unloaded": 1}
    assert worker.wait() == 0 and not worker.folder.exists()


def test_missing_packages_are_named(tmp_path):
    """`hello` says what to do where torch is not installed or does not load; the process lives on."""
    blocker = tmp_path / "site" / "sitecustomize.py"
    blocker.parent.mkdir()
    blocker.write_text(
        textwrap.dedent(
            """
            import importlib.util, os, sys
            find = importlib.util.find_spec
            hidden = os.environ["HIDE"].split(",")
            importlib.util.find_spec = lambda name, *more: None if name in hidden else find(name, *more)
            """
        ),
        encoding="utf-8",
    )
    path = os.pathsep.join([str(blocker.parent), str(BACKEND)])
    worker = Driver(tmp_path, env={"PYTHONPATH": path, "HIDE": "torch,scipy"})
    try:
        error = worker.fails("hello", "worker_unavailable")
        assert "torch, scipy" in error["message"] and "Install" in error["hint"]
        assert worker.call("ping") == {}
    finally:
        worker.close()
    broken = tmp_path / "broken" / "torch.py"
    broken.parent.mkdir()
    broken.write_text("raise OSError('[WinError 126] c10.dll or one of its dependencies')", encoding="utf-8")
    worker = Driver(tmp_path, env={"PYTHONPATH": os.pathsep.join([str(broken.parent), str(BACKEND)])})
    try:
        error = worker.fails("hello", "worker_unavailable")
        assert "torch" in error["message"] and "c10.dll" in error["message"]
    finally:
        worker.close()


def test_hints_of_missing_weights_name_no_command(tmp_path, monkeypatch):
    """Who sees them sits before a panel."""
    from rep3d.errors import WeightsMissing
    from rep3d.weights import find_weights, read_meta
    from rep3d.worker.failures import describe

    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(tmp_path))
    for find in (lambda: find_weights("amos-ct"), lambda: read_meta(tmp_path / "gone.safetensors")):
        with pytest.raises(WeightsMissing) as error:
            find()
        failure = describe(error.value)
        assert failure.code == "weights_missing" and "`" not in failure.hint and "mport a weights file" in failure.hint
