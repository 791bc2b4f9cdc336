"""A task of the Medical Segmentation Decathlon as published: dataset.json says which files belong together."""

from __future__ import annotations

from pathlib import Path

from rep3d.data.findings import Finding, error, warning
from rep3d.data.layouts.base import (
    Layout,
    LayoutOptions,
    Scan,
    descend,
    modality_of,
    read_json,
    refuse_options,
    shown,
    stem,
    value_names,
    wrong_layout,
)
from rep3d.errors import BadInput
from rep3d.tasks import Task

_NEEDS = 'It needs dataset.json with "training" (pairs of files) and "labels", beside imagesTr/ and labelsTr/.'
#: Tasks of this package by the folder that the archive unpacks to.
TASKS = {
    "Task04_Hippocampus": "msd-hippocampus",
    "Task07_Pancreas": "msd-pancreas",
    "Task08_HepaticVessel": "msd-hepatic",
}


def read(folder: Path, options: LayoutOptions, task: Task) -> Layout:
    """The pairs under "training" in dataset.json.

    Raises BadInput for another layout, and for several channels (Task01, Task05) unless ``options.channel`` picks one.
    """
    refuse_options("msd", options, ("channel",))
    root = descend(folder, ("dataset.json",))
    listed = root / "dataset.json"
    if not listed.is_file():
        raise wrong_layout("an MSD task", root, "dataset.json", _NEEDS)
    content = read_json(listed)
    if "channel_names" in content or "file_ending" in content:
        raise BadInput(f"{listed} is of nnU-Net (it has channel_names), not of MSD", "use `rep3d prepare nnunet`")
    for key in ("training", "labels"):
        if not isinstance(content.get(key), (list, dict)):
            raise wrong_layout("an MSD task", root, f'"{key}" in dataset.json', _NEEDS)
    modality = content.get("modality", {})
    channels = len(modality) if isinstance(modality, dict) else 1
    channel = pick_channel(options.channel, modality, listed) if channels > 1 else None
    if channels <= 1 and options.channel not in (None, 0):
        raise BadInput(f"--channel {options.channel} does not exist: {listed} names one channel", "leave it out")
    scans, findings = _pairs(content["training"], root, listed, channel)
    findings += _unlisted(scans, root)
    announced = content.get("numTraining")
    if isinstance(announced, int) and announced != len(content["training"]):
        message = f"dataset.json says numTraining {announced} and lists {len(content['training'])} pairs"
        findings.append(warning("count", message))
    name = str(content.get("name") or root.name)
    recognised = [f"MSD task {name}: {len(scans)} pairs listed in dataset.json."]
    if channel is not None:
        recognised.append(
            f"Of {channels} channels, channel {channel} ({_channel_name(modality, channel)}) is used alone."
        )
    tests = [root / str(entry) for entry in content.get("test", []) if isinstance(entry, str)]
    if tests:
        recognised.append(f"{len(tests)} published test images have no labels and are not used.")
    return Layout(
        "msd",
        root,
        tuple(sorted(scans, key=lambda s: s.id)),
        tuple(recognised),
        tuple(findings),
        value_names(content["labels"], listed),
        modality_of(modality, channel),
        tuple(tests),
    )


def pick_channel(channel: int | None, names: dict, listed: Path) -> int:
    """The chosen channel of several. Raises BadInput when none is chosen or it does not exist."""
    table = ", ".join(f"{key} {value}" for key, value in sorted(names.items(), key=lambda kv: int(kv[0])))
    if channel is None:
        raise BadInput(
            f"{listed} has {len(names)} channels ({table}); the networks take one",
            "Choose one of them with --channel N; the others are then not used.",
        )
    if not 0 <= channel < len(names):
        raise BadInput(f"--channel {channel} does not exist: {listed} has {table}", "use one of these numbers")
    return channel


def _channel_name(names: dict, channel: int) -> str:
    return str(names.get(str(channel), names.get(channel, channel)))


def _pairs(entries, root: Path, listed: Path, channel: int | None) -> tuple[list[Scan], list[Finding]]:
    """Scans of a list of {"image", "label"}; a finding for each listed file that is not there."""
    scans: dict[str, Scan] = {}
    findings = []
    for entry in entries:
        try:
            image, label = root / str(entry["image"]), root / str(entry["label"])
        except (TypeError, KeyError):
            raise BadInput(
                f'{listed}: "training" holds {entry!r}', 'a pair {"image": ..., "label": ...} is expected'
            ) from None
        key = stem(label) or label.name
        if key != (stem(image) or image.name).removesuffix("_0000"):
            message = f"dataset.json pairs {shown(image, root)} with {shown(label, root)}: the names differ"
            findings.append(warning("names-differ", message, key))
        lacking = [p for p in (image, label) if not p.is_file()]
        if key in scans:
            findings.append(error("duplicate-id", f"dataset.json lists {key} twice", key))
        elif lacking:
            missing = " and ".join(shown(p, root) for p in lacking)
            findings.append(error("listed-missing", f"{missing} is listed in dataset.json but not there", key))
        else:
            scans[key] = Scan(key, key, image, label, channel=channel)
    return list(scans.values()), findings


def _unlisted(scans: list[Scan], root: Path) -> list[Finding]:
    used = {scan.image.resolve() for scan in scans}
    folders = {scan.image.parent for scan in scans}
    extra = sorted(
        path.name
        for folder in folders
        for path in folder.iterdir()
        if stem(path) and not path.name.startswith(".") and path.resolve() not in used
    )
    if not extra or len(folders) != 1:  # pairs of several folders: the others may be another list's
        return []
    shown_names = ", ".join(extra[:5]) + (" ..." if len(extra) > 5 else "")
    return [warning("not-listed", f"{len(extra)} images are not in dataset.json and not used: {shown_names}")]
