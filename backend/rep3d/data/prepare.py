"""``rep3d prepare``: from a download to a folder that training and evaluation take.

Reads a layout, looks at every case, reports all that is wrong, and only then writes: cache, fingerprint, task, and last
the data list, whose presence says that the rest is there. Killed at any point, the same call goes on where it was.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rep3d.data.cache import FileHashes
from rep3d.data.case_scan import CaseRecord, ScanJob, ScanResult, scan_case
from rep3d.data.convert import FOLDER as CONVERTED
from rep3d.data.convert import Conversion
from rep3d.data.data_list import FILE, Entry, changes, is_prepared, list_content, read_list
from rep3d.data.findings import FORMAT as INTEGRITY
from rep3d.data.findings import Report
from rep3d.data.fingerprint import Fingerprint
from rep3d.data.integrity import judge
from rep3d.data.layouts import Layout, LayoutOptions, Scan, read_layout
from rep3d.data.nifti_header import read_nifti_header
from rep3d.data.parallel import choose_workers, run_jobs
from rep3d.data.prefill import BYTES_PER_VOXEL, Progress, fill_cache
from rep3d.data.splitting import divide, proportions_note, with_patients
from rep3d.errors import BadInput, OutputFailed
from rep3d.files import check_free, sweep, write_text
from rep3d.runtime.packages import need
from rep3d.tasks import Task


@dataclass(frozen=True)
class PrepareConfig:
    """What to prepare and how; see docs/data.md and ``rep3d prepare --help`` for every field.

    map_labels: label value in the files -> value of the task, for values that are to change (0: background).
    workers: processes; 0: one a processor, as far as memory goes. update: accept a data set that has changed.
    """

    kind: str
    task: Task
    layout: LayoutOptions = field(default_factory=LayoutOptions)
    exclude: tuple[str, ...] = ()
    skip_broken: bool = False
    map_labels: dict[int, int] = field(default_factory=dict)
    patient_pattern: str = ""
    patient_table: Path | None = None
    fold_count: int = 0
    split_seed: int | None = None
    splits: Path | None = None
    workers: int = 0
    cache: bool = True
    update: bool = False

    def settings(self) -> dict[str, Any]:
        """What decides which files are used and how, JSON-able; a prepared folder keeps it."""
        chosen = {k: v for k, v in asdict(self.layout).items() if v != getattr(LayoutOptions(), k)}
        chosen = {k: list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}
        if self.map_labels:
            chosen["map_labels"] = {str(k): v for k, v in sorted(self.map_labels.items())}
        return chosen


@dataclass(frozen=True)
class Prepared:
    """What a preparation has done: its report, the content of data.json, sentences for the user, cache counts."""

    folder: Path
    report: Report
    content: dict[str, Any]
    notes: tuple[str, ...]
    cached: dict[str, int]


def prepare(config: PrepareConfig, source: Path, out: Path, progress: Progress | None = None) -> Prepared:
    """Prepare ``source`` in the folder ``out``.

    Raises BadInput when the layout does not fit, integrity errors remain (integrity.json and integrity.txt are then
    written, data.json is not), or ``out`` holds another preparation; OutputFailed when ``out`` cannot be written or
    is too small; OutOfMemory.
    """
    source, out = source.expanduser().resolve(), out.expanduser().resolve()
    if out == source or source.is_relative_to(out):
        raise BadInput(f"the prepared folder {out} must not hold its source {source}", "choose another folder")
    report_progress = progress or (lambda stage, done, total: None)
    layout = read_layout(config.kind, source, config.layout, config.task)
    scans = with_patients(layout.scans, config.patient_pattern, config.patient_table)
    layout = replace(layout, scans=scans, names=_mapped(layout.names, config.map_labels))
    check_free(
        [out / name for name in ("integrity.json", "integrity.txt", "fingerprint.json", "task.yaml", FILE)],
        overwrite=None,
        record=out / "integrity.json",
        same=lambda record: record["format"] == INTEGRITY,
    )
    with _only_one(out):
        _remove_partials(out)
        hashes = FileHashes(out / "cache" / "hashes.json")
        results = _scan(config, layout, out, hashes, report_progress)
        records = {key: result.record for key, result in results.items()}
        report = _report(config, layout, records)
        report.write(out)
        if report.errors:
            raise _refusal(report, out)
        kept = [scan for scan in layout.scans if scan.id not in report.excluded]
        if not kept:
            raise BadInput(f"no case of {source} is left", f"{out / 'integrity.txt'} says what was wrong with each")
        policy, parts = divide(
            kept, config.task.split, fold_count=config.fold_count, seed=config.split_seed, file=config.splits
        )
        entries = [_entry(scan, results[scan.id], parts[scan.id], layout.root, out, config) for scan in kept]
        content = list_content(
            entries, task=config.task, kind=config.kind, source=layout.root, prepared=out, policy=policy,
            recognised=layout.recognised, excluded=report.excluded, settings=config.settings(),
        )  # fmt: skip
        notes = [*layout.recognised, proportions_note(policy, parts, content["patients"])]
        notes += _compare(content, out, config)
        figures = {key: record.figures for key, record in records.items() if record.figures}
        cached = (
            fill_cache(config.task, entries, figures, out, hashes, config.workers, report_progress)
            if config.cache
            else {}
        )
        training = [figures[e.id] for e in entries if e.parts[0] == "train"]
        names = {label.value: label.name for label in config.task.labels}
        Fingerprint.combine(training, names, config.task.modality).write(out / "fingerprint.json")
        write_text(out / "task.yaml", _task_text(config.task, policy))
        write_text(out / FILE, _json(content))
        _remove_partials(out)  # again: workers of a killed run may have lived on for a moment
    return Prepared(out, report, content, tuple(note for note in notes if note), cached)


@contextlib.contextmanager
def _only_one(out: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends, however it ends."""
    need("preparation")
    import filelock

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise BadInput(
            f"another `rep3d prepare` is at work in {out}", "wait for it, or choose another folder"
        ) from None
    except OSError as error:
        raise OutputFailed(f"cannot write the folder {out}: {error.strerror}", "choose another one") from error
    try:
        yield
    finally:
        lock.release()


