"""Published layouts of data sets, one file each: ``read_layout(kind, folder, options, task)``."""

from __future__ import annotations

from pathlib import Path

from rep3d.data.layouts import amos, folder, kits, msd, nnunet
from rep3d.data.layouts.base import Layout, LayoutOptions, Scan, descend, read_json
from rep3d.errors import BadInput
from rep3d.tasks import Task

READERS = {"amos": amos.read, "kits": kits.read, "msd": msd.read, "nnunet": nnunet.read, "folder": folder.read}
KINDS = tuple(READERS)

__all__ = ["KINDS", "Layout", "LayoutOptions", "Scan", "default_task", "read_layout"]


def read_layout(kind: str, source: Path, options: LayoutOptions, task: Task) -> Layout:
    """What lies in ``source``, read as ``kind``.

    Raises BadInput when the kind is unknown, the folder is missing, or it is laid out otherwise; then the error names
    what was missing and the kind that it does look like.
    """
    if kind not in READERS:
        raise BadInput(f"no layout is called {kind!r}", f"known: {', '.join(KINDS)}")
    if not source.is_dir():
        raise BadInput(f"the data folder {source} does not exist", "give the folder that the download was unpacked to")
    try:
        layout = READERS[kind](source, options, task)
    except BadInput as problem:
        if "is not laid out as" not in str(problem):
            raise
        fitting = [other for other in KINDS if other != kind and _fits(other, source, task)]
        if not fitting:
            raise
        hint = f"{problem.hint} It looks like `rep3d prepare {fitting[0]}`."
        raise BadInput(str(problem), hint) from problem
    if not layout.scans and not layout.findings:
        raise BadInput(f"{source} holds no image with a label map", "docs/data.md shows every layout")
    return layout


def _fits(kind: str, source: Path, task: Task) -> bool:
    try:
        return bool(READERS[kind](source, LayoutOptions(), task).scans)
    except BadInput:
        return False


def default_task(kind: str, source: Path) -> str:
    """The task of this package for a data set: KiTS, and MSD tasks by folder or by the name in dataset.json.

    Raises BadInput when there is none, or several: then the user has to say.
    """
    if kind == "kits":
        return "kits"
    if kind == "msd":
        root = descend(source, ("dataset.json",))
        name = root.name
        if (root / "dataset.json").is_file():
            name = f"{name} {read_json(root / 'dataset.json').get('name', '')}"
        for folder_name, key in msd.TASKS.items():
            if folder_name in name or folder_name.partition("_")[2].lower() in name.lower().split():
                return key
    hint = "Give --task KEY (see `rep3d tasks`) or a task file; `rep3d task new` writes one."
    if kind == "amos":
        hint = "Give --task amos-ct or --task amos-mri."
    raise BadInput(f"the task of {source} is not known", hint)
