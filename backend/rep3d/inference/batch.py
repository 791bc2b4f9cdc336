"""Many scans with one set of weights: find them, name their results, go on when one is bad."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rep3d.data.reading import IMAGE_SUFFIXES, read_volume
from rep3d.data.volume import Volume
from rep3d.errors import BadInput, Cancelled, OutOfMemory, Rep3DError
from rep3d.files import check_free, check_path, read_record, remove_leftovers
from rep3d.inference.dicom_seg import require_dicom
from rep3d.inference.result import SegmentationResult
from rep3d.inference.writing import FORMATS, OutputFiles, check_writable, format_of, is_result_of, write_result
from rep3d.io.dicom.detect import has_dicom, is_dicom

Segment = Callable[[Volume], SegmentationResult]


@dataclass(frozen=True)
class Job:
    """One scan (file or DICOM folder) and where its result goes."""

    source: Path
    files: OutputFiles


@dataclass(frozen=True)
class Outcome:
    """What became of a job: a result, "skipped" because a whole one was there, or an error."""

    job: Job
    result: SegmentationResult | None = None
    error: Rep3DError | None = None
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """``done``, ``skipped`` or ``failed``."""
        return "failed" if self.error else "done" if self.result else "skipped"


def find_scans(inputs: list[Path]) -> list[Path]:
    """Every scan in ``inputs``: files as they are; of a folder its DICOM files as one series, its other images, and
    its subfolders with DICOM files. Results of earlier runs (``*_seg.*``) are left out.

    Raises:
        BadInput: a path does not exist or a folder holds no scan.
    """
    scans: list[Path] = []
    for path in inputs:
        check_path(path)
        if not path.exists():
            raise BadInput(f"{path}: no such file or folder.")
        if path.is_file():
            scans.append(path)
            continue
        entries, series = sorted(path.iterdir()), has_dicom(path)
        found = [path] if series else []
        found += [e for e in entries if e.is_file() and _is_image(e) and not _is_slice(e, series)]
        found += [e for e in entries if e.is_dir() and has_dicom(e)]
        if not found:
            raise BadInput(
                f"{path}: no scan in this folder.",
                "It should hold image files, DICOM files, or folders of DICOM files.",
            )
        scans += found
    return list({scan.resolve(): scan for scan in reversed(scans)}.values())[::-1]  # each once, in the order given


def _is_image(path: Path) -> bool:
    name = path.name.lower()
    suffix = next((s for s in IMAGE_SUFFIXES if name.endswith(s)), None)
    is_result = any(name.endswith(f"_seg.{fmt}") for fmt in FORMATS) or name.endswith(".seg.nrrd")
    return suffix is not None and suffix not in (".img",) and not name.startswith(".") and not is_result


def _is_slice(path: Path, series: bool) -> bool:
    """Whether the file belongs to DICOM series of its folder, or with none there is no scan by itself."""
    return is_dicom(path) or (series and path.suffix.lower() == ".dcm")  # damaged: reading the series says so


def stem_of(path: Path) -> str:
    """The name of a scan without the suffix of its image format."""
    if path.is_dir():
        return path.resolve().name
    suffix = next((s for s in sorted(IMAGE_SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)] if suffix else path.stem


def result_names(scans: list[Path]) -> list[str]:
    """A name for the result of each scan: its own, with those of as many parent folders as tell it from the others.

    ``a/ct.nii.gz`` and ``b/ct.nii.gz`` become ``a_ct`` and ``b_ct``. Names that are the same all the way up stay so.
    """
    parents = [[part for part in scan.resolve().parent.parts if part.strip("/\\")][::-1] for scan in scans]
    names = [stem_of(scan) for scan in scans]
    for depth in range(max(map(len, parents), default=0)):
        count = Counter(name.casefold() for name in names)
        clashing = [i for i, name in enumerate(names) if count[name.casefold()] > 1 and depth < len(parents[i])]
        if len({scans[i].resolve().parent for i in clashing}) < 2:
            break
        for i in clashing:
            names[i] = f"{parents[i][depth]}_{names[i]}"
    return names


def plan(inputs: list[Path], out: Path, fmt: str | None) -> list[Job]:
    """One job for every scan. ``out`` is a file for a single scan (its suffix is the format) or a folder.

    Raises:
        BadInput: no scan, two scans with one name, a file name for many scans, or a suffix that contradicts ``fmt``.
    """
    scans = find_scans(inputs)
    named = None if out.is_dir() else format_of(out)
    if named is not None:
        if len(scans) > 1:
            raise BadInput(f"{len(scans)} scans cannot go into one file {out}.", "Give a folder with -o.")
        if fmt is not None and fmt != named:
            raise BadInput(f"-o {out} contradicts --format {fmt}.", "Give one of them.")
        jobs = [Job(scans[0], OutputFiles.beside(out, named))]
    else:
        fmt = fmt or "nii.gz"
        if out.is_file():
            raise BadInput(f"-o {out} is a file whose name ends with none of: " + ", ".join(FORMATS) + ".")
        names = result_names(scans)
        jobs = [Job(s, OutputFiles.beside(out / f"{n}_seg.{fmt}", fmt)) for s, n in zip(scans, names)]
    taken: dict[str, Path] = {}
    for job in jobs:
        other = taken.setdefault(str(job.files.labels).casefold(), job.source)
        if other != job.source:
            raise BadInput(
                f"{other} and {job.source} would both be written to {job.files.labels}.", "Segment them separately."
            )
    sources = {scan.resolve(): scan for scan in scans}
    for job in jobs:
        for path in job.files.all():
            if path.resolve() in sources:
                scan = sources[path.resolve()]
                raise BadInput(f"The result would overwrite the scan {scan}.", "Choose another name with -o.")
    return jobs


def run_jobs(
    jobs: list[Job],
    segment: Segment,
    *,
    overwrite: bool = False,
    series_uid: str | None = None,
    on_start: Callable[[int, Job], None] | None = None,
    on_end: Callable[[int, Outcome], None] | None = None,
) -> list[Outcome]:
    """Work through ``jobs``. A scan that fails is recorded and the rest go on; Cancelled ends the batch.

    A whole result that exists already is left as it is unless ``overwrite``; one of another scan, or a file that is no
    result of ours, is an error.
    """
    for folder in {job.files.labels.parent for job in jobs}:
        check_writable(folder)
    outcomes = []
    for i, job in enumerate(jobs):
        if on_start is not None:
            on_start(i, job)
        outcome = run_job(job, segment, overwrite=overwrite, series_uid=series_uid)
        if on_end is not None:
            on_end(i, outcome)
        outcomes.append(outcome)
    return outcomes


def run_job(job: Job, segment: Segment, *, overwrite: bool = False, series_uid: str | None = None) -> Outcome:
    """One job of :func:`run_jobs`: skipped, done or failed. Raises Cancelled alone."""
    start = time.perf_counter()
    try:
        for path in job.files.all():
            remove_leftovers(path)  # of a process that was killed while it wrote
        if job.files.complete() and not overwrite:
            check_origin(job, series_uid)
            return Outcome(job)
        check_free(
            job.files.all(),
            overwrite=overwrite,
            record=job.files.json,
            same=lambda record: is_result_of(record, job.source, series_uid, job.files.labels),
        )
        volume = read_volume(job.source, series_uid=series_uid)
        volume = replace(volume, path=Path(os.path.abspath(job.source)))  # recorded: a result knows its scan
        if job.files.format == "dcm":
            require_dicom(volume)
        read = time.perf_counter() - start
        result = segment(volume)
        result = replace(result, timings_s={"read": read, **result.timings_s})
        write_result(result, job.files)
    except Cancelled:
        raise
    except Rep3DError as error:
        return Outcome(job, error=error, seconds=time.perf_counter() - start)
    except MemoryError:
        short = OutOfMemory(f"{job.source}: there is not enough memory for this scan.", "Close other programs.")
        return Outcome(job, error=short, seconds=time.perf_counter() - start)
    except Exception as error:
        if os.environ.get("REP3D_TRACEBACK"):
            raise
        unexpected = Rep3DError(
            f"{job.source}: unexpected {type(error).__name__}: {error}", "Set REP3D_TRACEBACK=1 to see where."
        )
        return Outcome(job, error=unexpected, seconds=time.perf_counter() - start)
    return Outcome(job, result, seconds=time.perf_counter() - start)


def check_origin(job: Job, series_uid: str | None) -> None:
    """Refuse to take the result of another scan, which happens to have the same name, for that of this one.

    Raises:
        BadInput: the result's JSON names another scan or series, or cannot be read.
    """
    hint = "Choose another folder with -o, or redo it with --overwrite."
    record = read_record(job.files.json) or {}
    try:
        origin = record["input"]
        path, uid = Path(origin["path"]), origin["series_uid"]
    except (KeyError, TypeError) as error:
        raise BadInput(f"{job.files.json}: does not say which scan it was made from.", hint) from error
    if series_uid is not None and uid is not None and uid != series_uid:
        raise BadInput(f"{job.files.labels} is the result of another series, {uid}.", hint)
    # Labels that somebody has changed since are left as they are, like any whole result.
    if not is_result_of({**record, "output": {}}, job.source, series_uid, job.files.labels):
        raise BadInput(f"{job.files.labels} is the result of another scan, {path}, not of {job.source}.", hint)
