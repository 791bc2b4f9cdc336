"""Preprocess every case once: network grid, [0, 1] intensities; keep the arrays as .npy files and, if they fit, in RAM.

A case's files are named by a key over the sha256 of its image and label and over every setting that matters, so a
changed file or setting never meets a stale array. Files appear atomically, the one with the sums of the others last; a
damaged one is noticed by its sum and made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rep3d.data.agreement import disagreement
from rep3d.data.dataset import Case
from rep3d.data.preprocess import normalise, to_network_grid
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.errors import BadInput, OutputFailed
from rep3d.files import atomic_path, sha256_file, sweep, write_text
from rep3d.tasks import Task

CACHE_VERSION = 3
PARTS = ("image", "label", "centres")
MAX_CENTRES = 8192  # crop centres kept per class and case: enough to be uniform over an organ, small for any cohort


@dataclass(frozen=True)
class Sample:
    """A case on the network grid.

    ``image_XYZ`` float16 in [0, 1]; ``label_XYZ`` uint8; ``centres[c]`` flat voxel indices of class c (or empty).
    """

    id: str
    image_XYZ: np.ndarray
    label_XYZ: np.ndarray
    centres: dict[int, np.ndarray]


class FileHashes:
    """sha256 of files, remembered by path, size and time of change: a restart does not read gigabytes again."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with open(path, encoding="utf-8") as f:
                known = json.load(f)
        except (OSError, ValueError):  # absent or damaged: only a speed-up, computed again
            known = {}
        self._known = known if isinstance(known, dict) else {}
        self._changed = False

    def of(self, file: Path) -> str:
        """sha256 of ``file``. Raises BadInput when it cannot be read."""
        try:
            known = self.known(file)
            if known is None:
                stat = file.stat()
                known = sha256_file(file)
                self.remember(file, stat.st_size, stat.st_mtime_ns, known)
        except OSError as error:
            raise BadInput(f"{file} cannot be read: {error.strerror}", "check its permissions") from error
        return known

    def known(self, file: Path) -> str | None:
        """The remembered sha256 of ``file`` if its size and time of change are those of then, else None."""
        try:
            stat = file.stat()
        except OSError:
            return None
        known = self._known.get(str(file.resolve()))
        same = isinstance(known, list) and len(known) == 3 and known[:2] == [stat.st_size, stat.st_mtime_ns]
        return known[2] if same else None

    def remember(self, file: Path, size: int, mtime_ns: int, sha256: str) -> None:
        """Keep a sha256 that was computed elsewhere from a file that then had this size and time of change."""
        entry = [size, mtime_ns, sha256]
        self._changed |= self._known.get(str(file.resolve())) != entry
        self._known[str(file.resolve())] = entry

    def save(self) -> None:
        """Write the table next to the cached arrays if it has changed, so that a full cache may be read-only."""
        if self._changed:
            write_text(self.path, json.dumps(self._known, sort_keys=True))
            self._changed = False


