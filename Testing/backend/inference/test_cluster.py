"""``rep3d segment --ray``: the same results as one process, whoever is killed. A real Ray cluster, real signals."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import typer
from rep3d import provenance
from rep3d.commands import segment
from rep3d.data.reading import read_volume
from rep3d.errors import BadInput
from rep3d.files import temporary_path
from rep3d.inference import batch, cluster, ray_session
from rep3d.inference.batch import Outcome, plan, run_jobs
from rep3d.inference.cluster import Listener, SegmentWorker, run_on_cluster
from rep3d.inference.pipeline import segment_with_weights
from rep3d.inference.ray_session import ClusterOptions, RaySession
from rep3d.weights import load_weights
from typer.testing import CliRunner

LOCAL = ClusterOptions("local", workers=1, cpus=1, device="cpu")
OPTIONS = {"device": "cpu", "precision": "auto", "overlap": 0.5, "tta": False, "roi": None, "structures": None}


class DiesOnce(SegmentWorker):
    """Killed the first time that a label map is in place and the numbers beside it are not."""

    def run(self, job, overwrite, series_uid):
        mark, write_text = Path(self.options.pop("mark")), batch.write_result.__globals__["write_text"]

        def die(path, text):
            if path.suffix == ".csv" and not mark.exists():
                mark.touch()
                temporary_path(path).write_text("half")
                os.kill(os.getpid(), signal.SIGKILL)
            write_text(path, text)

        batch.write_result.__globals__["write_text"] = die
        try:
            return super().run(job, overwrite, series_uid)
        finally:
            self.options["mark"] = str(mark)


class Light(SegmentWorker):
    """A worker without a network, that copies the scan."""

    def start(self, probes):
        return "node", os.getpid(), BadInput("this machine is of no use") if self.options.get("useless") else None

    def run(self, job, overwrite, series_uid):
        job.files.labels.write_bytes(job.source.read_bytes())
        return Outcome(job, seconds=os.getpid())


@pytest.fixture(scope="module")
def ray():
    """One cluster for all tests of this file."""
    if find_spec("ray") is None:
        pytest.skip("the extra `ray` is not installed")
    if os.name != "posix":
        pytest.skip("SIGKILL is POSIX")
    before = {name: os.environ.get(name) for name in ("REP3D_CONV_ALGORITHM", "OMP_NUM_THREADS")}
    os.environ |= {"REP3D_CONV_ALGORITHM": "fft", "OMP_NUM_THREADS": "1"}  # as the workers are to see it
    with RaySession(ClusterOptions("local", workers=2, cpus=1, device="cpu"), jobs=2) as session:
        module = session.ray
        module.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        folder = Path(module._private.worker._global_node.get_session_dir_path()).parent
        assert folder.is_dir()
        yield module
    assert not folder.exists(), "sockets and logs stay"
    module.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def test_a_cluster_of_ones_own_listens_to_this_machine_alone(ray):
    remote = ray.remote(Light).remote(None, {}, 1, "", None)  # with a worker that works
    ray.get(remote.start.remote([]))
    me = psutil.Process()
    sockets = []
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            sockets += [(process.name(), c) for c in process.net_connections("inet")]
    ray.kill(remote)
    assert any(name == "gcs_server" and c.status == psutil.CONN_LISTEN for name, c in sockets)
    ends = {(name, end.ip) for name, c in sockets for end in (c.laddr, c.raddr) if end}
    assert not {(name, ip) for name, ip in ends if not is_loopback(ip)}
    assert os.environ["RAY_AUTH_MODE"] == "token" and is_token_auth_enabled()


def is_token_auth_enabled() -> bool:
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return is_token_auth_enabled()


def is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_same_files_as_one_process_though_a_worker_is_killed(ray, tmp_path, scan, save_scan, tiny_weights):
    weights, folder = load_weights(tiny_weights), tmp_path / "scans ü"
    for name in ("a.nii.gz", "b.mha", "gone.nii.gz"):
        save_scan(folder / name, scan)
    (folder / "bad.nii.gz").write_bytes(b"not an image")
    one, two = (plan([folder], tmp_path / out, None) for out in ("one", "two"))
    (folder / "gone.nii.gz").unlink()
    network = weights.build_network()
    expected = run_jobs(one, lambda volume: segment_with_weights(volume, weights, network, **OPTIONS))
    notes, workers, ends = [], [], []
    listener = Listener(
        on_note=notes.append, on_worker=lambda n, pid: workers.append(pid), on_end=lambda i, o: ends.append(i)
    )
    found = run_on_cluster(
        two, weights, OPTIONS | {"mark": str(tmp_path / "killed")}, LOCAL, listener=listener, worker_class=DiesOnce
    )
    assert (tmp_path / "killed").exists() and len(workers) == 2 and workers[0] != workers[1]
    assert retried(notes) == 1
    assert [o.status for o in found] == [o.status for o in expected] == ["done", "done", "failed", "failed"]
    assert sorted(ends) == [0, 1, 2, 3]
    assert "not an image" in str(found[2].error) and str(found[2].error) == str(expected[2].error)
    assert "does not see" in str(found[3].error) and "share" in found[3].error.hint
    for a, b in zip(one[:2], two[:2], strict=True):
        assert a.files.labels.read_bytes() == b.files.labels.read_bytes()
        assert a.files.csv.read_bytes() == b.files.csv.read_bytes()
    assert {p.name for p in (tmp_path / "two").iterdir()} == {p.name for p in (tmp_path / "one").iterdir()}
    assert found[0].result.stats == expected[0].result.stats and found[0].result.labelmap.size == 0
    assert read_volume(two[0].files.labels).shape == scan.shape


def retried(notes: list[str]) -> int:
    """How often a scan went to another worker; a busy machine causes other notes."""
    return sum("goes to another one" in note for note in notes)


@pytest.fixture
def texts(tmp_path):
    """texts(name=text, ...) -> jobs of files that hold these texts; for workers without a network."""

    def call(**contents: str):
        (tmp_path / "scans").mkdir()
        for name, text in contents.items():
            (tmp_path / "scans" / f"{name}.nii").write_text(text, encoding="utf-8")
        return plan([tmp_path / "scans"], tmp_path / "out", "nii")

    return call


class Nothing:
    """In the place of weights."""

    def __init__(self):
        self.tensors = {}


def test_interrupted_workers_are_gone_and_nothing_half_is_left(ray, texts, tmp_path):
    seen = []

    def interrupt(i, outcome):
        seen.append(int(outcome.seconds))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_cluster(
            texts(a="fine", b="fine"), Nothing(), OPTIONS, LOCAL,
            listener=Listener(on_end=interrupt), worker_class=Light,
        )  # fmt: skip
    psutil.wait_procs([psutil.Process(seen[0])] if psutil.pid_exists(seen[0]) else [], timeout=60)
    assert not psutil.pid_exists(seen[0])
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a_seg.nii"]


class Mortal:
    """Stands for Ray: calls run at once, and a scan that begins with "kill" ends its actor."""

    class exceptions:
        class RayError(Exception): ...

        class RayActorError(RayError): ...

        class WorkerCrashedError(RayError): ...

        class OutOfMemoryError(RayError): ...

    def __init__(self, options, jobs, nbytes):
        self.ray, self.workers, self.cpus, self.alive, self.most = self, 2, 1, 0, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.left = self.alive

    def options_for(self, options):
        return options

    def put(self, value):
        return value

    def actor(self, worker_class, *arguments):
        self.alive += 1
        self.most = max(self.most, self.alive)
        return MortalActor(worker_class(*arguments))

    def kill(self, actor):
        self.alive -= 1

    def wait(self, references, num_returns, timeout):
        return references[-1:], references[:-1]

    def get(self, reference):
        return reference()


class MortalActor:
    def __init__(self, worker):
        def method(name):
            def remote(*args, **kwargs):
                def result():
                    if name == "run" and args[0].source.read_text(encoding="utf-8").startswith("kill"):
                        raise Mortal.exceptions.RayActorError("It died.\nexit detail: gone. Some common causes include")
                    return getattr(worker, name)(*args, **kwargs)

                return result

            return type("Method", (), {"remote": staticmethod(remote)})

        self.start, self.run = method("start"), method("run")


@pytest.fixture
def mortal(monkeypatch):
    """The sessions that are made in a test."""
    made = []
    monkeypatch.setattr(cluster, "RaySession", lambda *arguments: made.append(Mortal(*arguments)) or made[-1])
    return made


def test_a_scan_that_kills_every_worker_is_reported_and_the_rest_goes_on(texts, mortal, tmp_path):
    notes, starts = [], []
    outcomes = run_on_cluster(
        texts(a="fine", b="kill", c="fine", d="fine"), Nothing(), OPTIONS, LOCAL, worker_class=Light,
        listener=Listener(on_start=lambda i, job: starts.append(i), on_note=notes.append), attempts=3,
    )  # fmt: skip
    assert [o.error is None for o in outcomes] == [True, False, True, True] and sorted(starts) == [0, 1, 1, 1, 2, 3]
    assert str(outcomes[1].error).endswith("3 workers were killed while they worked on this scan. gone.")
    assert "b.nii" in str(outcomes[1].error) and "fewer workers" in outcomes[1].error.hint and retried(notes) == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_seg.nii", "c_seg.nii", "d_seg.nii"]
    assert mortal[0].most == 2, "a new worker only in the place of a dead one"


def test_workers_that_are_of_no_use_end_the_run(texts, mortal, tmp_path):
    notes = []
    with pytest.raises(BadInput, match="of no use"):
        run_on_cluster(texts(a="fine"), Nothing(), OPTIONS | {"useless": True}, LOCAL, worker_class=Light,
                       listener=Listener(on_note=notes.append))  # fmt: skip
    assert len(notes) == 2 and not list((tmp_path / "out").iterdir()) and mortal[0].left == 0


def test_workers_check_their_version_and_the_shared_folder(tmp_path, monkeypatch):
    folder = tmp_path / "not mounted"
    worker = SegmentWorker(Nothing(), OPTIONS, 1, "other code", None)
    assert "another version" in str(worker.start([folder / "probe"])[2])
    monkeypatch.setattr(provenance, "code_sha256", lambda: "other code")
    error = worker.start([folder / "probe"])[2]
    assert str(folder) in str(error) and "under the same path" in error.hint


def test_more_workers_than_fit_are_refused(ray):
    with pytest.raises(BadInput, match="3 workers with 1 CPUs each do not fit into the cluster's 2 CPUs"):
        RaySession(ClusterOptions("local", workers=3, cpus=1), jobs=9).__enter__()
    with pytest.raises(BadInput, match="no GPU"):
        RaySession(ClusterOptions("local", device="cuda"), jobs=9).__enter__()
    with RaySession(ClusterOptions("local"), jobs=9) as session:
        assert (session.workers, session.cpus) == (1, 2)
    with RaySession(ClusterOptions("local", workers=2), jobs=1) as session:
        assert (session.workers, session.cpus) == (1, 1), "no more workers than scans"
    assert ray.is_initialized(), "a cluster of somebody else's stays"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ray", "127.0.0.1:1"], "No Ray cluster answers"),
        (["--ray", "nonsense"], "is no address"),
        (["--ray", "local", "--ray-workers", "-1"], "not be negative"),
        (["--ray", "local", "--device", "cuda:0"], "does not go with --ray"),
    ],
)
def test_wrong_options_are_refused(tmp_path, scan_file, tiny_weights, arguments, words, monkeypatch):
    class Apart:
        @staticmethod
        def is_initialized():
            return False

    monkeypatch.setattr(ray_session, "import_ray", lambda: Apart)
    app = typer.Typer()
    segment.register(app)
    arguments = [str(scan_file), "-o", str(tmp_path / "o"), "--weights", str(tiny_weights), *arguments]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, BadInput) and words in str(done.exception)


def test_without_ray_the_extra_is_named_and_reports_are_off(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with pytest.raises(BadInput, match="not installed") as caught:
        ray_session.import_ray()
    assert "[ray]" in caught.value.hint and os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
