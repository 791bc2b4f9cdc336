"""A cohort on a Ray cluster: one warm network a worker process, scans and results on a file system that all share.

The driver hands out one scan at a time. A worker that is killed costs nothing but time: its scan goes to another
worker, a new one takes its place, and a scan that kills every worker it meets is reported as failed. Results are
written by the same code as in one process, whole or not at all, so a driver that is killed goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rep3d.errors import BadInput, Rep3DError
from rep3d.files import remove_leftovers, temporary_path
from rep3d.inference.batch import Job, Outcome, run_job
from rep3d.inference.ray_session import ClusterOptions, RaySession
from rep3d.inference.writing import check_writable
from rep3d.runtime.privacy import stay_private

if TYPE_CHECKING:
    from rep3d.inference.result import SegmentationResult
    from rep3d.weights import Weights

ATTEMPTS = 3  # workers that one scan may cost before it is given up
WAITING_S = 30.0  # after which somebody is told that the cluster has no room


class SegmentWorker:
    """Runs in a process of its own, on whichever machine Ray puts it."""

    def __init__(self, weights: Weights, options: dict[str, Any], threads: int, code: str, after: Callable | None):
        self.weights, self.options, self.threads, self.code, self.after = weights, options, threads, code, after
        self.network = None

    def start(self, probes: list[Path]) -> tuple[str, int, Rep3DError | None]:
        """Build the network; (name of the machine, process id, why this worker is of no use)."""
        import platform

        stay_private()
        import torch

        from rep3d.provenance import code_sha256

        node = platform.node()
        if code_sha256() != self.code:
            return node, os.getpid(), BadInput(
                f"The machine {node} has another version of Rep3D than this one.", "Install the same on all machines."
            )  # fmt: skip
        for probe in probes:
            if not probe.is_file():
                return node, os.getpid(), not_shared(node, probe.parent)
        torch.set_num_threads(self.threads)
        self.network = self.weights.build_network()
        return node, os.getpid(), None

    def run(self, job: Job, overwrite: bool, series_uid: str | None) -> Outcome:
        """One scan; the outcome comes without its voxels."""
        import platform

        if not job.source.exists():
            return Outcome(job, error=not_shared(platform.node(), job.source))
        outcome = run_job(job, self.segment, overwrite=overwrite, series_uid=series_uid)
        if outcome.result is None:
            return outcome
        none = np.zeros((0, 0, 0), np.uint8)
        light = replace(outcome.result, volume=replace(outcome.result.volume, array=none), labelmap=none)
        return replace(outcome, result=light)

    def segment(self, volume):
        """Segment one volume with the warm network."""
        from rep3d.inference.pipeline import segment_with_weights

        result = segment_with_weights(volume, self.weights, self.network, **self.options)
        return self.after(result) if self.after else result


def not_shared(node: str, path: Path) -> BadInput:
    """The error of a machine that does not see a file or folder."""
    return BadInput(
        f"The machine {node} does not see {path}.",
        "Scans and results must lie on a file system that all machines of the cluster share under the same path.",
    )


@dataclass(frozen=True)
class Listener:
    """What a caller wants to hear: a job started (index, job), ended (index, outcome), and anything else (text)."""

    on_start: Callable[[int, Job], None] = lambda i, job: None
    on_end: Callable[[int, Outcome], None] = lambda i, outcome: None
    on_note: Callable[[str], None] = lambda text: None
    on_worker: Callable[[str, int], None] = lambda node, pid: None


@dataclass
class _Slots:
    """The workers of a run: new ones, idle ones, and which one has which job."""

    starting: dict[Any, Any] = field(default_factory=dict)  # reference of start() -> actor
    idle: list[Any] = field(default_factory=list)
    running: dict[Any, tuple[Any, int]] = field(default_factory=dict)  # reference of run() -> actor, job's index


def run_on_cluster(
    jobs: list[Job],
    weights: Weights,
    options: dict[str, Any],
    cluster: ClusterOptions,
    *,
    overwrite: bool = False,
    series_uid: str | None = None,
    after: Callable[[SegmentationResult], SegmentationResult] | None = None,
    listener: Listener | None = None,
    worker_class: type = SegmentWorker,
    attempts: int = ATTEMPTS,
) -> list[Outcome]:
    """As :func:`rep3d.inference.batch.run_jobs`, spread over a Ray cluster; outcomes in the jobs' order.

    Args:
        weights: loaded here and sent to every worker once. options: of ``segment_with_weights``.
        after: applied to every result before it is written (post-processing); sent to the workers too.
        attempts: how many workers may die with one scan before it is reported as failed.

    Raises:
        BadInput: Ray is missing or cannot be reached, has too little room, or no worker can start.
        OutputFailed: an output folder cannot be written.
    """
    jobs = [Job(Path(os.path.abspath(job.source)), _absolute(job.files)) for job in jobs]
    folders = sorted({job.files.labels.parent for job in jobs})
    for folder in folders:
        check_writable(folder)
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(_probe(folder)) for folder in folders]
        unfinished: set[int] = set()
        stack.callback(_clean, jobs, unfinished)  # after errors and Ctrl-C too, when the workers are gone
        session = stack.enter_context(RaySession(cluster, len(jobs), _bytes(weights)))
        return _Driver(jobs, session, listener or Listener(), overwrite, series_uid, attempts, unfinished).run(
            worker_class, weights, session.options_for(options), probes, after
        )


def _absolute(files):
    return replace(files, **{n: Path(os.path.abspath(getattr(files, n))) for n in ("labels", "json", "csv")})


def _bytes(weights: Weights) -> int:
    parts = getattr(weights, "members", ()) or (weights,)
    return sum(t.numel() * t.element_size() for part in parts for t in part.tensors.values())


@contextlib.contextmanager
def _probe(folder: Path):
    """A file by which a worker can tell that it sees this very folder."""
    remove_leftovers(folder / "rep3d-shared-folder")
    path = temporary_path(folder / "rep3d-shared-folder")
    path.write_bytes(b"")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _clean(jobs: list[Job], which: set[int]) -> None:
    for i in which:
        for path in jobs[i].files.all():
            remove_leftovers(path)


def _why(died: Exception) -> str:
    """What Ray knows of a worker's end, without its page of advice."""
    text = " ".join(str(died).split())
    found = re.search(r"exit detail: (.*?)(?: Some common causes|$)", text)
    return (found[1] if found else text)[:300]


