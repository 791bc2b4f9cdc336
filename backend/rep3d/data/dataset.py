"""Which scans there are and which of them train, validate or test: pairs by id, splits, data.json.

Three layouts are understood:

- ``FOLDER/images`` + ``FOLDER/labels`` (also MSD's ``imagesTr``/``labelsTr``): same names; split by the task's policy;
- ``FOLDER/{train,val,test}/<id>_ct.nii.gz`` + ``<id>_seg.nii.gz`` (OpenKBP): the folders are the split;
- ``FOLDER/{train,val,test}/{images,labels}``: the folders are the split.

Images and labels meet by id (the name without its suffix), never by their place in a sorted list.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from rep3d.errors import BadInput
from rep3d.tasks import Task
from rep3d.tasks.splits import split_cases

SPLITS = ("train", "val", "test")
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
_IMAGE_FOLDERS = (("images", "labels"), ("imagesTr", "labelsTr"))
_PAIR_TAIL = re.compile(r"^(?P<id>.+)_(?P<kind>ct|mr|image|seg|label)$")


@dataclass(frozen=True)
class Case:
    """One scan with its truth. ``id`` is unique in the data set; ``split`` is train, val or test."""

    id: str
    split: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Dataset:
    """All cases of a folder in id order, and what could not be used (``unpaired``: paths without a partner)."""

    root: Path
    cases: tuple[Case, ...]
    unpaired: tuple[str, ...] = ()
    layout: str = ""
    policy: dict = field(default_factory=dict)

    def of(self, split: str) -> list[Case]:
        """The cases of one split, in id order."""
        return [case for case in self.cases if case.split == split]


def stem(path: Path) -> str | None:
    """Name without its image suffix, or None when the file is not an image (``a.b.nii.gz`` -> ``a.b``)."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return None


def find_dataset(folder: Path | str, task: Task, fold: int = 0) -> Dataset:
    """Scan ``folder`` for one of the layouts of this module's docstring.

    Raises BadInput when the folder is missing, fits no layout, has no pair at all, holds one id twice, or leaves
    training or validation empty.
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadInput(f"the data folder {root} does not exist", "give --data the folder that holds images and labels")
    policy = dict(task.split)
    if fold and policy["kind"] != "folds":
        raise BadInput(f"--fold {fold} does not apply: task {task.key} has one split", "leave --fold out")
    named = {split: policy[split] if policy["kind"] == "folders" else split for split in SPLITS}
    split_folders = {split: root / name for split, name in named.items() if (root / name).is_dir()}
    image_folders = next((pair for pair in _IMAGE_FOLDERS if (root / pair[0]).is_dir()), None)
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
            "with <id>_ct.nii.gz and <id>_seg.nii.gz",
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


def assign_splits(ids: list[str], policy: dict, fold: int = 0) -> dict[str, str]:
    """Split ids by the task's policy (see ``rep3d.tasks.splits``); a pure function of the set of ids.

    When the policy is the data set's own folders but the data lie in images/ and labels/, the sha256 of each id
    decides: 80 % train, 10 % val, 10 % test. Then adding cases never moves one that was there; a set too small to fill
    val gives its lowest hash to val.
    """
    if policy.get("kind", "folders") != "folders":
        return {key: part for part, keys in split_cases(policy, ids, fold).items() for key in keys}
    number = {key: int(hashlib.sha256(key.encode()).hexdigest()[:12], 16) / 16**12 for key in ids}
    splits = {key: "val" if u < 0.1 else "test" if u < 0.2 else "train" for key, u in number.items()}
    train = [key for key, split in splits.items() if split == "train"]
    if "val" not in splits.values() and len(train) > 1:
        splits[min(train, key=number.__getitem__)] = "val"
    return splits


def data_list(dataset: Dataset, task_key: str, hashes: dict[Path, str]) -> tuple[dict, str]:
    """The data list (ids, splits, relative paths, sha256 of every file), JSON-able, and its own sha256.

    The sha256 covers the cases alone, so it is the same on every machine that holds the same files.
    """

    def relative(file: Path) -> str:
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
        "task": task_key,
        "layout": dataset.layout,
        "policy": dataset.policy,
        "counts": counts,
        "sha256": digest,
        "unpaired": list(dataset.unpaired),
        "cases": cases,
    }
    return content, digest


def _images_in(folder: Path) -> dict[str, Path]:
    """id -> file of every image in a folder; hidden files (``._x`` of macOS) are skipped, a double id is refused."""
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


def _pairs_of_two_folders(root: Path, images: Path, labels: Path, unpaired: list[str]) -> dict[str, tuple[Path, Path]]:
    image_of, label_of = _images_in(images), _images_in(labels)
    # nnU-Net and MSD name the first channel of case x "x_0000"; the label has no such tail.
    image_of = {k[:-5] if k.endswith("_0000") and k[:-5] in label_of else k: p for k, p in image_of.items()}
    for key in image_of.keys() ^ label_of.keys():
        unpaired.append((image_of.get(key) or label_of[key]).relative_to(root).as_posix())
    return {key: (image_of[key], label_of[key]) for key in sorted(image_of.keys() & label_of.keys())}


def _pairs_in(root: Path, folder: Path, unpaired: list[str]) -> dict[str, tuple[Path, Path]]:
    """Pairs of one split folder, flat (``<id>_ct`` + ``<id>_seg``) or with images/ and labels/ inside."""
    if (folder / "images").is_dir():
        return _pairs_of_two_folders(root, folder / "images", folder / "labels", unpaired)
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for name, path in _images_in(folder).items():
        match = _PAIR_TAIL.match(name)
        if not match:
            continue  # other files of the data set, such as <id>_seg7, belong to other tasks
        side = labels if match["kind"] in ("seg", "label") else images
        if match["id"] in side:
            raise BadInput(f"{path} and {side[match['id']]} have the same id", "keep one of the two files")
        side[match["id"]] = path
    for key in images.keys() ^ labels.keys():
        unpaired.append((images.get(key) or labels[key]).relative_to(root).as_posix())
    return {key: (images[key], labels[key]) for key in sorted(images.keys() & labels.keys())}
