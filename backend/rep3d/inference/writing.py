"""Write a result: the label map in the format that was asked for, and its numbers as JSON and CSV."""

from __future__ import annotations

import io
import json
import platform
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rep3d import __version__
from rep3d.errors import BadInput, OutputFailed
from rep3d.files import atomic_path, content_hash, read_record, sha256_file, temporary_path, write_text
from rep3d.inference.dicom_seg import require_dicom, write_dicom_seg
from rep3d.inference.nifti_writer import write_nifti
from rep3d.inference.nrrd_writer import write_nrrd, write_seg_nrrd
from rep3d.inference.result import SegmentationResult, segmentation_name
from rep3d.shown_text import CsvWriter

FORMATS = ("nii.gz", "nii", "seg.nrrd", "nrrd", "dcm")  # longest first where one ends with another
DISCLAIMER = "Research software, not a medical device."


@dataclass(frozen=True)
class OutputFiles:
    """Where one result goes: ``labels`` in ``format``, numbers in ``json`` and ``csv`` beside it."""

    labels: Path
    json: Path
    csv: Path
    format: str

    @classmethod
    def beside(cls, labels: Path, fmt: str) -> OutputFiles:
        """The three names for a label map at ``labels``."""
        stem = labels.name[: -len(fmt) - 1]
        return cls(labels, labels.with_name(f"{stem}.json"), labels.with_name(f"{stem}.csv"), fmt)

    def all(self) -> tuple[Path, Path, Path]:
        """Label map, CSV and JSON."""
        return self.labels, self.csv, self.json

    def complete(self) -> bool:
        """Whether a whole result is there already; the JSON file says so last."""
        record = read_record(self.json)
        return bool(record and record.get("complete", True)) and self.labels.is_file() and self.csv.is_file()


def format_of(path: Path) -> str | None:
    """The output format that a file name asks for, or None."""
    name = path.name.lower()
    return next((fmt for fmt in FORMATS if name.endswith("." + fmt) and len(name) > len(fmt) + 1), None)


def check_format(fmt: str) -> str:
    """``fmt`` without a leading dot if it is one of FORMATS, else BadInput."""
    fmt = fmt.lower().lstrip(".")
    if fmt not in FORMATS:
        raise BadInput(f"Unknown output format {fmt!r}.", "Choose one of " + ", ".join(FORMATS) + ".")
    return fmt


def check_writable(folder: Path) -> None:
    """Make ``folder`` and try a file in it, so that a long run does not end at a write error. Raises OutputFailed."""
    probe = temporary_path(folder / "write-test")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OutputFailed(
            f"cannot write into {folder}: {error.strerror or error}",
            "Check the folder, its permissions and free space.",
        ) from error


def write_result(result: SegmentationResult, files: OutputFiles) -> None:
    """Write label map, CSV and JSON, each atomically.

    The JSON file is written before the label map gets its name and once more at the end: it holds the label map's
    sha256, so that what a killed run leaves is known as ours, and labels that somebody changed are not.

    Raises:
        OutputFailed: no permission, disk full, name taken by a folder.
        BadInput: DICOM SEG was asked for a scan that was no DICOM series.
    """
    if files.format == "dcm":
        require_dicom(result.volume)
    for path in (files.labels, files.json, files.csv):
        if path.is_dir():
            raise OutputFailed(f"cannot write {path}: a folder has this name", "Choose another name with -o.")
    record = as_dict(result, files)

    def write_record(complete: bool) -> None:
        content = {**record, "complete": complete}
        write_text(files.json, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    with atomic_path(files.labels) as temporary:
        write_labels(temporary, result, files.format)
        record["output"]["sha256"] = sha256_file(temporary)
        write_record(complete=False)
    write_text(files.csv, as_csv(result))
    write_record(complete=True)


def is_result_of(record: dict[str, Any], source: Path, series_uid: str | None, labels: Path) -> bool:
    """Whether what a result's JSON file holds was made from this scan, and ``labels`` are as it left them.

    The scan is known by its path, or by its content where it lies elsewhere now. May raise KeyError and TypeError.
    """
    origin, written = record["input"], record["output"].get("sha256")
    if series_uid is not None and origin["series_uid"] not in (None, series_uid):
        return False
    here = Path(origin["path"]).resolve() == source.resolve()
    if not here and (origin.get("sha256") is None or origin["sha256"] != content_hash(source.resolve())):
        return False
    return written is None or not labels.is_file() or sha256_file(labels) == written


def write_labels(path: Path, result: SegmentationResult, fmt: str) -> None:
    """Write the label map alone to ``path`` in ``fmt`` (not atomic; OSError when the disk is full)."""
    series = segmentation_name("Rep3D segmentation", result.weights.get("demo_only", False))
    if fmt in ("nii.gz", "nii"):
        write_nifti(path, result.labelmap, result.volume, series)
    elif fmt == "nrrd":
        write_nrrd(path, result.labelmap, result.volume, {"Rep3D_Name": result.name})
    elif fmt == "seg.nrrd":
        write_seg_nrrd(path, result.labelmap, result.volume, result.labels, name=result.name)
    elif fmt == "dcm":
        algorithm = f"Rep3D {result.weights.get('id') or result.task.key}"
        write_dicom_seg(path, result.labelmap, result.volume, result.labels, algorithm, series)
    else:
        check_format(fmt)


def as_csv(result: SegmentationResult) -> str:
    """One line a structure: value, key, name, voxels, volume in mL, mean and SD of the scan's intensities."""
    out = io.StringIO()
    writer = CsvWriter(out)
    writer.writerow(["value", "key", "name", "voxels", "volume_ml", "mean", "sd"])
    for s in result.stats:
        mean, sd = ("" if v is None else f"{v:.6g}" for v in (s.mean, s.sd))
        writer.writerow([s.value, s.key, s.name, s.voxels, f"{s.volume_ml:.6g}", mean, sd])
    return out.getvalue()


def as_dict(result: SegmentationResult, files: OutputFiles) -> dict[str, Any]:
    """All that is known of a result, JSON-able: what it was made from, with what, how, and what was found."""
    grid = result.volume.grid
    series, path = result.volume.dicom, result.volume.path
    return {
        "rep3d_version": __version__,
        "note": DISCLAIMER,
        "name": result.name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "input": {
            "path": str(path) if path else None,
            "sha256": content_hash(path) if path and path.is_absolute() else None,
            "series_uid": series.uid if series else None,
            "size": list(grid.size),
            "spacing_mm": list(grid.spacing),
            "origin_lps_mm": list(grid.origin),
            "direction_lps": list(grid.direction),
        },
        "output": {"file": files.labels.name, "format": files.format},
        "task": {"key": result.task.key, "title": result.task.title, "modality": result.task.modality},
        "weights": result.weights,
        "settings": result.settings,
        "structures": [asdict(s) for s in result.stats],
        "cautions": [caution.to_dict() for caution in result.cautions],
        "warnings": list(result.warnings),
        "timings_s": {stage: round(seconds, 3) for stage, seconds in result.timings_s.items()},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of everything that a result depends on."""
    import numpy
    import scipy
    import SimpleITK
    import torch

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "SimpleITK": SimpleITK.Version.VersionString(),
        "platform": platform.platform(),
    }
