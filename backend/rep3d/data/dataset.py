"""Which scans there are and which of them train, validate or test: pairs by id, splits, data.json.

A folder that ``rep3d prepare`` has made (:mod:`rep3d.data.data_list`), or one of three layouts:

- ``FOLDER/images`` + ``FOLDER/labels`` (also MSD's ``imagesTr``/``labelsTr``): same names; split by the task's policy;
- ``FOLDER/{train,val,test}/<id>_ct.nii.gz`` + ``<id>_seg.nii.gz`` (OpenKBP): the folders are the split;
- ``FOLDER/{train,val,test}/{images,labels}``: the folders are the split.

Images and labels meet by id (the name without its suffix), never by their place in a sorted list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rep3d.data.layouts.base import images_in, stem
from rep3d.data.layouts.folder import SPLITS, TWO_FOLDERS, by_tail, part_folders, without_tails
from rep3d.errors import BadInput
from rep3d.tasks import Task
from rep3d.tasks.splits import split_cases

__all__ = ["SPLITS", "Case", "Dataset", "assign_splits", "data_list", "find_dataset", "stem"]


@dataclass(frozen=True)
class Case:
    """One scan with its truth. ``id`` is unique in the data set; ``split`` is train, val or test.

    ``patient``: whose scan it is, "" where nothing says so.
    """

    id: str
    split: str
    image: Path
    label: Path
    patient: str = ""


@dataclass(frozen=True)
class Dataset:
    """All cases of a folder in id order, and what could not be used (``unpaired``: paths without a partner).

    For a prepared folder also: ``prepared`` the folder itself, ``cache`` its preprocessed cases, and ``expected`` the
    sha256 that every file had when it was prepared; ``data_list`` refuses files that have changed since.
    """

    root: Path
    cases: tuple[Case, ...]
    unpaired: tuple[str, ...] = ()
    layout: str = ""
    policy: dict = field(default_factory=dict)
    prepared: Path | None = None
    cache: Path | None = None
    expected: Mapping[Path, str] = field(default_factory=dict, repr=False)

    def of(self, split: str) -> list[Case]:
        """The cases of one split, in id order."""
        return [case for case in self.cases if case.split == split]


def find_dataset(folder: Path | str, task: Task, fold: int = 0) -> Dataset:
    """Open a prepared folder, or scan ``folder`` for one of the layouts of this module's docstring.

    Raises BadInput when the folder is missing, fits no layout, has no pair at all, holds one id twice, or leaves
    training or validation empty; for a prepared folder, when it is of another task or its files have moved.
    """
    from rep3d.data.data_list import is_prepared, open_prepared

    root = Path(folder)
    if not root.is_dir():
        raise BadInput(f"the data folder {root} does not exist", "give --data the folder that holds images and labels")
    if is_prepared(root):
        return open_prepared(root, task, fold)
    policy = dict(task.split)
    if fold and policy["kind"] != "folds":
        raise BadInput(f"--fold {fold} does not apply: task {task.key} has one split", "leave --fold out")
    split_folders = part_folders(root, policy)
    image_folders = next((pair for pair in TWO_FOLDERS if (root / pair[0]).is_dir()), None)
    unpaired: list[str] = []
    cases: list[Case] = []
    if split_folders:
        layout = "folders"
        if fold:
            raise BadInput(f"--fold {fold} does not apply: the folders in {root} are the split", "leave --fold out")
        for split, path in split_folders.items():
            pairs = _pairs_in(root, path, unpaired)
            cases += [Case(key, split, image, label) for key, (image, label) in pairs.items()]
    elif image_folders:
        layout = "images+labels"
        pairs = _pairs_of_two_folders(root, root / image_folders[0], root / image_folders[1], unpaired)
        splits = assign_splits(list(pairs), policy, fold)
        cases = [Case(key, splits[key], image, label) for key, (image, label) in pairs.items()]
    else:
        raise BadInput(
            f"{root} is not a data folder that Rep3D knows",
            "it needs the folders images/ and labels/ with the same file names, or train/, val/ and test/ "
            "with <id>_ct.nii.gz and <id>_seg.nii.gz; `rep3d prepare` reads other layouts",
        )
    if not cases:
        raise BadInput(
            f"{root} holds no image with a label ({len(unpaired)} files without a partner)",
            "images and labels are matched by name, e.g. images/a.nii.gz with labels/a.nii.gz",
        )
    seen: dict[str, Case] = {}
    for case in cases:
        if case.id in seen:
            other = seen[case.id]
            raise BadInput(
                f"the case {case.id} is there twice: {other.image} and {case.image}",
                "one case may be in one split only",
            )
        seen[case.id] = case
    dataset = Dataset(root, tuple(sorted(cases, key=lambda c: c.id)), tuple(sorted(unpaired)), layout, policy)
    for split in ("train", "val"):
        if not dataset.of(split):
            raise BadInput(f"{root} has no case for {split} ({len(cases)} cases in all)", "add cases or a val/ folder")
    return dataset


def assign_splits(
    ids: list[str], policy: dict, fold: int = 0, patients: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Split ids by the task's policy (see ``rep3d.tasks.splits``); a pure function of the set of ids.

    When the policy is the data set's own folders but the data lie in images/ and labels/, the sha256 of each id
    decides: 80 % train, 10 % val, 10 % test. Then adding cases never moves one that was there; a set too small to fill
    val gives its lowest hash to val. With ``patients`` (id -> patient) whole patients are divided.
    """
    if policy.get("kind", "folders") != "folders":
        return {key: part for part, keys in split_cases(policy, ids, fold, patients).items() for key in keys}
    if patients is not None:
        part_of = assign_splits(sorted({patients[key] for key in ids}), policy, fold)
        return {key: part_of[patients[key]] for key in ids}
    number = {key: int(hashlib.sha256(key.encode()).hexdigest()[:12], 16) / 16**12 for key in ids}
    splits = {key: "val" if u < 0.1 else "test" if u < 0.2 else "train" for key, u in number.items()}
    train = [key for key, split in splits.items() if split == "train"]
    if "val" not in splits.values() and len(train) > 1:
        splits[min(train, key=number.__getitem__)] = "val"
    return splits


