"""nnU-Net's raw format: imagesTr/ID_0000.ENDING, labelsTr/ID.ENDING and dataset.json, of version 1 or 2."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rep3d.data.findings import Finding, error
from rep3d.data.layouts.base import (
    SUFFIXES,
    Layout,
    LayoutOptions,
    Scan,
    descend,
    modality_of,
    pair,
    read_json,
    refuse_options,
    shown,
    value_names,
    wrong_layout,
)
from rep3d.data.layouts.msd import pick_channel
from rep3d.errors import BadInput
from rep3d.tasks import Task

_NEEDS = "It needs dataset.json, imagesTr/ID_0000.nii.gz and labelsTr/ID.nii.gz."
_TAIL = re.compile(r"(?P<id>.+)_(?P<channel>\d{4})\Z")


def read(folder: Path, options: LayoutOptions, task: Task) -> Layout:
    """All training cases of a raw data set.

    Raises BadInput for another layout, several channels without ``options.channel``, 2D files, an ignore label, and
    region labels without ``options.plain_labels``.
    """
    refuse_options("nnunet", options, ("channel", "plain_labels"))
    root = descend(folder, ("dataset.json",))
    listed = root / "dataset.json"
    if not listed.is_file():
        raise wrong_layout("nnU-Net", root, "dataset.json", _NEEDS)
    content = read_json(listed)
    version = 2 if "channel_names" in content or "file_ending" in content else 1
    ending = str(content.get("file_ending", ".nii.gz"))
    if ending not in SUFFIXES:
        raise BadInput(f'{listed}: file_ending "{ending}" is not of 3D images', f"known: {', '.join(SUFFIXES)}")
    names, plain = _labels(content.get("labels"), listed, version, options.plain_labels)
    channels = content.get("channel_names") or content.get("modality") or {"0": "image"}
    if not isinstance(channels, dict):
        raise BadInput(f'{listed}: "channel_names" is not a table', 'such as {"0": "CT"}')
    if len(channels) > 1:
        channel = pick_channel(options.channel, channels, listed)
    elif options.channel not in (None, 0):
        raise BadInput(f"--channel {options.channel} does not exist: {listed} names one channel", "leave it out")
    else:
        channel = 0
    recognised = [f"nnU-Net raw data, version {version}: {root.name}."]
    if isinstance(content.get("dataset"), dict):
        scans, findings = _listed_cases(content["dataset"], root, channel)
        recognised.append('dataset.json lists the files of every case under "dataset".')
    else:
        scans, findings = _found_cases(root, ending, channel)
        recognised.append(f"imagesTr/ID_{channel:04d}{ending} meets labelsTr/ID{ending} by ID.")
    if len(channels) > 1:
        recognised.append(f"Of {len(channels)} channels, channel {channel} is used alone.")
    if plain:
        recognised.append("Its labels are regions; the label maps are taken by their stored values instead.")
    scans.sort(key=lambda s: s.id)
    return Layout(
        "nnunet", root, tuple(scans), tuple(recognised), tuple(findings), names, modality_of(channels, channel)
    )


def _labels(labels: Any, listed: Path, version: int, plain: bool) -> tuple[dict[int, str] | None, bool]:
    """(value -> name, whether regions were set aside). Raises BadInput for regions and an ignore label."""
    if not isinstance(labels, dict) or not labels:
        raise BadInput(f'{listed}: "labels" is missing', 'such as {"background": 0, "liver": 1}')
    if version == 1 or all(str(key).isdigit() for key in labels):
        return value_names(labels, listed), False
    if "ignore" in labels:
        raise BadInput(
            f"{listed} has an ignore label ({labels['ignore']}); training here has none",
            "Only fully labelled data can be used.",
        )
    regions = [str(name) for name, value in labels.items() if isinstance(value, list)]
    if regions and not plain:
        raise BadInput(
            f"{listed} has region labels ({', '.join(regions)}), which overlap; here every voxel is of one class",
            "--plain-labels takes the label maps' stored values, which the task must then name.",
        )
    if regions:
        return None, True
    try:
        names = {int(value): str(name) for name, value in labels.items()}
    except (TypeError, ValueError):
        raise BadInput(f'{listed}: "labels" is not a table of name and value', 'such as {"liver": 1}') from None
    return {value: name for value, name in sorted(names.items()) if value != 0}, False


def _found_cases(root: Path, ending: str, channel: int) -> tuple[list[Scan], list[Finding]]:
    for name in ("imagesTr", "labelsTr"):
        if not (root / name).is_dir():
            raise wrong_layout("nnU-Net", root, f"the folder {name}", _NEEDS)
    channels_of: dict[str, dict[int, Path]] = {}
    for path in sorted((root / "imagesTr").iterdir()):
        match = _TAIL.match(path.name.removesuffix(ending)) if path.name.endswith(ending) else None
        if match and not path.name.startswith("."):
            channels_of.setdefault(match["id"], {})[int(match["channel"])] = path
    if not channels_of:
        raise wrong_layout("nnU-Net", root / "imagesTr", f"a file ID_{channel:04d}{ending}", _NEEDS)
    findings = [
        error("no-image", f"{key} has channels {sorted(have)} but not {channel}", key)
        for key, have in channels_of.items()
        if channel not in have
    ]
    images = {key: have[channel] for key, have in channels_of.items() if channel in have}
    labels = {
        path.name.removesuffix(ending): path
        for path in sorted((root / "labelsTr").iterdir())
        if path.name.endswith(ending) and not path.name.startswith(".")
    }
    lacking = {key for key in channels_of if key not in images}  # said already
    pairs, missing = pair(images, {k: p for k, p in labels.items() if k not in lacking}, root)
    return [Scan(key, key, image, label) for key, image, label in pairs], findings + missing


def _listed_cases(table: dict, root: Path, channel: int) -> tuple[list[Scan], list[Finding]]:
    scans, findings = [], []
    for key, entry in table.items():
        try:
            image, label = root / str(entry["images"][channel]), root / str(entry["label"])
        except (TypeError, KeyError, IndexError):
            findings.append(error("no-image", f'dataset.json gives {key} no channel {channel} or no "label"', key))
            continue
        lacking = [shown(p, root) for p in (image, label) if not p.is_file()]
        if lacking:
            message = f"{' and '.join(lacking)} is listed in dataset.json but not there"
            findings.append(error("listed-missing", message, key))
        else:
            scans.append(Scan(key, key, image, label))
    return scans, findings
