"""Where a new task comes from: a dataset.json, a folder of images and label maps, or a folder that was prepared.

What a source says (names, modality, licence, which files belong together) is read by `rep3d.data.layouts`; what it does
not say (spacings, intensities, sizes) is measured on its training cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rep3d.data.case_figures import CaseFigures, measure_case
from rep3d.data.fingerprint import Fingerprint
from rep3d.data.layouts import Layout, LayoutOptions, Scan, folder, msd, nnunet
from rep3d.data.layouts.base import descend, read_json
from rep3d.errors import BadInput
from rep3d.tasks import Intensity, Label, Task, split_cases
from rep3d.tasks.store import read_task

UNKNOWN = "unknown: fill in"
#: With fewer cases there is one fixed split: a fold's test set would be a single case.
FEWEST_FOR_FOLDS = 10
FOLDS = 5


@dataclass(frozen=True)
class Source:
    """What is known before anything is planned.

    names: label value -> name, None where nothing says them. scans: all labelled cases. task: of a prepared folder.
    said: sentences for the user on what was recognised. kind: of `rep3d prepare`, or "prepared"; channel: the one used.
    """

    root: Path
    title: str
    names: Mapping[int, str] | None
    modality: str | None
    split: dict[str, Any]
    dataset: dict[str, str]
    scans: tuple[Scan, ...] = ()
    fingerprint: Fingerprint | None = None
    task: Task | None = None
    said: tuple[str, ...] = ()
    kind: str = "folder"
    channel: int | None = None


def read_source(path: Path, *, channel: int | None = None, folds: int | None = None) -> Source:
    """Recognise what ``path`` is: dataset.json (MSD, nnU-Net 1 and 2) or its folder, a prepared folder, plain folders.

    channel: which one of multi-channel data. folds: folds of the split (1: one fixed split), None for the rule.
    Raises BadInput when it is none of these, and what the layouts' readers refuse.
    """
    if not path.exists():
        raise BadInput(f"{path} does not exist", "Give a dataset.json, a prepared folder, or a folder of scans.")
    root = path.parent if path.is_file() else path
    if path.is_file() and path.name.lower() != "dataset.json":
        raise BadInput(f"{path} is not a dataset.json", "Give a dataset.json or a folder.")
    if path.is_dir() and (path / "fingerprint.json").is_file() and (path / "data.json").is_file():
        if channel is not None or folds is not None:
            raise BadInput("--channel and --folds do not apply to a prepared folder", "It was prepared with both.")
        return _prepared(path)
    root = descend(root, ("dataset.json",))
    options = LayoutOptions(channel=channel)
    if (root / "dataset.json").is_file():
        content = read_json(root / "dataset.json")
        kind = nnunet if _is_nnunet(content, root) else msd
        layout = kind.read(root, options, _draft())
        dataset = _dataset(content, root)
        title = str(content.get("name") or content.get("description") or root.name).strip()
    else:
        layout = folder.read(root, options, _draft())
        dataset = {"source": root.resolve().name, "licence": UNKNOWN, "citation": UNKNOWN}
        title = root.resolve().name
    if not layout.scans:
        raise BadInput(f"{root} holds no image with a label map", "; ".join(f.message for f in layout.findings[:3]))
    said = [*layout.recognised, *(f.message for f in layout.findings)]
    return Source(
        root, title, layout.names, layout.modality, _split(layout, folds), dataset, layout.scans,
        said=tuple(said), kind=layout.kind, channel=channel,
    )  # fmt: skip


def measure(
    source: Source,
    names: Mapping[int, str] | None,
    modality: str | None,
    *,
    limit: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Fingerprint, dict[int, str]]:
    """The fingerprint of the training cases and the names of their labels.

    names: value -> name; None names the values that are found "structure 1" and so on. limit: measure so many cases,
    spread evenly (0: all).

    Raises BadInput when a label map holds a value without a name, or a file cannot be used.
    """
    if source.fingerprint is not None:
        known = dict(names or source.names or {})
        classes = tuple(replace(c, name=known[c.value]) for c in source.fingerprint.classes if c.value in known)
        return replace(source.fingerprint, classes=classes), known
    chosen = _spread(training_scans(source), limit)
    figures = []
    for i, scan in enumerate(chosen):
        figures.append(_measure_scan(scan, modality))
        if progress:
            progress(i + 1, len(chosen))
    found = sorted({value for f in figures for value in f.classes})
    if names is None:
        names = {value: f"structure {value}" for value in found}
    if strange := [value for value in found if value not in names]:
        raise BadInput(
            f"label maps hold the values {strange}, which have no name", "Name all of them, or correct the label maps."
        )
    return Fingerprint.combine(figures, names, modality), dict(names)


def training_scans(source: Source) -> list[Scan]:
    """The cases that fold 0 of the source's split trains on, in id order."""
    if source.split["kind"] == "folders":
        return [scan for scan in source.scans if scan.part == "train"]
    patients = {scan.id: scan.patient for scan in source.scans}
    train = set(split_cases(source.split, list(patients), 0, patients)["train"])
    return [scan for scan in source.scans if scan.id in train]


