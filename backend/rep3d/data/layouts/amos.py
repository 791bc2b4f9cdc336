"""AMOS22 as published: imagesTr/labelsTr, imagesVa/labelsVa, imagesTs; CT and MR in one folder, told apart by id."""

from __future__ import annotations

import re
from pathlib import Path

from rep3d.data.findings import Finding, error, warning
from rep3d.data.layouts.base import (
    Layout,
    LayoutOptions,
    Scan,
    descend,
    images_in,
    pair,
    read_json,
    refuse_options,
    shown,
    value_names,
    wrong_layout,
)
from rep3d.errors import BadInput
from rep3d.tasks import Task

LAST_CT = 500  # amos_0001 to amos_0500 are CT, higher numbers MR
PARTS = {"tr": ("imagesTr", "labelsTr", "training"), "va": ("imagesVa", "labelsVa", "validation")}
PARTS["ts"] = ("imagesTs", "labelsTs", "test")
_NAME = re.compile(r"amos_(\d+)\Z")


def read(folder: Path, options: LayoutOptions, task: Task) -> Layout:
    """The scans of the task's modality. ``options.parts`` (default: tr) names the parts that are used.

    The paper divides the labelled training scans (200 CT); ``tr,va`` adds the published validation scans.
    Raises BadInput for another layout, an unknown part or a name that is not ``amos_NNNN``.
    """
    refuse_options("amos", options, ("parts",))
    root = descend(folder, ("imagesTr",))
    for name in ("imagesTr", "labelsTr"):
        if not (root / name).is_dir():
            raise wrong_layout(
                "AMOS22", root, f"the folder {name}", "It needs imagesTr/ and labelsTr/ with amos_0001.nii.gz ..."
            )
    parts = options.parts or ("tr",)
    if unknown := [p for p in parts if p not in PARTS]:
        raise BadInput(f"--parts {','.join(unknown)} is not known", "use tr, va and ts, e.g. --parts tr,va")
    scans: list[Scan] = []
    findings: list[Finding] = []
    counts = {"CT": 0, "MR": 0}
    for part in parts:
        image_folder, label_folder, _ = PARTS[part]
        if not (root / image_folder).is_dir() or not (root / label_folder).is_dir():
            raise wrong_layout(
                "AMOS22", root, f"{image_folder} or {label_folder}", "Leave that part out of --parts, or download it."
            )
        image_of = _of_modality(root / image_folder, task, counts)
        label_of = _of_modality(root / label_folder, task, {"CT": 0, "MR": 0})
        pairs, missing = pair(image_of, label_of, root)
        findings += missing
        scans += [Scan(key, key, image, label) for key, image, label in pairs]
    names = None
    recognised = [
        f"AMOS22: {', '.join(PARTS[p][0] for p in parts)} with names amos_NNNN; "
        f"{counts['CT']} CT (ids up to {LAST_CT}) and {counts['MR']} MR, of which the task {task.key} takes the "
        f"{task.modality}."
    ]
    listed = root / "dataset.json"
    if listed.is_file():
        content = read_json(listed)
        names = value_names(content.get("labels", {}), listed)
        findings += _compare(content, parts, scans, root, task)
        recognised.append("dataset.json names the labels and lists the cases.")
    for part in ("va", "ts"):
        if part not in parts and (root / PARTS[part][1]).is_dir():
            recognised.append(f"{PARTS[part][1]} is there and not used; --parts {','.join((*parts, part))} adds it.")
    ids: dict[str, Scan] = {}
    for scan in scans:
        if scan.id in ids:
            findings.append(error("duplicate-id", f"{scan.id} lies in two of {', '.join(parts)}", scan.id))
        ids[scan.id] = scan
    ordered = tuple(ids[key] for key in sorted(ids))
    return Layout("amos", root, ordered, tuple(recognised), tuple(findings), names, task.modality)


def _of_modality(folder: Path, task: Task, counts: dict[str, int]) -> dict[str, Path]:
    """The files of the task's modality by id; ``counts`` gains one for every file."""
    found = {}
    for key, path in images_in(folder).items():
        match = _NAME.match(key)
        if not match:
            raise BadInput(f"{path} is not named as AMOS22's files are", "They are called amos_0001.nii.gz and so on.")
        modality = "CT" if int(match[1]) <= LAST_CT else "MR"
        counts[modality] += 1
        if modality == task.modality:
            found[key] = path
    return found


def _compare(content: dict, parts: tuple[str, ...], scans: list[Scan], root: Path, task: Task) -> list[Finding]:
    """Files that dataset.json lists and that are not there, and the reverse."""
    findings = []
    have = {scan.image.name: scan.id for scan in scans}
    for part in parts:
        entries = content.get(PARTS[part][2])
        if not isinstance(entries, list):
            continue
        names = {Path(str(e.get("image", "") if isinstance(e, dict) else e)).name for e in entries}
        wanted = {n for n in names if (m := _NAME.match(n.removesuffix(".nii.gz"))) and _modality(m) == task.modality}
        present = {p.name for p in images_in(root / PARTS[part][0]).values()}
        for name in sorted(wanted - present):
            key = name.removesuffix(".nii.gz")
            message = f"{PARTS[part][0]}/{name} is listed in dataset.json but not there"
            findings.append(error("listed-missing", message, key))
        extra = sorted(have[n] for n in (set(have) & present) - names)
        if extra and names:
            message = f"in {shown(root / PARTS[part][0], root)} but not in dataset.json; used all the same"
            findings.append(warning("not-listed", message, *extra))
    return findings


def _modality(match: re.Match) -> str:
    return "CT" if int(match[1]) <= LAST_CT else "MR"