def _remove_partials(out: Path) -> None:
    """Temporary files that a killed run has left; a training that writes to the cache at this moment keeps its own."""
    for folder in (out, out / "cache", out / "cache" / "scans", out / CONVERTED):
        sweep(folder)


def _mapped(names, table: dict[int, int]):
    """The data set's own names after the values have been mapped; where several become one, the names are dropped."""
    if not names or not table:
        return names
    found: dict[int, list[str]] = {}
    for value, name in names.items():
        found.setdefault(table.get(value, value), []).append(name)
    return {value: of[0] for value, of in sorted(found.items()) if value and len(of) == 1}


def _scan(
    config: PrepareConfig, layout: Layout, out: Path, hashes: FileHashes, progress: Progress
) -> dict[str, ScanResult]:
    """Look at every case, in several processes; what was seen before is not read again."""
    jobs = []
    for scan in layout.scans:
        known = {path: sha for path in (scan.image, scan.label) if (sha := hashes.known(path))}
        conversion = Conversion(out / CONVERTED, scan.channel, config.map_labels, config.task.labels)
        jobs.append(
            ScanJob(scan.id, scan.image, scan.label, config.task.modality, out / "cache" / "scans", known, conversion)
        )
    workers = choose_workers(config.workers, BYTES_PER_VOXEL * _most_voxels([s.image for s in layout.scans]), len(jobs))
    results: dict[str, ScanResult] = {}
    try:
        for result in run_jobs(scan_case, jobs, workers):
            results[result.id] = result
            for path, (size, mtime, sha) in result.hashed.items():
                hashes.remember(path, size, mtime, sha)
            if len(results) % 20 == 0 and result.hashed:
                hashes.save()
            progress("checking", len(results), len(jobs))
    finally:
        hashes.save()
    return {scan.id: results[scan.id] for scan in layout.scans}