class _Driver:
    """Hands out jobs, takes what comes back, replaces workers that died."""

    def __init__(self, jobs, session, listener, overwrite, series_uid, attempts, unfinished):
        self.jobs, self.session, self.listener = jobs, session, listener
        self.call = {"overwrite": overwrite, "series_uid": series_uid}
        self.attempts, self.unfinished = attempts, unfinished
        self.pending = deque(range(len(jobs)))
        self.deaths: Counter[int] = Counter()
        self.outcomes: dict[int, Outcome] = {}
        self.slots = _Slots()
        self.failed_starts: list[Rep3DError] = []

    def run(
        self, worker_class: type, weights: Weights, options: dict[str, Any], probes: list[Path], after: Callable | None
    ) -> list[Outcome]:
        """All outcomes, in the jobs' order."""
        from rep3d.provenance import code_sha256

        session, slots = self.session, self.slots
        shared = session.ray.put(weights)

        def new_worker() -> None:
            actor = session.actor(worker_class, shared, options, session.cpus, code_sha256(), after)
            slots.starting[actor.start.remote(probes)] = actor

        for _ in range(session.workers):
            new_worker()
        since = time.monotonic()
        while len(self.outcomes) < len(self.jobs):
            while slots.idle and self.pending:
                self._hand_out(slots.idle.pop(), self.pending.popleft())
            waited = [*slots.running, *slots.starting]
            if not waited:
                raise self.failed_starts[-1]
            done, _ = session.ray.wait(waited, num_returns=1, timeout=1.0)  # short: Ctrl-C is heard in between
            if not done and not slots.running and time.monotonic() - since > WAITING_S:
                self.listener.on_note("still waiting for the first worker: does the cluster have free CPUs or GPUs?")
                since = float("inf")
            for reference in done:
                if reference in slots.starting:
                    self._started(reference)
                elif self._ended(reference):
                    new_worker()
        return [self.outcomes[i] for i in range(len(self.jobs))]

    def _hand_out(self, actor: Any, i: int) -> None:
        self.listener.on_start(i, self.jobs[i])
        self.unfinished.add(i)
        self.slots.running[actor.run.remote(self.jobs[i], **self.call)] = (actor, i)

    def _started(self, reference: Any) -> None:
        """A new worker is ready, or of no use; then the others go on without it."""
        actor = self.slots.starting.pop(reference)
        try:
            node, pid, error = self.session.ray.get(reference)
        except self.session.ray.exceptions.RayError as failure:
            said = str(failure).strip().splitlines() or [type(failure).__name__]
            node, pid = "?", 0
            error = BadInput(
                f"A worker of the Ray cluster could not start: {said[-1].strip()}",
                "Every machine needs the same Rep3D and Python, and enough memory for the network.",
            )
        if error is None:
            self.slots.idle.append(actor)
            self.listener.on_worker(node, pid)
            return
        self.failed_starts.append(error)
        self.session.kill(actor)
        self.listener.on_note(f"{error} {error.hint} Going on without this worker.")

    def _ended(self, reference: Any) -> bool:
        """Take a result; true if the worker died and a new one is needed."""
        actor, i = self.slots.running.pop(reference)
        errors = self.session.ray.exceptions
        try:
            outcome = self.session.ray.get(reference)
        except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError) as died:
            self.session.kill(actor)  # if it was only out of reach, it must not go on beside its successor
            _clean(self.jobs, {i})
            self.deaths[i] += 1
            source = self.jobs[i].source
            if self.deaths[i] < self.attempts:
                self.listener.on_note(f"{source}: the worker was killed; the scan goes to another one")
                self.pending.appendleft(i)
            else:
                self._done(i, Outcome(self.jobs[i], error=Rep3DError(
                    f"{source}: {self.deaths[i]} workers were killed while they worked on this scan. {_why(died)}",
                    "If memory ran out, use fewer workers (--ray-workers) or larger machines.",
                )))  # fmt: skip
            return bool(self.pending)
        except errors.RayError as failure:
            error = Rep3DError(f"{self.jobs[i].source}: Ray failed: {failure}", "Run the command again: it goes on.")
            outcome = Outcome(self.jobs[i], error=error)
        self.slots.idle.append(actor)
        self._done(i, outcome)
        return False

    def _done(self, i: int, outcome: Outcome) -> None:
        self.unfinished.discard(i)
        self.outcomes[i] = outcome
        self.listener.on_end(i, outcome)
