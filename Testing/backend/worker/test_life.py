"""How a worker begins and ends: no process, folder or file is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rep3d.worker import folder

from .conftest import BACKEND, Driver, wait_until

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and signals of POSIX")

SLEEP = """
    def hello(self, job):
        job.write_array("out", __import__("numpy").zeros(3))
        job.progress(0.5, "sleeping")
        while True:
            job.check()
            time.sleep(0.01)
"""


def busy(stub_worker, body: str = SLEEP) -> Driver:
    """A stub in the middle of a job, with an array written."""
    worker = stub_worker(body)
    worker.send("hello")
    assert worker.read()["stage"] == "sleeping"
    assert len(worker.files()) == 1
    return worker


def gone(worker: Driver) -> bool:
    return worker.wait() == 0 and not worker.folder.exists()


def test_end_of_input(stub_worker):
    worker = busy(stub_worker)
    worker.process.stdin.close()
    assert gone(worker)
    assert worker.read()["error"]["code"] == "cancelled"  # the job was told, not shot


def test_shutdown_is_answered_at_once(stub_worker):
    worker = busy(stub_worker)
    waiting = [worker.send("hello"), worker.send("tasks")]
    id = worker.send("shutdown")
    replies = {m["id"]: m for m in (worker.read() for _ in range(4))}
    assert replies[id]["result"] == {}
    assert all(replies[w]["error"]["code"] == "cancelled" for w in waiting)
    assert gone(worker)


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals(stub_worker, number):
    worker = busy(stub_worker)
    worker.process.send_signal(number)
    assert gone(worker)


@posix
def test_interrupt_is_the_parents_business(stub_worker):
    worker = busy(stub_worker)
    worker.process.send_signal(signal.SIGINT)
    worker.send("ping")
    assert worker.read()["result"] == {}


@posix
def test_a_job_deep_in_native_code_does_not_keep_it(stub_worker):
    stuck = SLEEP.replace("job.check()", "time.sleep(600)")
    worker = busy(
        stub_worker, stuck.replace("def hello", "from rep3d.worker import server; server.GRACE_S = 0.3\n    def hello")
    )
    worker.process.send_signal(signal.SIGTERM)
    assert gone(worker)


FLOOD = """
    def hello(self, job):
        for i in range(100_000):
            job.log("x" * 1000)
            job.check()
        return {}