def _most_voxels(images: list[Path]) -> int:
    """Voxels of the largest image, by its header; by the file's size where that cannot be read."""
    most = 0
    for path in images:
        try:
            header = read_nifti_header(path)
            voxels = int(np.prod([max(1, n) for n in header.size], dtype=np.int64)) if header else path.stat().st_size
        except (BadInput, OSError):
            continue  # reported when the case is read
        most = max(most, voxels)
    return most


def _report(config: PrepareConfig, layout: Layout, records: dict[str, CaseRecord]) -> Report:
    findings = judge(layout, records, config.task)
    known = {scan.id for scan in layout.scans} | {key for f in findings for key in f.cases}
    if unknown := sorted(set(config.exclude) - known):
        raise BadInput(f"--exclude names cases that are not there: {', '.join(unknown)}", "check the ids")
    excluded = {}
    for key in config.exclude:
        codes = sorted({f.code for f in findings if f.severity == "error" and key in f.cases})
        excluded[key] = "--exclude" + (f" ({', '.join(codes)})" if codes else "")
    if config.skip_broken:
        errors = [finding for finding in findings if finding.severity == "error"]
        for finding in sorted(errors, key=lambda f: f.keep_one):  # duplicates last: one of them may be gone by then
            for key in finding.to_drop(excluded.keys()):
                excluded[key] = f"--skip-broken ({finding.code}: {finding.message})"
    return Report(
        str(layout.root), config.task.key, layout.recognised, len(records), findings, dict(sorted(excluded.items()))
    )


def _refusal(report: Report, out: Path) -> BadInput:
    errors = report.errors
    shown = [f"{', '.join(f.cases[:3]) + ': ' if f.cases else ''}{f.message}" for f in errors[:5]]
    more = f"\n  ... and {len(errors) - 5} more" if len(errors) > 5 else ""
    whole = [f for f in errors if not f.cases]
    hint = f"All findings: {out / 'integrity.txt'}. "
    if whole:
        hint += "Errors of the data set as a whole cannot be skipped: is it the right --task?"
    else:
        hint += "Mend the files, leave cases out with --exclude ID,ID, or all of these with --skip-broken."
    lines = "\n  ".join(shown)
    return BadInput(f"the data set has {len(errors)} errors, nothing was prepared:\n  {lines}{more}", hint)


def _entry(
    scan: Scan, result: ScanResult, parts: tuple[str, ...], root: Path, out: Path, config: PrepareConfig
) -> Entry:
    made: dict[str, dict[str, Any]] = {}
    names = {}
    for kind, before, now in (("image", scan.image, result.image), ("label", scan.label, result.label)):
        original = before.relative_to(root).as_posix() if before.is_relative_to(root) else before.as_posix()
        names[kind] = original
        if now != before:
            names[kind] = now.relative_to(out).as_posix()
            made[kind] = {"from": original, "from_sha256": result.sha256[before]}
            made[kind] |= {"channel": scan.channel} if kind == "image" else config.settings()
    return Entry(
        scan.id, scan.patient, parts, result.image, result.label, names["image"], names["label"],
        result.sha256[result.image], result.sha256[result.label], made,
    )  # fmt: skip


def _compare(content: dict[str, Any], out: Path, config: PrepareConfig) -> list[str]:
    """Refuse to overwrite another preparation in silence; say when only the place of the scans is new."""
    if not is_prepared(out):
        return []
    old = read_list(out)
    lines = changes(old, content)
    if lines and not config.update:
        more = f"\n  ... and {len(lines) - 10} more" if len(lines) > 10 else ""
        raise BadInput(
            f"{out} was prepared from other data or with other options:\n  " + "\n  ".join(lines[:10]) + more,
            "Put the data back, give --update to accept what is new, or choose another folder.",
        )
    notes = [f"Updated: {len(lines)} changes, e.g. {lines[0]}."] if lines else []
    if old["source"] != content["source"]:
        notes.append(f"The same files, now at {content['source']}.")
    return notes


def _task_text(task: Task, policy: dict[str, Any]) -> str:
    """task.yaml: the task with the split policy that holds here, so far as a task file can say it."""
    content = task.to_dict()
    if policy["kind"] != "file":
        content["split"] = policy
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
