"""From the records of all cases to findings: everything that is wrong with a data set for a task, at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from rep3d.data.case_scan import CaseRecord
from rep3d.data.findings import Finding, error, sort_findings, warning
from rep3d.data.layouts.base import Layout, Scan
from rep3d.data.preprocess import resampled_size
from rep3d.io.segments import plain_name
from rep3d.tasks import Task

SPACING_MM = (0.1, 12.0)  # voxel edges outside this are unusual for the networks of this package
ABSURD_MM = (0.02, 50.0)  # and outside this a wrong unit
EXTENT_MM = (10.0, 2500.0)  # edges of the field of view
OUTLIER = 5.0  # times the cohort's median spacing
GRID_VOXELS = 1 << 30  # on the network's grid; a larger one comes from a wrong spacing


def judge(layout: Layout, records: Mapping[str, CaseRecord], task: Task) -> tuple[Finding, ...]:
    """All findings about the scans of a layout; ``records``: id -> what reading the case has shown."""
    findings = list(layout.findings)
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for key, record in records.items():
        for problem in record.problems:
            alike[problem].append(key)
        findings += _labels(key, record, task)
        findings += _grid(key, record, task)
        findings += _intensities(key, record, task)
    for (severity, code, text), keys in alike.items():  # one finding for a fault that many cases share
        findings.append(Finding(severity, code, text, tuple(sorted(keys))))
    findings += _patients(layout.scans)
    findings += _names(layout, task)
    findings += _duplicates(layout.scans, records)
    findings += _cohort(records, task)
    return sort_findings(findings)


def _labels(key: str, record: CaseRecord, task: Task) -> list[Finding]:
    if not record.label_voxels:
        return []
    strange = [v for v in record.values if v >= task.num_classes]
    if strange and not any(code == "label-values" for _, code, _ in record.problems):
        voxels = ", ".join(f"{v} ({record.values[v]} voxels)" for v in strange[:6])
        more = f" and {len(strange) - 6} more" if len(strange) > 6 else ""
        text = f"label values {voxels}{more} are not the task's, which are 0 to {task.num_classes - 1}"
        return [error("label-values", text, key)]
    if not record.values:
        return [warning("empty-label", "the label map is empty: every voxel is background", key)]
    return []


def _grid(key: str, record: CaseRecord, task: Task) -> list[Finding]:
    if record.figures is None:
        return []
    spacing, size = record.figures.spacing_mm, record.figures.size_voxels
    shown = " x ".join(f"{s:.4g}" for s in spacing)
    found = []
    target = [resampled_size(n, s, t) for n, s, t in zip(size, spacing, task.spacing_mm, strict=True)]
    if np.prod(target, dtype=float) > GRID_VOXELS:
        text = f"with voxels of {shown} mm the network's grid would have {' x '.join(map(str, target))} voxels"
        found.append(error("grid-too-large", text, key))
    if min(spacing) < ABSURD_MM[0] or max(spacing) > ABSURD_MM[1]:
        found.append(error("spacing", f"voxels of {shown} mm: is the unit not millimetres?", key))
    elif min(spacing) < SPACING_MM[0] or max(spacing) > SPACING_MM[1]:
        found.append(warning("spacing", f"unusual voxels of {shown} mm", key))
    extent = [s * n for s, n in zip(spacing, size, strict=True)]
    if not found and (min(extent) < EXTENT_MM[0] or max(extent) > EXTENT_MM[1]):
        text = f"an unusual field of view of {' x '.join(f'{e:.4g}' for e in extent)} mm"
        found.append(warning("field-of-view", text, key))
    return found


def _intensities(key: str, record: CaseRecord, task: Task) -> list[Finding]:
    if not record.image_voxels:
        return []
    found = []
    clip = task.intensity.clip
    if clip and (record.high <= clip[0] or record.low >= clip[1]):
        text = f"intensities {record.low:g} to {record.high:g} lie outside the task's window {clip[0]:g} to {clip[1]:g}"
        found.append(error("outside-window", text, key))
    elif task.modality == "CT" and record.low >= 0:
        text = f"the lowest intensity is {record.low:g}, and a CT in HU holds negative values: is the offset missing?"
        found.append(warning("not-hu", text, key))
    return found


def _patients(scans: Sequence[Scan]) -> list[Finding]:
    """Where the data set's own folders are the split: patients with scans in two of them."""
    parts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for scan in scans:
        if scan.part:
            parts[scan.patient][scan.part].append(scan.id)
    return [
        error("patient-split", f"scans of the patient {patient} lie in {' and '.join(sorted(of))}", *sorted(_flat(of)))
        for patient, of in sorted(parts.items())
        if len(of) > 1
    ]