def data_list(dataset: Dataset, task_key: str, hashes: dict[Path, str]) -> tuple[dict, str]:
    """The data list (ids, splits, relative paths, sha256 of every file), JSON-able, and its own sha256.

    The sha256 covers the cases alone, so it is the same on every machine that holds the same files, and the same for
    raw and for prepared data. Raises BadInput when a file of a prepared folder is not the one that was prepared.
    """
    changed = [path for path, digest in dataset.expected.items() if hashes.get(path, digest) != digest]
    if changed:
        raise BadInput(
            f"{len(changed)} files have changed since {dataset.prepared} was prepared: "
            + ", ".join(str(p) for p in changed[:5])
            + (" ..." if len(changed) > 5 else ""),
            "Put the old files back, or run `rep3d prepare ... --update` on purpose.",
        )

    def relative(file: Path) -> str:
        if dataset.prepared is not None and not file.is_relative_to(dataset.root):
            return file.relative_to(dataset.prepared).as_posix()  # made by the preparation: one channel, other labels
        return file.relative_to(dataset.root).as_posix()

    cases = [
        {
            "id": case.id,
            "split": case.split,
            "image": relative(case.image),
            "label": relative(case.label),
            "image_sha256": hashes[case.image],
            "label_sha256": hashes[case.label],
        }
        for case in dataset.cases
    ]
    canonical = json.dumps(cases, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode("utf-8")).hexdigest()
    counts = {split: len(dataset.of(split)) for split in SPLITS}
    content = {
        "format": "rep3d-data-list",
        "version": 1,
        "task": task_key,
        "layout": dataset.layout,
        "policy": dataset.policy,
        "counts": counts,
        "sha256": digest,
        "unpaired": list(dataset.unpaired),
        "cases": cases,
    }
    return content, digest


def _pairs_of_two_folders(root: Path, images: Path, labels: Path, unpaired: list[str]) -> dict[str, tuple[Path, Path]]:
    return _pairs(root, *without_tails(images_in(images), images_in(labels)), unpaired)


def _pairs_in(root: Path, folder: Path, unpaired: list[str]) -> dict[str, tuple[Path, Path]]:
    """Pairs of one split folder, flat (``<id>_ct`` + ``<id>_seg``) or with images/ and labels/ inside."""
    if (folder / "images").is_dir():
        return _pairs_of_two_folders(root, folder / "images", folder / "labels", unpaired)
    return _pairs(root, *by_tail(folder), unpaired)


def _pairs(root: Path, images: dict[str, Path], labels: dict[str, Path], unpaired: list[str]):
    for key in images.keys() ^ labels.keys():
        unpaired.append((images.get(key) or labels[key]).relative_to(root).as_posix())
    return {key: (images[key], labels[key]) for key in sorted(images.keys() & labels.keys())}