class Cache:
    """Folder of preprocessed cases for one task; what killed writers have left there is removed."""

    def __init__(self, folder: Path, task: Task):
        self.folder = folder
        self.task = task
        self.hashes = FileHashes(folder / "hashes.json")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(
                f"cannot make the cache folder {folder}: {error.strerror}", "choose another --cache"
            ) from error
        sweep(folder)

    def key(self, case: Case) -> str:
        """Name of the case's files: content of both inputs and all settings."""
        settings = {
            "version": CACHE_VERSION,
            "spacing": [float(s) for s in self.task.spacing_mm],
            "intensity": asdict(self.task.intensity),
            "classes": self.task.num_classes,
            "files": [self.hashes.of(case.image), self.hashes.of(case.label)],
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]

    def load(self, case: Case, *, in_memory: bool = True) -> Sample:
        """The preprocessed case, from the cache or made now; memory-mapped unless ``in_memory``.

        Raises BadInput for a case that does not fit the task, OutputFailed when the cache cannot be written.
        """
        key = self.key(case)
        sample = self._read(case, key, in_memory)
        if sample is None:
            self._build(case, key)
            sample = self._read(case, key, in_memory)
        if sample is None:
            raise OutputFailed(f"the cache files of {case.id} in {self.folder} cannot be read back", "check the disk")
        return sample

    def ensure(self, case: Case) -> str:
        """Make the case's files unless they are there and sound; says which: "kept", "made" or "made again"."""
        key = self.key(case)
        if self.sound(key):
            return "kept"
        damaged = self._sums_file(key).exists()
        self._build(case, key)
        return "made again" if damaged else "made"

    def sound(self, key: str) -> bool:
        """Whether all files of a key are there with the sums that they were written with."""
        try:
            sums = json.loads(self._sums_file(key).read_text(encoding="utf-8"))["sha256"]
            return all(sha256_file(path) == sums[part] for part, path in zip(PARTS, self._files(key), strict=True))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def files(self, key: str) -> tuple[Path, ...]:
        """Every file that belongs to a key."""
        return (*self._files(key), self._sums_file(key))

    def _files(self, key: str) -> tuple[Path, Path, Path]:
        return tuple(self.folder / f"{key}.{part}.npy" for part in PARTS)

    def _sums_file(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _read(self, case: Case, key: str, in_memory: bool) -> Sample | None:
        """None when a file is missing or damaged (the caller makes it again)."""
        if not self.sound(key):
            return None
        try:
            image, label = (
                np.load(path, mmap_mode=None if in_memory else "r", allow_pickle=False) for path in self._files(key)[:2]
            )
            pairs = np.load(self._files(key)[2], allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        centres = {c: pairs[pairs[:, 0] == c, 1] for c in range(1, self.task.num_classes)}
        return Sample(case.id, image, label, centres)

    def _build(self, case: Case, key: str) -> None:
        image, label = preprocess_case(case, self.task)
        picks = []
        rng = np.random.default_rng(0)
        flat = label.ravel()
        for c in np.unique(flat[flat > 0]):
            where = np.flatnonzero(flat == c)
            if len(where) > MAX_CENTRES:
                where = np.sort(rng.choice(where, MAX_CENTRES, replace=False))
            picks.append(np.stack([np.full(len(where), c, np.int64), where.astype(np.int64)], axis=1))
        pairs = np.concatenate(picks) if picks else np.zeros((0, 2), np.int64)
        sums = {}
        for part, path, array in zip(PARTS, self._files(key), (image, label, pairs), strict=True):
            with atomic_path(path) as temporary:
                _save(temporary, array)
                sums[part] = sha256_file(temporary)
        text = json.dumps({"format": "rep3d-cache", "version": CACHE_VERSION, "sha256": sums}, indent=1)
        write_text(self._sums_file(key), text + "\n")


def _save(path: Path, array: np.ndarray) -> None:
    """np.save that names a full disk as such (numpy's error has no number) and notices a short file."""
    try:
        with open(path, "wb") as stream:
            np.save(stream, array, allow_pickle=False)
            stream.flush()
            written = os.fstat(stream.fileno()).st_size
        if written < array.nbytes:
            raise OSError(f"{written} of {array.nbytes} bytes written")
    except OSError as error:
        if error.errno is None and shutil.disk_usage(path.parent).free < array.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def preprocess_case(case: Case, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Read one case, check it, bring it to the network grid.

    Returns image [X, Y, Z] float16 in [0, 1] and label [X, Y, Z] uint8. Raises BadInput when image and label do not
    share a grid (see ``rep3d.data.agreement``), or the label holds values that are not the task's.
    """
    volume, labels = read_volume(case.image), read_labelmap(case.label, task.labels)
    apart = disagreement(volume.grid, labels.grid)
    if apart and apart.severity == "error":
        raise BadInput(
            f"image and label of {case.id} do not lie on one grid: {apart.text} ({case.label})",
            "every label map must have its image's size, origin, spacing and direction",
        )
    values = np.unique(labels.array)
    strange = [int(v) for v in values if v < 0 or v >= task.num_classes]
    if strange:
        raise BadInput(
            f"the label map {case.label} holds the values {strange[:8]}, but the task {task.key} knows 0 to "
            f"{task.num_classes - 1}",
            "check the task, or renumber the labels",
        )
    image = normalise(to_network_grid(volume, task.spacing_mm).array, task.intensity)
    label = to_network_grid(labels, task.spacing_mm, label=True).array.astype(np.uint8)
    return np.ascontiguousarray(image, dtype=np.float16), np.ascontiguousarray(label)


def load_samples(
    cases: Sequence[Case],
    cache: Cache,
    *,
    memory_limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Every case through the cache; in RAM while they fit in ``memory_limit`` bytes (default: half of what is free)."""
    if memory_limit is None:
        import psutil

        memory_limit = psutil.virtual_memory().available // 2
    samples, used = [], 0
    for i, case in enumerate(cases):
        sample = cache.load(case, in_memory=used < memory_limit)
        used += sample.image_XYZ.nbytes + sample.label_XYZ.nbytes
        samples.append(sample)
        if progress:
            progress(i + 1, len(cases))
    cache.hashes.save()
    return samples
