"""KiTS19, KiTS21 and KiTS23 as published: a folder a case with imaging.nii.gz and a label file.

KiTS volumes are stored with permuted axes (the first index runs along the patient). Nothing here depends on that:
everything after reading goes by the affine.
"""

from __future__ import annotations

import re
from pathlib import Path

from rep3d.data.findings import Finding, error
from rep3d.data.layouts.base import Layout, LayoutOptions, Scan, refuse_options, wrong_layout
from rep3d.errors import BadInput
from rep3d.tasks import Task

IMAGE = "imaging.nii.gz"
#: Label files in the order in which they are looked for: KiTS19 and KiTS23, then KiTS21's majority vote.
LABELS = ("segmentation.nii.gz", "aggregated_MAJ_seg.nii.gz")
FIRST_TEST_19 = 210  # KiTS19's cases from here on were published without labels
_CASE = re.compile(r"case_(\d{5})\Z")
_NEEDS = "It needs case_00000/imaging.nii.gz with segmentation.nii.gz or aggregated_MAJ_seg.nii.gz beside it."


def read(folder: Path, options: LayoutOptions, task: Task) -> Layout:
    """Every case that has a label file; ``options.label_file`` chooses another one, such as aggregated_AND_seg.nii.gz.

    Raises BadInput for another layout.
    """
    refuse_options("kits", options, ("label_file",))
    root = next((p for p in (folder, folder / "dataset", folder / "data") if _cases(p)), folder)
    cases = _cases(root)
    if not cases:
        raise wrong_layout("KiTS", root, "a folder such as case_00000", _NEEDS)
    if not any((case / IMAGE).is_file() for case in cases):
        raise BadInput(
            f"{root} holds {len(cases)} KiTS cases, but {IMAGE} is missing in all of them",
            "The images are not in the data set's repository: run its download script first.",
        )
    label_name = options.label_file or next((n for n in LABELS if any((c / n).is_file() for c in cases)), None)
    if label_name is None or not any((case / label_name).is_file() for case in cases):
        raise wrong_layout("KiTS", cases[0], label_name or " or ".join(LABELS), _NEEDS)
    version = _version(cases, label_name)
    scans, unlabelled = [], []
    findings: list[Finding] = []
    for case in cases:
        image, label = case / IMAGE, case / label_name
        if image.is_file() and label.is_file():
            scans.append(Scan(case.name, case.name, image, label))
        elif image.is_file() and version == "KiTS19" and int(case.name[5:]) >= FIRST_TEST_19:
            unlabelled.append(image)
        elif image.is_file():
            findings.append(error("no-label", f"{case.name}/{label_name} is missing", case.name))
        else:
            findings.append(error("no-image", f"{case.name}/{IMAGE} is missing", case.name))
    recognised = [f"{version}: {len(cases)} case folders with {IMAGE}, labels from {label_name}."]
    if unlabelled:
        recognised.append(
            f"{len(unlabelled)} test cases (from case_00{FIRST_TEST_19}) have no labels and are not used."
        )
    names = {1: "kidney", 2: "tumor"} if version == "KiTS19" else {1: "kidney", 2: "tumor", 3: "cyst"}
    return Layout("kits", root, tuple(scans), tuple(recognised), tuple(findings), names, "CT", tuple(unlabelled))


def _cases(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and _CASE.match(p.name))


def _version(cases: list[Path], label_name: str) -> str:
    if label_name.startswith("aggregated_"):
        return "KiTS21"
    later = any(int(case.name[5:]) >= 300 or (case / "instances").is_dir() for case in cases)
    return "KiTS23" if later else "KiTS19"
