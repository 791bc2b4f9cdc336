"""What every reader of a layout gives: scans with ids, patients and files, and sentences on what was recognised."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rep3d.data.findings import Finding, error
from rep3d.errors import BadInput

#: Endings of image files that the layouts know, longest first.
SEGMENTATION = ".seg.nrrd"  # of 3D Slicer: always a label map
SUFFIXES = (SEGMENTATION, ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


@dataclass(frozen=True)
class Scan:
    """One image with its label map. ``id`` is unique in the data set.

    patient: scans of one patient stay in one part of a split. part: train, val or test where the data set's own
    folders say so, else "". channel: which volume of a 4D file is meant, None for a 3D file.
    """

    id: str
    patient: str
    image: Path
    label: Path
    part: str = ""
    channel: int | None = None


@dataclass(frozen=True)
class LayoutOptions:
    """What a user may say about a layout; each reader refuses what does not apply to it.

    channel: which channel of multi-channel data. images, labels: two folders (for ``folder``), relative to the source
    or absolute. image_name, label_name: name patterns with ``{id}``, such as ``{id}_ct``, without the file's ending.
    label_file: which of KiTS's label files. parts: AMOS's parts that are used (tr, va, ts). plain_labels: take label
    maps of a data set with region labels as they are stored.
    """

    channel: int | None = None
    images: str = ""
    labels: str = ""
    image_name: str = ""
    label_name: str = ""
    label_file: str = ""
    parts: tuple[str, ...] = ()
    plain_labels: bool = False


@dataclass(frozen=True)
class Layout:
    """A recognised data set.

    scans: in id order. findings: what the layout alone shows (missing partners, files that a list names in vain).
    recognised: sentences for the user. names: label value -> name by the data set's own list, None without one.
    modality: CT, MR or None. unlabelled: published test images, which have no label map.
    """

    kind: str
    root: Path
    scans: tuple[Scan, ...]
    recognised: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    names: Mapping[int, str] | None = None
    modality: str | None = None
    unlabelled: tuple[Path, ...] = field(default=(), repr=False)


def stem(path: Path) -> str | None:
    """Name without its image suffix, or None when the file is not an image (``a.b.nii.gz`` -> ``a.b``)."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return None


def images_in(folder: Path) -> dict[str, Path]:
    """Name without suffix -> file of every image in a folder; hidden files (``._x`` of macOS) are skipped.

    Raises BadInput when the folder is missing or two files have one name.
    """
    found: dict[str, Path] = {}
    if not folder.is_dir():
        raise BadInput(f"the folder {folder} does not exist", "images and labels lie in two folders side by side")
    for path in sorted(folder.iterdir()):
        key = stem(path)
        if key is None or path.name.startswith(".") or not path.is_file():
            continue
        if key in found:
            raise BadInput(f"{path} and {found[key]} have the same id {key}", "keep one of the two files")
        found[key] = path
    return found


def descend(root: Path, wanted: Iterable[str]) -> Path:
    """``root``, or its only subfolder that holds ``wanted``, so that the folder of an unpacked archive works too."""
    names = list(wanted)
    if any((root / name).exists() for name in names) or not root.is_dir():
        return root
    inside = [p for p in sorted(root.iterdir()) if p.is_dir() and any((p / name).exists() for name in names)]
    return inside[0] if len(inside) == 1 else root


def wrong_layout(kind: str, root: Path, missing: str, needs: str) -> BadInput:
    """The error for a folder that is not of this layout: names what was missing and what there is."""
    there = sorted(p.name + ("/" if p.is_dir() else "") for p in root.iterdir() if not p.name.startswith("."))
    shown = ", ".join(there[:8]) + (" ..." if len(there) > 8 else "") if there else "nothing"
    return BadInput(f"{root} is not laid out as {kind}: {missing} is missing (there: {shown})", needs)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises BadInput naming the file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror}", "check its permissions") from problem
    except ValueError as problem:
        raise BadInput(f"{path} is not JSON: {problem}", "download or write it again") from problem
    if not isinstance(data, dict):
        raise BadInput(f"{path} does not hold a JSON object", "a dataset.json begins with {")
    return data


def value_names(labels: Any, path: Path) -> dict[int, str]:
    """``{"0": "background", "1": "spleen"}`` (MSD) -> {1: "spleen"}. Raises BadInput."""
    try:
        names = {int(value): str(name) for value, name in labels.items()}
    except (AttributeError, TypeError, ValueError):
        raise BadInput(
            f'{path}: "labels" is not a table of value and name', 'such as {"0": "background", "1": "liver"}'
        ) from None
    return {value: name for value, name in sorted(names.items()) if value != 0}


def modality_of(channels: Any, channel: int | None = None) -> str | None:
    """CT or MR from a table of channel names such as {"0": "CT"}; None when it says neither."""
    if not isinstance(channels, Mapping):
        return None
    name = str(channels.get(str(channel or 0), channels.get(channel or 0, ""))).strip().upper()
    if name == "CT":
        return "CT"
    mr = ("MR", "T1", "T2", "FLAIR", "ADC", "DWI", "PD")
    return "MR" if name.startswith(mr) else None


def refuse_options(kind: str, options: LayoutOptions, allowed: Iterable[str]) -> None:
    """Raise BadInput for an option that does not apply to this layout, so that none is ignored in silence."""
    for name, default in vars(LayoutOptions()).items():
        if name not in allowed and getattr(options, name) != default:
            raise BadInput(f"--{name.replace('_', '-')} does not apply to the layout {kind}", "leave it out")


def pair(
    images: Mapping[str, Path], labels: Mapping[str, Path], root: Path
) -> tuple[list[tuple[str, Path, Path]], list[Finding]]:
    """(id, image, label map) of every id that has both, in id order; a finding for every file without a partner."""
    findings = []
    for key in sorted(images.keys() ^ labels.keys()):
        code, lacks = ("no-label", "label map") if key in images else ("no-image", "image")
        findings.append(error(code, f"{shown(images.get(key) or labels[key], root)} has no {lacks}", key))
    return [(key, images[key], labels[key]) for key in sorted(images.keys() & labels.keys())], findings


def shown(path: Path, root: Path) -> str:
    """A path as messages show it: relative to the data set where it lies inside, with forward slashes."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
