"""The client against a worker that crashes, floods, hangs or talks nonsense."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from Rep3DSegmentationLib import launch
from Rep3DSegmentationLib.client import WorkerClient
from Rep3DSegmentationLib.errors import WorkerError


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_answers_come_only_within_poll_on_the_callers_thread(fake_client):
    import threading

    client, got = fake_client(), []
    pending = client.request("ping", on_result=lambda result: got.append((result, threading.current_thread())))
    client.wait(client.request("hello"))
    time.sleep(0.1)
    assert pending.done and got == [({}, threading.main_thread())]
    late = client.request("ping", on_result=got.append)
    time.sleep(0.3)
    assert not late.done and len(got) == 1  # arrived, but nobody polled
    client.wait(late)
    assert len(got) == 2 and not client.busy


def test_worker_gets_backend_parent_and_private_folder(fake_client, fake_backend):
    client = fake_client()
    hello = client.call("hello", timeout_s=20)
    argv = hello["argv"]
    assert argv[argv.index("--parent") + 1] == str(os.getpid())
    assert Path(argv[argv.index("--folder") + 1]) == client.folder
    assert str(fake_backend) in hello["path"]
    assert client.folder.name.startswith(f"rep3d-{os.getpid()}-")
    if os.name == "posix":
        assert client.folder.stat().st_mode & 0o777 == 0o700


def test_unknown_method_is_an_error_with_its_code(fake_client):
    with pytest.raises(WorkerError) as error:
        fake_client().call("nonsense", timeout_s=20)
    assert error.value.code == "bad_request" and "nonsense" in error.value.message


def test_crash_fails_what_was_under_way_and_the_next_request_works(fake_client):
    client, errors = fake_client(), []
    client.call("ping", timeout_s=20)
    folder, pid = client.folder, client.pid
    slow = client.request("slow", on_error=errors.append)
    with pytest.raises(WorkerError) as error:
        client.call("crash", timeout_s=20)
    assert error.value.code == "worker_died" and "exit code 3" in error.value.message
    assert "something terrible happened" in error.value.hint
    assert slow.done and [e.code for e in errors] == ["worker_died"]
    assert not folder.exists() and not client.is_running() and client.pid is None
    if os.name == "posix":
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # reaped: no zombie
    assert client.call("ping", timeout_s=20) == {}
    assert client.pid != pid


def test_killed_worker_is_noticed_by_poll(fake_client):
    client, errors = fake_client(), []
    client.call("hello", timeout_s=20)
    client.request("slow", on_error=errors.append)
    os.kill(client.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    wait_until(lambda: client.poll() is not None and errors)
    assert errors[0].code == "worker_died"


def test_worker_that_cannot_import_is_unavailable_with_its_last_words(fake_client):
    with pytest.raises(WorkerError) as error:
        fake_client("no start").call("ping", timeout_s=20)
    assert error.value.code == "worker_unavailable"
    assert "No module named 'torch'" in error.value.hint


def test_missing_interpreter_and_missing_backend_are_named(tmp_path, fake_backend):
    client = WorkerClient(python=str(tmp_path / "no python"), environment={"REP3D_BACKEND": str(fake_backend)})
    with pytest.raises(WorkerError, match="no python") as error:
        client.start()
    assert error.value.code == "worker_unavailable" and client.folder is None
    client = WorkerClient(environment={"REP3D_BACKEND": str(tmp_path)})
    with pytest.raises(WorkerError, match="REP3D_BACKEND") as error:
        client.request("ping")
    assert error.value.code == "worker_unavailable" and error.value.hint


def test_garbage_between_messages_is_logged_and_ignored(fake_client):
    lines = []
    client = fake_client(on_log=lines.append)
    assert client.call("garbage", timeout_s=30) == {"survived": True}
    assert client.call("ping", timeout_s=20) == {}
    assert sum("ignored" in line for line in lines) >= 6


def test_names_that_are_no_utf8_arrive_as_text_that_qt_takes(fake_client):
    """Lone surrogates, as Python has them in such names: SystemError in PythonQt, UnicodeEncodeError in VTK."""
    answer = fake_client().call("echo", {"name": ["B\xe4r \udcff.nii", "\ud800"]}, timeout_s=20)
    assert answer["name"] == ["B\xe4r \\xff.nii", "\\ud800"]


def test_flood_of_progress_neither_blocks_nor_fills_memory(fake_client):
    client, seen, lines = fake_client(), [], []
    client.on_log = lines.append
    pending = client.request("flood", on_progress=lambda *values: seen.append(values))
    time.sleep(2.0)  # nobody polls meanwhile
    client.wait(pending, timeout_s=60)
    assert pending.result == {"done": True}
    assert 1 <= len(seen) < 5_000 and seen[-1][1] == "flooding"
    assert len(lines) <= 3_000


def test_request_to_a_worker_that_does_not_read_never_blocks(fake_client):
    client = fake_client()
    client.call("ping", timeout_s=20)
    client.request("deaf")
    start = time.monotonic()
    for _ in range(40):
        client.request("echo", {"text": "x" * 500_000})
    assert time.monotonic() - start < 3.0
    folder = client.folder
    client.stop(timeout_s=0.2)
    assert time.monotonic() - start < 8.0 and not folder.exists()


def test_large_requests_go_through_and_too_large_ones_are_refused(fake_client):
    client = fake_client()
    assert client.call("echo", {"text": "ä" * 100_000}, timeout_s=20)["length"] > 100_000
    with pytest.raises(WorkerError) as error:
        client.request("echo", {"text": "x" * 2_000_000})
    assert error.value.code == "bad_request" and not client.busy


def test_cancel_twice_and_after_the_end(fake_client):
    client, errors = fake_client(), []
    pending = client.request("slow", on_error=errors.append)
    pending.cancel()
    pending.cancel()
    client.wait(pending, timeout_s=20)
    assert [e.code for e in errors] == ["cancelled"]
    pending.cancel()
    assert client.call("ping", timeout_s=20) == {}
    assert len(errors) == 1


def test_call_gives_up_in_time_and_cancels(fake_client):
    client = fake_client()
    client.call("ping", timeout_s=20)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"0\.3 s"):
        client.call("slow", timeout_s=0.3)
    assert time.monotonic() - start < 3
    wait_until(lambda: client.poll() is not None and not client.busy)  # it was cancelled in the worker too


def test_idle_runs_during_call_and_its_exception_cancels(fake_client):
    client, count = fake_client(), []
    client.call("ping", timeout_s=20)

    def idle():
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.call("slow", idle=idle)
    wait_until(lambda: client.poll() is not None and not client.busy)


def test_poll_within_a_callback_delivers_each_message_once(fake_client):
    client, got = fake_client(), []
    client.call("ping", timeout_s=20)
    for _ in range(5):
        client.request("ping", on_result=lambda result: (got.append(1), client.poll()))
    wait_until(lambda: client.poll() is not None and not client.busy)
    assert len(got) == 5


def test_stop_removes_the_folder_and_answers_what_was_under_way(fake_client):
    client, errors = fake_client(), []
    client.write_array(np.zeros((3, 4, 5), np.int16))
    client.request("hang", on_error=errors.append)
    folder, pid = client.folder, client.pid
    client.stop(timeout_s=2.0)
    assert [e.code for e in errors] == ["cancelled"] and not folder.exists() and not client.is_running()
    with pytest.raises((ProcessLookupError, OSError)):
        os.kill(pid, 0)
    client.stop()  # harmless


def test_arrays_keep_order_and_are_removed_when_read(fake_client):
    client = fake_client()
    kji = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    name = client.write_array(kji.transpose(2, 1, 0))
    assert Path(name).name == name
    stored = np.load(client.folder / name)
    assert stored.flags.f_contiguous and np.array_equal(stored, kji.transpose(2, 1, 0))
    back = client.read_array(name)
    assert np.array_equal(back, stored) and not (client.folder / name).exists()
    for bad in ("../etc.npy", "missing.npy", "/etc/passwd", name.replace(".npy", ".txt")):
        with pytest.raises(WorkerError) as error:
            client.read_array(bad)
        assert error.value.code == "internal"


def test_full_disk_is_reported_and_leaves_no_part(fake_client, monkeypatch):
    client = fake_client()
    client.start()

    def full(file, array, **_options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(WorkerError, match="No space left") as error:
        client.write_array(np.zeros((100, 100, 100)))
    assert error.value.code == "output_failed" and "8 MB" in error.value.hint
    assert list(client.folder.iterdir()) == []


def test_interpreter_is_slicers_launcher_when_there_is_one(monkeypatch, tmp_path):
    launcher = tmp_path / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    launcher.write_bytes(b"")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launch.find_python() == str(launcher)
    launcher.unlink()
    assert launch.find_python() == sys.executable
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    with pytest.raises(WorkerError, match="PythonSlicer"):
        launch.find_python()


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands for the launcher")
def test_worker_behind_a_launcher_ends_with_it(fake_client, tmp_path):
    """In Slicer the process started is a launcher and the worker its child: both must go."""
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n', encoding="utf-8")
    launcher.chmod(0o755)
    client = fake_client(python=str(launcher))
    worker = client.call("hello", timeout_s=20)["pid"]
    assert worker != client.pid
    client.request("deaf")
    client.stop(timeout_s=0.2)

    def gone():
        try:
            return Path(f"/proc/{worker}/stat").read_text(encoding="utf-8").split()[2] == "Z"
        except OSError:
            return subprocess.run(["ps", "-p", str(worker)], capture_output=True).returncode != 0

    wait_until(gone)


def test_start_sweeps_what_a_killed_slicer_left_and_nothing_else(fake_client, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    stale, of_another = tmp_path / f"rep3d-{dead.pid}-abc", tmp_path / f"rep3d-{os.getppid()}-abc"
    foreign = tmp_path / f"rep3d-{dead.pid}"
    for folder in (stale, of_another, foreign):
        folder.mkdir(mode=0o700)
        (folder / "in1.npy").write_bytes(b"x")
    client = fake_client()
    client.start()
    assert client.folder.parent == tmp_path.resolve()
    assert not stale.exists() and of_another.is_dir() and foreign.is_dir()
    client.stop()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([of_another.name, foreign.name])


def test_worker_ends_when_this_process_is_killed(fake_backend):
    """As when Slicer crashes: the end of its pipe ends the worker."""
    code = (
        "import sys, time\n"
        "from Rep3DSegmentationLib.client import WorkerClient\n"
        "client = WorkerClient(environment={'REP3D_BACKEND': sys.argv[1]})\n"
        "print(client.call('hello', timeout_s=20)['pid'], flush=True)\n"
        "time.sleep(60)\n"
    )
    folder = Path(launch.__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(fake_backend)], stdout=subprocess.PIPE, env=environment, text=True
    )
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    from rep3d.worker.folder import pid_alive

    wait_until(lambda: not pid_alive(worker))


@pytest.mark.skipif(os.name == "nt", reason="usleep is a function of POSIX")
def test_answers_come_though_only_polls_let_other_threads_run(fake_client):
    """As in desktop Slicer, whose event loop holds the interpreter's lock between the ticks of a timer."""
    library = ctypes.PyDLL(None)  # unlike CDLL, it keeps the lock during calls
    client = fake_client()
    requests = [client.request("echo", {"text": "x" * 1000 * number}) for number in range(5)]
    for _tick in range(200):
        library.usleep(20_000)
        client.poll()
        if all(request.done for request in requests):
            break
    assert [request.result["length"] > 1000 * number for number, request in enumerate(requests)] == [True] * 5
