"""One case read once: hashes, grids, values, figures and what is wrong with it; kept, so that nothing is read twice.

A record depends on the content of the two files and on the modality alone, not on their names or on the task.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.data.agreement import disagreement
from rep3d.data.case_figures import MAX_LABEL, CaseFigures, measure_case
from rep3d.data.convert import Conversion, convert_image, convert_label
from rep3d.data.reading import ConstantImage, NotALabelMap, read_labelmap, read_volume
from rep3d.errors import BadInput, OutputFailed
from rep3d.files import sha256_file, write_text

SCAN_VERSION = 2
MANY_VALUES = 300  # more label values than this are not labels; only so many are kept


@dataclass(frozen=True)
class CaseRecord:
    """What reading a case has shown.

    problems: (severity, code, text). values: label value -> voxels. low, high: the image's extremes.
    image_voxels, label_voxels: sha256 of the voxels and their shape, the same however a file is compressed or named.
    """

    problems: tuple[tuple[str, str, str], ...] = ()
    values: dict[int, int] = field(default_factory=dict)
    low: float = 0.0
    high: float = 0.0
    image_voxels: str = ""
    label_voxels: str = ""
    figures: CaseFigures | None = None

    def to_json(self) -> str:
        """Text that :meth:`from_json` reads."""
        figures = self.figures.to_dict() if self.figures else None
        return json.dumps({**asdict(self), "version": SCAN_VERSION, "figures": figures}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CaseRecord:
        """Raises ValueError, KeyError or TypeError for anything but :meth:`to_json`'s text of this version."""
        data = json.loads(text)
        if data.pop("version") != SCAN_VERSION:
            raise ValueError("another version")
        data["problems"] = tuple(tuple(p) for p in data["problems"])
        data["values"] = {int(v): int(n) for v, n in data["values"].items()}
        data["figures"] = CaseFigures.from_dict(data["figures"]) if data["figures"] else None
        return cls(**data)


@dataclass(frozen=True)
class ScanJob:
    """What a worker needs to look at one case; ``known`` holds the sha256 of files that have not changed since."""

    id: str
    image: Path
    label: Path
    modality: str | None
    records: Path
    known: dict[Path, str]
    conversion: Conversion


@dataclass(frozen=True)
class ScanResult:
    """A case's record, the files to read from now on, the sha256 of every file, and those newly hashed."""

    id: str
    record: CaseRecord
    image: Path
    label: Path
    sha256: dict[Path, str]
    hashed: dict[Path, tuple[int, int, str]]  # size, time of change, sha256


def scan_case(job: ScanJob) -> ScanResult:
    """Look at one case, or find its record of before. What is wrong with it is in the record; raises OutputFailed."""
    sha256: dict[Path, str] = {}
    hashed: dict[Path, tuple[int, int, str]] = {}
    problems: list[tuple[str, str, str]] = []
    for kind, path in (("image", job.image), ("label", job.label)):
        try:
            sha256[path] = _hash(path, job.known, hashed)
        except OSError as error:
            problems.append(("error", f"{kind}-unreadable", f"{path.name} cannot be read: {error.strerror}"))
    if problems:
        return ScanResult(job.id, CaseRecord(tuple(problems)), job.image, job.label, sha256, hashed)
    image, label = job.image, job.label
    try:
        image = convert_image(job.conversion, job.id, image, sha256[image])
        label = convert_label(job.conversion, job.id, label, sha256[label])
    except OutputFailed:
        raise
    except BadInput as error:
        record = CaseRecord((("error", "not-converted", _without_path(str(error), job)),))
        return ScanResult(job.id, record, job.image, job.label, sha256, hashed)
    for path in (image, label):
        if path not in sha256:
            sha256[path] = _hash(path, job.known, hashed)
    key = hashlib.sha256(f"{sha256[image]}:{sha256[label]}:{job.modality}:{SCAN_VERSION}".encode()).hexdigest()[:24]
    kept = job.records / f"{key}.json"
    try:
        record = CaseRecord.from_json(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none yet, or damaged
        record = look_at(image, label, job.modality)
        write_text(kept, record.to_json())
    return ScanResult(job.id, record, image, label, sha256, hashed)


def look_at(image: Path, label: Path, modality: str | None) -> CaseRecord:
    """Read both files and record what they hold; every fault becomes a problem of the record."""
    problems: list[tuple[str, str, str]] = []
    volume = labels = None
    try:
        volume = read_volume(image)
    except ConstantImage as error:
        problems.append(("error", "constant-image", _cut(error, image, "the image")))
    except BadInput as error:
        problems.append(("error", "image-unreadable", _cut(error, image, "the image")))
    try:
        labels = read_labelmap(label)
    except NotALabelMap as error:
        problems.append(("error", "label-values", _cut(error, label, "the label map")))
    except BadInput as error:
        problems.append(("error", "label-unreadable", _cut(error, label, "the label map")))
    facts: dict[str, Any] = {}
    if volume is not None:
        for text in volume.warnings:
            code = "not-finite" if "NaN" in text else "header"
            problems.append(("warning", code, f"image: {text}"))
        facts |= {"low": float(volume.array.min()), "high": float(volume.array.max())}
        facts["image_voxels"] = _voxels(volume.array.astype(np.float32, copy=False))
    if labels is not None:
        problems += [("warning", "header", f"label map: {text}") for text in labels.warnings]
        present, counts = np.unique(labels.array, return_counts=True)
        if len(present) > MANY_VALUES:
            text = f"{len(present)} different label values: is this the image instead of its labels?"
            problems.append(("error", "label-values", text))
        pairs = zip(present[:MANY_VALUES].tolist(), counts.tolist(), strict=False)
        facts["values"] = {value: count for value, count in pairs if value}
        facts["label_voxels"] = _voxels(labels.array.astype(np.int32, copy=False))
    if volume is not None and labels is not None:
        apart = disagreement(volume.grid, labels.grid)
        if apart:
            text = f"image and label map lie on different grids: {apart.text}"
            problems.append((apart.severity, "geometry", text))
        one_grid = apart is None or apart.severity != "error"
        if one_grid and len(present) <= MANY_VALUES and present[-1] <= MAX_LABEL:
            facts["figures"] = measure_case(volume, labels, modality)
    return CaseRecord(problems=tuple(problems), **facts)


def _hash(path: Path, known: dict[Path, str], hashed: dict[Path, tuple[int, int, str]]) -> str:
    if path in known:
        return known[path]
    stat = path.stat()
    digest = sha256_file(path)
    hashed[path] = (stat.st_size, stat.st_mtime_ns, digest)
    return digest


def _voxels(array: np.ndarray) -> str:
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _cut(error: BadInput, path: Path, name: str) -> str:
    """The message without the path, since a record holds for every copy of the file."""
    return str(error).replace(str(path), name)


def _without_path(text: str, job: ScanJob) -> str:
    return text.replace(str(job.image), "the image").replace(str(job.label), "the label map")
