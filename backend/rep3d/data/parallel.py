"""The same function over many jobs, in processes of their own; results come as they are done.

Processes rather than threads, because SimpleITK holds Python's global lock for most of the time that it reads. They are
spawned, never forked, and end by themselves when the process that started them is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from rep3d.errors import OutOfMemory

Job = TypeVar("Job")
Result = TypeVar("Result")
MEMORY_SHARE = 0.7  # of what is free, for all workers together


def usable_cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on Windows and macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_workers(asked: int, bytes_each: int, jobs: int) -> int:
    """How many processes: as asked, or one a processor (``asked`` 0), but no more than fit in memory and at least 1.

    ``bytes_each``: memory that the largest job needs.
    """
    import psutil

    fit = int(MEMORY_SHARE * psutil.virtual_memory().available / max(1, bytes_each))
    return max(1, min(asked or usable_cpus(), fit, jobs))


def run_jobs(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """``function(job)`` for every job, in the order in which they finish; with one worker, here and in order.

    ``function`` and the jobs must be picklable. An exception of a job is raised here, after the jobs that run have
    ended; waiting ones are dropped. Raises OutOfMemory when a worker is killed, which lack of memory does.
    """
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield function(job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        waiting = {pool.submit(function, job) for job in jobs}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise OutOfMemory(
                f"one of {workers} worker processes was killed, as happens when memory runs out",
                "Run it again with fewer --workers; what is done is kept.",
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _begin() -> None:
    """In each worker: Ctrl-C is the parent's business, image filters take one thread, and no worker is left over."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _end_with(parent) -> None:
    parent.join()  # returns when the parent is gone, however it went
    os._exit(1)
