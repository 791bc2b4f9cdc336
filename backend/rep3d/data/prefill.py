"""Fill the cache of a prepared folder: every case that trains or validates, in several processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rep3d.data.cache import Cache, FileHashes
from rep3d.data.case_figures import CaseFigures
from rep3d.data.data_list import Entry
from rep3d.data.dataset import Case
from rep3d.data.parallel import choose_workers, run_jobs
from rep3d.data.preprocess import resampled_size
from rep3d.errors import OutputFailed
from rep3d.tasks import Task

#: Memory at the peak of reading and resampling, per native voxel: measured, rounded up (docs/data.md).
BYTES_PER_VOXEL = 24
Progress = Callable[[str, int, int], None]  # stage, cases done, cases in all


def fill_cache(
    task: Task, entries: Sequence[Entry], figures: Mapping[str, CaseFigures], out: Path, hashes: FileHashes,
    workers: int, progress: Progress,
) -> dict[str, int]:  # fmt: skip
    """Preprocess every case that trains or validates in some fold, into ``out``/cache.

    Returns how many were kept, made, and made again because a file was damaged. Raises OutputFailed when the disk is
    too small, before anything is written, and OutOfMemory.
    """
    cache = Cache(out / "cache", task)
    needed = [e for e in entries if set(e.parts) & {"train", "val"}]
    jobs, space, most = [], 0, 0
    for entry in needed:
        case = Case(entry.id, "", entry.image, entry.label)
        sums = {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in (entry.image, entry.label)}
        known = {entry.image: entry.image_sha256, entry.label: entry.label_sha256}
        for path, sha in known.items():
            cache.hashes.remember(path, *sums[path], sha)
        found = figures[entry.id]
        grid = zip(found.size_voxels, found.spacing_mm, task.spacing_mm, strict=True)
        voxels = int(np.prod([resampled_size(n, s, t) for n, s, t in grid], dtype=np.int64))
        most = max(most, voxels, int(np.prod(found.size_voxels, dtype=np.int64)))
        if not all(path.is_file() for path in cache.files(cache.key(case))):
            space += 3 * voxels  # float16 image and uint8 label map
        jobs.append(CacheJob(case, task, out / "cache", sums, known))
    free = shutil.disk_usage(out).free
    if space > free:
        raise OutputFailed(
            f"the cache in {out} needs {_size(space)}, {_size(free)} are free",
            "Free some space or choose another disk; --no-cache leaves it to the training, which needs as much.",
        )
    counts = {"kept": 0, "made": 0, "made again": 0}
    for done, status in enumerate(
        run_jobs(fill, jobs, choose_workers(workers, BYTES_PER_VOXEL * most, len(jobs))), start=1
    ):
        counts[status] += 1
        progress("preprocessing", done, len(jobs))
    hashes.save()
    return counts


@dataclass(frozen=True)
class CacheJob:
    """One case to preprocess, with the hashes that are known already."""

    case: Case
    task: Task
    folder: Path
    marks: dict[Path, tuple[int, int]]
    sha256: dict[Path, str]


def fill(job: CacheJob) -> str:
    """Preprocess a case unless its files are there and sound: "kept", "made" or "made again"."""
    cache = Cache(job.folder, job.task)
    for path, sha in job.sha256.items():
        cache.hashes.remember(path, *job.marks[path], sha)
    return cache.ensure(job.case)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