def _measure_scan(scan: Scan, modality: str | None) -> CaseFigures:
    from rep3d.data.convert import read_channel
    from rep3d.data.reading import read_labelmap, read_volume, replace_not_finite
    from rep3d.data.volume import Volume
    from rep3d.io.segments import is_segmentation

    if is_segmentation(scan.label):
        raise BadInput(
            f"{scan.label}: a 3D Slicer segmentation; its label values say nothing without a task that names them.",
            "Export it as a label map (Segmentations module, Export to files) with one value a structure.",
        )
    if scan.channel is None:
        volume = read_volume(scan.image)
    else:
        array, geometry = read_channel(scan.image, scan.channel)
        array, _ = replace_not_finite(array, scan.image)  # NaN is in the array already
        volume = Volume(array, geometry.affine_ras, geometry, scan.image)
    return measure_case(volume, read_labelmap(scan.label), modality)


def _spread(scans: Sequence[Scan], limit: int) -> list[Scan]:
    if not limit or len(scans) <= limit:
        return list(scans)
    return [scans[i * len(scans) // limit] for i in range(limit)]


def _prepared(path: Path) -> Source:
    task = read_task(path / "task.yaml")
    fingerprint = Fingerprint.read(path / "fingerprint.json")
    names = {label.value: label.name for label in task.labels}
    said = (f"Prepared folder for task {task.key}: labels, split and data set are that task's.",)
    return Source(
        path, task.title, names, task.modality, task.split, task.dataset, (), fingerprint, task, said, "prepared"
    )


def _is_nnunet(content: Mapping[str, Any], root: Path) -> bool:
    """Version 2 says so; version 1 has MSD's fields, but lists x.nii.gz where the file is x_0000.nii.gz."""
    if "channel_names" in content or "file_ending" in content:
        return True
    listed = content.get("training")
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], Mapping):
        return False
    first = root / str(listed[0].get("image", ""))
    return not first.is_file() and any((root / "imagesTr").glob("*_0000.*"))


def _dataset(content: Mapping[str, Any], root: Path) -> dict[str, str]:
    def said(*keys: str) -> str:
        return next((text for key in keys if (text := " ".join(str(content.get(key) or "").split()))), "")

    parts = dict.fromkeys(part for part in (said("name") or root.name, said("description"), said("reference")) if part)
    licence, citation = said("licence", "license"), said("citation", "reference")
    return {"source": "; ".join(parts), "licence": licence or UNKNOWN, "citation": citation or UNKNOWN}


def _split(layout: Layout, folds: int | None) -> dict[str, Any]:
    if any(scan.part for scan in layout.scans):
        if folds not in (None, 1):
            raise BadInput(
                f"--folds {folds} does not apply: the folders in {layout.root} are the split", "leave it out"
            )
        return {"kind": "folders", "train": "train", "val": "val", "test": "test"}
    count = len({scan.patient for scan in layout.scans})
    if count < 3:
        raise BadInput(f"{count} cases cannot be split in train, val and test", "At least 3 are needed.")
    folds = folds if folds is not None else FOLDS if count >= FEWEST_FOR_FOLDS else 1
    if not 1 <= folds <= count:
        raise BadInput(f"--folds {folds} does not fit {count} cases", "from 1 (one fixed split) to the number of cases")
    test = min(count - 2, max(1, round(count / (folds if folds > 1 else FOLDS))))
    val = min(count - 1 - test, max(1, round(count / 10)))
    parts = {"seed": 0, "train": count - test - val, "val": val, "test": test}
    return {"kind": "folds", "folds": folds, **parts} if folds > 1 else {"kind": "counts", **parts}


def _draft() -> Task:
    """What the layouts' readers want to know of a task that is not there yet: how it splits. The rest is never read."""
    from rep3d.planning.names import ANATOMY, GENERIC

    label = Label(1, "draft", "Draft", (0, 0, 0), ANATOMY, GENERIC)
    return Task(
        key="draft", title="Draft", modality="CT", labels=(label,), spacing_mm=(1.0, 1.0, 1.0),
        intensity=Intensity(None, (0.5, 99.5)), patch=(32, 32, 32), network="rep3d-xs",
        split={"kind": "counts", "seed": 0, "train": 1, "val": 1, "test": 1},
        dataset={"source": "-", "licence": "-", "citation": "-"}, purpose="-",
    )  # fmt: skip
