"""data.json of a prepared folder: every case with its patient, its part in each fold, its files and their sha256."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rep3d.data.dataset import SPLITS, Case, Dataset
from rep3d.errors import BadInput
from rep3d.tasks import Task

FILE = "data.json"
FORMAT, VERSION = "rep3d-dataset", 1
UNUSED = "unused"  # the part of a case that an own split file leaves out of a fold


@dataclass(frozen=True)
class Entry:
    """One case of a prepared folder.

    parts: its part (train, val, test or unused) in every fold. image, label: the files that are read. image_name,
    label_name: their paths as listed, relative to the source, or to the prepared folder where ``made`` says that the
    preparation wrote them (``made``: "image" or "label" -> what from).
    """

    id: str
    patient: str
    parts: tuple[str, ...]
    image: Path
    label: Path
    image_name: str
    label_name: str
    image_sha256: str
    label_sha256: str
    made: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: ``split`` for one split, ``folds`` (one part a fold) for several."""
        parts = {"split": self.parts[0]} if len(self.parts) == 1 else {"folds": list(self.parts)}
        return {
            "id": self.id,
            "patient": self.patient,
            **parts,
            "image": self.image_name,
            "label": self.label_name,
            "image_sha256": self.image_sha256,
            "label_sha256": self.label_sha256,
            "image_path": str(self.image),
            "label_path": str(self.label),
            **({"made": self.made} if self.made else {}),
        }


def list_content(
    entries: Sequence[Entry], *, task: Task, kind: str, source: Path, prepared: Path, policy: dict[str, Any],
    recognised: Sequence[str], excluded: dict[str, str], settings: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The content of data.json. Its ``sha256`` covers ids, patients, parts, names and hashes, not where files lie."""
    cases = [entry.to_dict() for entry in sorted(entries, key=lambda e: e.id)]
    lasting = [{k: v for k, v in case.items() if not k.endswith("_path")} for case in cases]
    canonical = json.dumps(lasting, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    folds = len(entries[0].parts)
    counts = [{part: sum(e.parts[k] == part for e in entries) for part in SPLITS} for k in range(folds)]
    return {
        "format": FORMAT,
        "version": VERSION,
        "task": task.key,
        "labels": [[label.value, label.key] for label in task.labels],
        "modality": task.modality,
        "layout": kind,
        "recognised": list(recognised),
        "source": str(source),
        "source_relative": _relative(source, prepared),
        "policy": policy,
        "folds": folds,
        "counts": counts[0] if folds == 1 else counts,
        "patients": len({e.patient for e in entries}),
        "settings": settings,
        "excluded": [{"id": key, "reason": why} for key, why in sorted(excluded.items())],
        "sha256": hashlib.sha256(canonical.encode("utf-8")).hexdigest(),
        "cases": cases,
    }


def _relative(source: Path, prepared: Path) -> str | None:
    """The way from the prepared folder to its source, None where there is none (another drive on Windows)."""
    try:
        return Path(os.path.relpath(source, prepared)).as_posix()
    except ValueError:
        return None


def is_prepared(folder: Path) -> bool:
    """Whether ``rep3d prepare`` has made this folder."""
    try:
        return '"rep3d-dataset"' in (folder / FILE).read_text(encoding="utf-8")[:200]
    except (OSError, UnicodeDecodeError):
        return False


def read_list(folder: Path) -> dict[str, Any]:
    """The content of a prepared folder's data.json. Raises BadInput when it is damaged or of another version."""
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged: {error}", "Run `rep3d prepare` again.") from error
    if content.get("format") != FORMAT or version != VERSION:
        raise BadInput(f"{path} is of version {version}; {VERSION} is known here", "Run `rep3d prepare` again.")
    return content


def open_prepared(folder: Path, task: Task, fold: int = 0) -> Dataset:
    """The data set of a prepared folder, in one fold.

    Raises BadInput when it was prepared for other labels, the fold does not exist, or scans are not where they were.
    """
    content = read_list(folder)
    mine = [[label.value, label.key] for label in task.labels]
    if content["labels"] != mine:
        raise BadInput(
            f"{folder} was prepared for the labels of {content['task']}, not for those of {task.key}",
            f"use --task {folder / 'task.yaml'}, or prepare the data for {task.key}",
        )
    folds = content["folds"]
    if not 0 <= fold < folds:
        if folds == 1:
            raise BadInput(f"--fold {fold} does not apply: {folder} has one split", "leave --fold out")
        raise BadInput(f"fold {fold} does not exist: {folder} has {folds}", f"Use 0 to {folds - 1}.")
    source = find_source(content, folder)
    cases, expected, missing = [], {}, []
    for entry in content["cases"]:
        files = {}
        for kind in ("image", "label"):
            base = folder if kind in entry.get("made", {}) else source
            files[kind] = base / entry[kind]
            expected[files[kind]] = entry[f"{kind}_sha256"]
            if not files[kind].is_file():
                missing.append(str(files[kind]))
        part = entry["folds"][fold] if folds > 1 else entry["split"]
        if part != UNUSED:
            cases.append(Case(entry["id"], part, files["image"], files["label"], entry["patient"]))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise BadInput(
            f"files of the prepared folder {folder} are missing: {', '.join(missing[:3])}{more}",
            "Put them back, or prepare the data again.",
        )
    ordered = tuple(sorted(cases, key=lambda c: c.id))
    used = {path: expected[path] for case in ordered for path in (case.image, case.label)}
    return Dataset(
        source, ordered, layout=content["layout"], policy=content["policy"], prepared=folder, cache=folder / "cache",
        expected=used,
    )  # fmt: skip


def find_source(content: dict[str, Any], folder: Path) -> Path:
    """Where the scans are: where they were, or at the same place relative to the prepared folder.

    Raises BadInput when they are at neither.
    """
    places = [Path(content["source"])]
    if content.get("source_relative"):
        places.append((folder / content["source_relative"]).resolve())
    first = next((e for e in content["cases"] if "image" not in e.get("made", {})), None)
    for place in places:
        if place.is_dir() and (first is None or (place / first["image"]).is_file()):
            return place
    raise BadInput(
        f"the scans of the prepared folder {folder} are not at {content['source']} any more",
        f"Run `rep3d prepare {content['layout']} NEW_PLACE {folder}` with the options of before: the files are known "
        "by their hashes, and what was made of them is kept.",
    )


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two contents of data.json other than where the scans lie, in lines for the user."""
    before, after = ({c["id"]: c for c in content["cases"]} for content in (old, new))
    lines = [f"{key} is new" for key in sorted(after.keys() - before.keys())]
    lines += [f"{key} is gone" for key in sorted(before.keys() - after.keys())]
    both = [(key, before[key], after[key]) for key in sorted(before.keys() & after.keys())]
    for kind in ("image", "label"):
        lines += [f"{b[kind]} has other content" for _, a, b in both if a[f"{kind}_sha256"] != b[f"{kind}_sha256"]]
    for name in ("patient", "split", "folds"):
        lines += [
            f"{key}: {name} was {a.get(name)}, is {b.get(name)}" for key, a, b in both if a.get(name) != b.get(name)
        ]
    names = ("task", "labels", "layout", "policy", "folds", "settings", "excluded")
    lines += [f"{name} was {old.get(name)}, is {new.get(name)}" for name in names if old.get(name) != new.get(name)]
    return lines
