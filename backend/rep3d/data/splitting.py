"""Which part of each fold a scan belongs to: the task's policy, the data set's folders, or an own file; by patient."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rep3d.data.data_list import UNUSED
from rep3d.data.dataset import SPLITS, assign_splits
from rep3d.data.layouts.base import Scan
from rep3d.errors import BadInput
from rep3d.files import sha256_file

Parts = dict[str, tuple[str, ...]]  # id -> its part in every fold


def with_patients(scans: Sequence[Scan], pattern: str = "", table: Path | None = None) -> tuple[Scan, ...]:
    """Scans with their patients: by the first group of a regular expression on the id, or by a table id,patient.

    Without either, names of the Brain Imaging Data Structure (``sub-01_ses-2_T1w``) give the subject, and any other
    scan is a patient of its own. Raises BadInput when the pattern or the table does not cover an id.
    """
    if pattern and table:
        raise BadInput("--patient-pattern and --patient-table exclude each other", "give one of them")
    if pattern:
        try:
            rule = re.compile(pattern)
        except re.error as error:
            raise BadInput(
                f'--patient-pattern "{pattern}" is no regular expression: {error}', 'e.g. "(.+)_scan"'
            ) from error
        if rule.groups != 1:
            raise BadInput(f'--patient-pattern "{pattern}" must have one group', 'the patient, e.g. "(STS_[0-9]+)_.*"')
        found = {scan.id: rule.match(scan.id) for scan in scans}
        lacking = [key for key, match in found.items() if not match or not match[1]]
        patients = {key: match[1] for key, match in found.items() if match}
        what = f'--patient-pattern "{pattern}"'
    elif table:
        patients = _patient_table(table)
        lacking = [scan.id for scan in scans if scan.id not in patients]
        what = str(table)
    else:
        bids = {scan.id: re.match(r"(sub-[A-Za-z0-9]+)_", scan.id) for scan in scans}
        patients = {key: match[1] if match else key for key, match in bids.items()}
        lacking, what = [], ""
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise BadInput(f"{what} gives no patient for {', '.join(lacking[:5])}{more}", "every id needs a patient")
    return tuple(replace(scan, patient=patients[scan.id]) for scan in scans)


def _patient_table(path: Path) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}", "a CSV file with the columns id,patient") from error
    if not rows or any(len(row) < 2 for row in rows):
        raise BadInput(f"{path} is not a table of two columns", "a CSV file with the columns id,patient")
    return {row[0].strip(): row[1].strip() for row in rows if row[0].strip().lower() != "id"}


def divide(
    scans: Sequence[Scan],
    policy: dict[str, Any],
    *,
    fold_count: int = 0,
    seed: int | None = None,
    file: Path | None = None,
) -> tuple[dict[str, Any], Parts]:
    """The policy that holds and every scan's part in each of its folds.

    In this order: an own split ``file``; the data set's own folders where all scans lie in them; ``fold_count`` folds,
    in which every patient is tested once; the task's policy (with another ``seed``). Patients are never divided.

    Raises BadInput when options contradict the data, or a fold would be left without training or validation cases.
    """
    patients = {scan.id: scan.patient for scan in scans}
    ids = sorted(patients)
    in_folders = bool(scans) and all(scan.part for scan in scans)
    if file is not None:
        if fold_count or seed is not None:
            raise BadInput("--splits comes without --fold-count and --split-seed", "the file says it all")
        policy, parts = _from_file(file, patients)
    elif in_folders:
        if fold_count or seed is not None:
            raise BadInput(
                "--fold-count and --split-seed do not apply: the data set's folders are the split", "leave them out"
            )
        if policy["kind"] != "folders":
            policy = {"kind": "folders", **{part: part for part in SPLITS}}
        parts = {scan.id: (scan.part,) for scan in scans}
    else:
        policy = dict(policy)
        if fold_count:
            if fold_count < 3:
                raise BadInput(f"--fold-count {fold_count} is too few", "3 or more: one fold tests, one validates")
            policy = {"kind": "folds", "seed": policy.get("seed", 0), "folds": fold_count}
            policy |= {"train": fold_count - 2, "val": 1, "test": 1}
        if seed is not None:
            if "seed" not in policy:
                raise BadInput(f"--split-seed does not apply to the split policy {policy['kind']}", "leave it out")
            policy["seed"] = seed
        folds = policy.get("folds", 1)
        each = [assign_splits(ids, policy, k, patients) for k in range(folds)]
        parts = {key: tuple(one[key] for one in each) for key in ids}
    for k in range(len(next(iter(parts.values()), ()))):
        for part in ("train", "val"):
            if not any(of[k] == part for of in parts.values()):
                where = f" in fold {k}" if k or policy.get("folds", 1) > 1 else ""
                message = f"no case is left for {part}{where} ({len(ids)} cases in all)"
                raise BadInput(message, "add cases, or choose another split with --fold-count N or --splits FILE")
    return policy, parts


def _from_file(path: Path, patients: dict[str, str]) -> tuple[dict[str, Any], Parts]:
    """A JSON object {"train": [ids], "val": [...], "test": [...]}, or a list of such objects, one a fold."""
    hint = 'a JSON object {"train": [ids], "val": [...], "test": [...]}, or a list of them, one a fold'
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        folds = data if isinstance(data, list) else [data]
        each = [{str(key): part for part in SPLITS for key in fold.get(part, [])} for fold in folds]
        listed = [[str(key) for part in SPLITS for key in fold.get(part, [])] for fold in folds]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadInput(f"{path} is no split file: {error}", hint) from error
    if not each or not all(each):
        raise BadInput(f"{path} lists no case", hint)
    for k, names in enumerate(listed):
        twice = sorted({n for n in names if names.count(n) > 1})
        unknown = sorted(set(names) - set(patients))
        if twice or unknown:
            what = f"lists {', '.join(twice[:5])} twice" if twice else f"lists unknown cases: {', '.join(unknown[:5])}"
            raise BadInput(f"{path}, fold {k}, {what}", "Every id of a case may stand in one part of a fold.")
        part_of: dict[str, str] = {}
        for key, part in each[k].items():
            if part_of.setdefault(patients[key], part) != part:
                raise BadInput(f"{path}, fold {k}: the patient {patients[key]} is in two parts", "Keep patients whole.")
    parts = {key: tuple(one.get(key, UNUSED) for one in each) for key in patients}
    return {"kind": "file", "folds": len(each), "sha256": sha256_file(path)}, parts


def proportions_note(policy: dict[str, Any], parts: Parts, patients: int) -> str:
    """A sentence when a policy of fixed counts meets another number of cases, else ""."""
    if policy["kind"] not in ("counts", "folds"):
        return ""
    wanted = [policy[part] for part in SPLITS]
    if sum(wanted) == patients or sum(wanted) <= policy.get("folds", 1):  # --fold-count gives shares, not counts
        return ""
    have = [sum(of[0] == part for of in parts.values()) for part in SPLITS]
    return (
        f"The policy's counts {'/'.join(map(str, wanted))} are for {sum(wanted)} patients; with {patients} its "
        f"proportions are kept: {'/'.join(map(str, have))} (train/val/test)."
    )