"""


def test_a_parent_that_closed_the_pipe(stub_worker):
    worker = stub_worker(FLOOD, drain=False)
    worker.process.stdout.close()
    worker.send("hello")
    assert gone(worker)


@posix
def test_a_parent_that_does_not_read(stub_worker):
    """The pipe is full, both threads of the worker may be stuck in it; it ends all the same."""
    hurry = "from rep3d.worker import server; server.GRACE_S = 0.3\n    def hello"
    worker = stub_worker(FLOOD.replace("def hello", hurry), drain=False)
    worker.send("hello")
    worker.send("ping")
    assert not wait_until(lambda: worker.process.poll() is not None, 0.5)
    worker.process.send_signal(signal.SIGTERM)
    assert gone(worker)
    worker.process.stdout.close()


PARENT = """
import os, subprocess, sys, time
from rep3d.worker import folder
private = folder.make_private_folder(root=sys.argv[1])
command = [sys.executable, sys.argv[2], "--folder", str(private), "--parent", str(os.getpid())]
worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
worker.stdin.write(b'{"id": 1, "method": "hello"}\\n'); worker.stdin.flush()
worker.stdout.readline()
print(worker.pid, private, flush=True)
time.sleep(600)
"""


@posix
@pytest.mark.parametrize("keeps_pipe", [False, True])
def test_kill_the_parent(stub_worker, tmp_path, keeps_pipe):
    """Also where somebody else still holds the other end of the pipe, as a launcher between the two may."""
    stub_worker(SLEEP).close()  # writes stub.py
    script = PARENT
    if keeps_pipe:
        script = script.replace(
            "print(worker.pid",
            "subprocess.Popen(['sleep', '20'], pass_fds=[worker.stdin.fileno()], stdout=2)\nprint(worker.pid",
        )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(tmp_path / "stub.py")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(BACKEND)},
        start_new_session=True,
    )
    try:
        pid, private = parent.stdout.readline().decode().split(maxsplit=1)
        assert len(list(Path(private.strip()).iterdir())) == 1
        parent.kill()
        parent.wait()
        assert wait_until(lambda: not Path(private.strip()).exists())
        assert wait_until(lambda: not running(int(pid)))
    finally:
        parent.stdout.close()
        if keeps_pipe:
            os.killpg(parent.pid, signal.SIGKILL)


def running(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for a parent to notice does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return folder.pid_alive(pid) and not Path("/proc/self").exists()
    return text.rpartition(")")[2].split()[0] != "Z"


def test_kill_the_worker_then_sweep(stub_worker, tmp_path):
    worker = busy(stub_worker)
    worker.process.kill()
    worker.process.wait()
    assert worker.folder.exists()  # nobody could remove it
    assert folder.sweep_stale_folders(tmp_path) == []  # its owner, this process, lives and may still want it
    assert folder.remove_folder(worker.folder)

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale = folder.make_private_folder(dead.pid, tmp_path)
    (stale / "big.npy").write_bytes(b"x")
    kept = [folder.make_private_folder(root=tmp_path), tmp_path / "rep3d-notes-x", tmp_path / f"rep3d-{dead.pid}-file"]
    kept[1].mkdir()
    kept[2].write_text("not a folder")
    assert folder.sweep_stale_folders(tmp_path) == [stale]
    assert not stale.exists() and all(path.exists() for path in kept)


@posix
def test_sweeping_does_not_follow_links(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "scan").write_text("x")
    (tmp_path / f"rep3d-{dead.pid}-abc").symlink_to(precious)
    stale = folder.make_private_folder(dead.pid, tmp_path)
    (stale / "link").symlink_to(precious)
    assert folder.sweep_stale_folders(tmp_path) == [stale]
    assert (precious / "scan").exists() and not stale.exists()


def start(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "rep3d.worker", *arguments]
    env = {**os.environ, "PYTHONPATH": str(BACKEND)}
    return subprocess.run(command, input=b"", capture_output=True, timeout=30, env=env)


@posix
def test_folders_that_are_not_private(tmp_path):
    parent = str(os.getpid())
    good = folder.make_private_folder(root=tmp_path)
    assert os.stat(good).st_mode & 0o777 == 0o700
    open_to_all = folder.make_private_folder(root=tmp_path)
    open_to_all.chmod(0o755)
    precious, file, link = tmp_path / "precious", tmp_path / "rep3d-1-file", tmp_path / "rep3d-1-link"
    precious.mkdir(mode=0o700)
    file.write_text("x")
    link.symlink_to(good)
    used = [folder.make_private_folder(root=tmp_path) for _ in range(3)]
    (used[0] / "thesis.txt").write_text("x")
    (used[1] / "scan.npy").mkdir()
    (used[2] / "scan.npy").symlink_to(file)
    for path, word in [
        *((path, "is not empty") for path in used),
        (open_to_all, "entered by others"),
        (precious, "not called rep3d-"),
        (file, "not a folder"),
        (link, "not a folder"),
        (tmp_path / "rep3d-1-none", "No such file"),
    ]:
        done = start("--folder", str(path), "--parent", parent)
        assert done.returncode == 2 and word in done.stderr.decode() and "Traceback" not in done.stderr.decode()
        assert done.stdout == b"" and (path.exists() or "none" in path.name)
    assert start("--folder", str(good), "--parent", "999999999").returncode == 2
    assert start("--folder", str(good)).returncode == 2
    assert good.exists()
    assert start("--folder", str(good), "--parent", parent).returncode == 0
    assert not good.exists()


STUBBORN = """
    def hello(self, job):
        job.progress(0.5, "sleeping")
        while not job.cancelled():
            time.sleep(0.01)
        return {"array": job.write_array("out", __import__("numpy").zeros(3))}
"""


def test_a_result_that_comes_too_late_is_dropped(stub_worker):
    """Who cancelled was told so, and will not fetch the array."""
    worker = stub_worker(STUBBORN)
    id = worker.send("hello")
    worker.read()
    cancel = worker.send("cancel", target=id)
    assert worker.end(cancel)["result"] == {"cancelled": True}
    assert worker.end(id)["error"]["code"] == "cancelled"
    assert worker.files() == set()


def test_modules_in_the_current_folder_are_not_imported(tmp_path):
    """A program may run anywhere, also beside somebody's own torch.py."""
    (tmp_path / "torch.py").write_text("raise SystemExit('the wrong torch')", encoding="utf-8")
    script = (
        "import os, sys; os.chdir(sys.argv.pop(1)); import runpy; runpy.run_module('rep3d.worker', run_name='__main__')"
    )
    worker = Driver(tmp_path, command=["-c", script, str(tmp_path)])
    try:
        assert worker.call("hello")["torch"]
    finally:
        worker.close()


def test_too_many_requests(stub_worker):
    worker = busy(stub_worker)
    for _ in range(70):
        worker.send("tasks")
    refused = [worker.read() for _ in range(6)]
    assert all(m["error"]["code"] == "bad_request" and "wait" in m["error"]["message"] for m in refused)


def test_two_workers_at_once(worker, worker_home, worker_env, small):
    """As two programs would have them: each with its own folder, neither in the way of the other."""
    other = Driver(worker_home, env=worker_env)
    try:
        ids = [w.send("segment", volume=w.put(small), task="msd-hippocampus") for w in (worker, other)]
        results = [w.end(id, [])["result"] for w, id in zip((worker, other), ids)]
        labels = [w.take(r["labels"]) for w, r in zip((worker, other), results)]
        np.testing.assert_array_equal(*labels)
        assert folder.sweep_stale_folders(worker_home) == []
        other.process.stdin.close()
        assert gone(other) and worker.folder.exists()
    finally:
        other.close()
