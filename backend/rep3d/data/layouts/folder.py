"""Plain folders of images and label maps that meet by id: two folders side by side, or one a part of the split."""

from __future__ import annotations

import re
from pathlib import Path

from rep3d.data.findings import Finding
from rep3d.data.layouts.base import (
    SEGMENTATION,
    Layout,
    LayoutOptions,
    Scan,
    images_in,
    pair,
    refuse_options,
    shown,
    wrong_layout,
)
from rep3d.errors import BadInput
from rep3d.tasks import Task

SPLITS = ("train", "val", "test")
TWO_FOLDERS = (("images", "labels"), ("imagesTr", "labelsTr"))
#: Ends of names that tell images from label maps in one folder: <id>_ct and <id>_seg.
PAIR_TAIL = re.compile(r"^(?P<id>.+)_(?P<kind>ct|mr|image|seg|label)$")
_NEEDS = (
    "It needs images/ and labels/ with the same file names, or train/, val/ and test/ with these inside or with "
    "<id>_ct.nii.gz and <id>_seg.nii.gz; --images, --labels, --image-name and --label-name name others."
)


def read(folder: Path, options: LayoutOptions, task: Task) -> Layout:
    """Pairs by id, never by place in a sorted list.

    ``options.images`` and ``options.labels`` name the two folders, ``image_name`` and ``label_name`` the patterns of
    their files, such as ``{id}_ct`` and ``{id}_seg``. Raises BadInput for another layout.
    """
    refuse_options("folder", options, ("images", "labels", "image_name", "label_name"))
    if bool(options.images) != bool(options.labels):
        raise BadInput("--images and --labels go together", "give both, or neither")
    patterns = (options.image_name or "{id}", options.label_name or "{id}")
    parts = part_folders(folder, dict(task.split))
    scans: list[Scan] = []
    findings: list[Finding] = []
    if options.images:
        pairs, findings = _two_folders(folder, folder / options.images, folder / options.labels, patterns)
        scans = [Scan(key, key, image, label) for key, image, label in pairs]
        said = f"{options.images} and {options.labels}, by the names {patterns[0]} and {patterns[1]}"
    elif parts:
        for part, path in parts.items():
            pairs, missing = _one_part(folder, path, patterns, bool(options.image_name or options.label_name))
            findings += missing
            scans += [Scan(key, key, image, label, part) for key, image, label in pairs]
        said = f"{', '.join(p.name for p in parts.values())}: the folders are the split"
    else:
        found = next(((a, b) for a, b in TWO_FOLDERS if (folder / a).is_dir()), None)
        if found is None:
            raise wrong_layout("plain folders", folder, "images/ and labels/", _NEEDS)
        pairs, findings = _two_folders(folder, folder / found[0], folder / found[1], patterns)
        scans = [Scan(key, key, image, label) for key, image, label in pairs]
        said = f"{found[0]}/ and {found[1]}/ with the same names"
    seen: dict[str, Scan] = {}
    for scan in scans:
        if scan.id in seen:
            other = seen[scan.id]
            raise BadInput(
                f"the case {scan.id} is there twice: {other.image} and {scan.image}",
                "every case needs an id of its own",
            )
        seen[scan.id] = scan
    ordered = tuple(seen[key] for key in sorted(seen))
    return Layout("folder", folder, ordered, (f"Plain folders: {said}; {len(ordered)} pairs.",), tuple(findings))


def part_folders(root: Path, policy: dict) -> dict[str, Path]:
    """train, val, test -> folder, for those that exist; the task's policy may name them otherwise."""
    named = {part: policy[part] if policy["kind"] == "folders" else part for part in SPLITS}
    return {part: root / name for part, name in named.items() if (root / name).is_dir()}


def without_tails(images: dict[str, Path], labels: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Images and label maps of two folders by id, where one side's names have a tail that the other's lack.

    nnU-Net and MSD name the first channel of case x ``x_0000``; `rep3d segment` and others name its labels ``x_seg``.
    """
    images = {k[:-5] if k.endswith("_0000") and k[:-5] in labels else k: p for k, p in images.items()}
    for tail in ("_seg", "_label", "_labels"):
        labels = {
            k.removesuffix(tail) if k not in images and k.removesuffix(tail) in images.keys() - labels.keys() else k: p
            for k, p in labels.items()
        }
    return images, labels


def by_tail(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Images and label maps of one folder by id, told apart by :data:`PAIR_TAIL`; other files are not looked at.

    Raises BadInput when two files have the same id and kind.
    """
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for name, path in images_in(folder).items():
        match = PAIR_TAIL.match(name)
        if match:
            key, side = match["id"], labels if match["kind"] in ("seg", "label") else images
        elif path.name.lower().endswith(SEGMENTATION):
            key, side = name, labels
        else:
            continue  # other files of the data set, such as <id>_seg7, belong to other tasks
        if key in side:
            raise BadInput(f"{path} and {side[key]} have the same id", "keep one of the two files")
        side[key] = path
    return images, labels


def by_pattern(folder: Path, pattern: str, option: str) -> dict[str, Path]:
    """id -> file for names (without ending) that fit ``pattern``. Raises BadInput for a pattern without {id}."""
    if pattern.count("{id}") != 1:
        raise BadInput(f'{option} "{pattern}" must hold {{id}} once', 'for example "{id}_ct"')
    before, after = pattern.split("{id}")
    wanted = re.compile(re.escape(before) + "(?P<id>.+)" + re.escape(after) + r"\Z")
    return {m["id"]: path for name, path in images_in(folder).items() if (m := wanted.match(name))}


def _two_folders(root: Path, images: Path, labels: Path, patterns: tuple[str, str]):
    for path in (images, labels):
        if not path.is_dir():
            raise wrong_layout("plain folders", root, f"the folder {shown(path, root)}", _NEEDS)
    if images.resolve() == labels.resolve() and patterns[0] == patterns[1]:
        raise BadInput(
            f"images and label maps in one folder ({images}) need names that differ",
            'for example --image-name "{id}_image" --label-name "{id}_label"',
        )
    image_of = by_pattern(images, patterns[0], "--image-name")
    label_of = by_pattern(labels, patterns[1], "--label-name")
    return pair(*without_tails(image_of, label_of), root)


def _one_part(root: Path, folder: Path, patterns: tuple[str, str], named: bool):
    if (folder / "images").is_dir():
        return _two_folders(root, folder / "images", folder / "labels", patterns)
    if named:
        return _two_folders(root, folder, folder, patterns)
    return pair(*by_tail(folder), root)