def _flat(of: Mapping[str, list[str]]) -> list[str]:
    return [key for keys in of.values() for key in keys]


def _names(layout: Layout, task: Task) -> list[Finding]:
    """A modality that is not the task's; a structure to which data set and task give different values."""
    if layout.modality and layout.modality != task.modality:
        return [error("modality", f"the data are {layout.modality}, the task {task.key} is for {task.modality}")]
    if not layout.names:
        return []
    value_of = {plain_name(name): label.value for label in task.labels for name in (label.key, label.name)}
    swapped = [
        f"{name} is {value} in the data set and {value_of[plain_name(name)]} in the task"
        for value, name in layout.names.items()
        if value_of.get(plain_name(name), value) != value
    ]
    return [error("label-order", "; ".join(swapped))] if swapped else []


def _duplicates(scans: Sequence[Scan], records: Mapping[str, CaseRecord]) -> list[Finding]:
    """One image under several ids, and one label map for different images, by the sha256 of their voxels."""
    found = []
    scan_of = {scan.id: scan for scan in scans}
    images, labels = defaultdict(list), defaultdict(list)
    for key in sorted(records):
        record = records[key]
        if record.image_voxels:
            images[record.image_voxels].append(key)
        if record.label_voxels and record.values:
            labels[record.label_voxels].append(key)
    for keys in images.values():
        if len(keys) < 2:
            continue
        parts = sorted({scan_of[k].part for k in keys})
        together = len({scan_of[k].patient for k in keys}) == 1 or parts[0] != ""
        if len(parts) == 1 and together:
            found.append(warning("duplicate-image", "one image under several ids, in one part of the split", *keys))
            continue
        where = "so that it could be in two parts of a split"
        if len(parts) > 1:
            where = f"in the parts {' and '.join(parts)}"
            keys = sorted(keys, key=lambda k: (scan_of[k].part, k))  # test before train: that is the one to keep
        found.append(error("duplicate-image", f"one image under several ids, {where}", *keys, keep_one=True))
    for keys in labels.values():
        if len({records[k].image_voxels for k in keys}) > 1:
            found.append(warning("duplicate-label", "one label map for different images", *keys))
    return found


def _cohort(records: Mapping[str, CaseRecord], task: Task) -> list[Finding]:
    """What only all cases together show: classes that are missing, a spacing far from the others'."""
    found = []
    read = {key: r for key, r in records.items() if r.label_voxels}
    for label in task.labels:
        lack = sorted(key for key, r in read.items() if label.value not in r.values and r.values)
        if lack and len(lack) == len(read):
            found.append(warning("class-missing", f"{label.name} ({label.value}) is in no case at all"))
        elif lack:
            text = f"{label.name} ({label.value}) is not in {len(lack)} of {len(read)} cases"
            found.append(warning("class-missing", text, *lack))
    figures = {key: r.figures for key, r in records.items() if r.figures}
    if len(figures) >= 5:
        median = np.median([f.spacing_mm for f in figures.values()], axis=0)
        for key, f in sorted(figures.items()):
            ratio = np.array(f.spacing_mm) / median
            if ratio.max() > OUTLIER or ratio.min() < 1 / OUTLIER:
                shown = " x ".join(f"{s:.4g}" for s in f.spacing_mm)
                usual = " x ".join(f"{s:.4g}" for s in median)
                found.append(warning("spacing-outlier", f"voxels of {shown} mm, where the median is {usual} mm", key))
    return found
