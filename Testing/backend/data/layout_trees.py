"""Tiny copies of published layouts: names and JSON as published, images of a few voxels, or of none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

AMOS_LABELS = {
    "0": "background", "1": "spleen", "2": "right kidney", "3": "left kidney", "4": "gall bladder", "5": "esophagus",
    "6": "liver", "7": "stomach", "8": "arota", "9": "postcava", "10": "pancreas", "11": "right adrenal gland",
    "12": "left adrenal gland", "13": "duodenum", "14": "bladder", "15": "prostate/uterus",
}  # fmt: skip
#: KiTS's grid: the first index runs from head to feet, the third from left to right.
KITS_DIRECTION = (0, 0, -1, 0, 1, 0, -1, 0, 0)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def put_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def put_image(path: Path, array: np.ndarray, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=None) -> None:
    """Write [X, Y, Z], or [X, Y, Z, C] as a 4D file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose()), isVector=False)
    image.SetSpacing([*spacing, *[1.0] * (array.ndim - 3)])
    image.SetOrigin([*origin, *[0.0] * (array.ndim - 3)])
    if direction:
        image.SetDirection(direction)
    sitk.WriteImage(image, str(path))


def scan(seed: int, size=(14, 12, 10), classes: int = 2, low: float = 100) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image and its label map with a block of every class."""
    rng = np.random.default_rng(seed)
    label = np.zeros(size, np.uint8)
    for c in range(1, classes + 1):
        label[2 + seed % 3 : 8, 2 : 2 + size[1] // 2, c * size[2] // (classes + 2) + 1] = c
    label[:2][rng.random(label[:2].shape) < 0.2] = 1  # no two label maps are the same
    return (rng.normal(low, 10, size) + 40.0 * label).astype(np.int16), label


def amos(root: Path) -> Path:
    """Three CT and two MR training scans, one CT and one MR validation scan, one test image."""
    training, validation, test = ["0001", "0004", "0500", "0507", "0600"], ["0008", "0510"], ["0002"]
    for name in training:
        touch(root / f"imagesTr/amos_{name}.nii.gz", root / f"labelsTr/amos_{name}.nii.gz")
    for name in validation:
        touch(root / f"imagesVa/amos_{name}.nii.gz", root / f"labelsVa/amos_{name}.nii.gz")
    touch(*(root / f"imagesTs/amos_{name}.nii.gz" for name in test), root / "imagesTr/._amos_0001.nii.gz")

    def listed(names, part):
        return [{"image": f"./images{part}/amos_{n}.nii.gz", "label": f"./labels{part}/amos_{n}.nii.gz"} for n in names]

    put_json(
        root / "dataset.json",
        {
            "name": "AMOS", "release": "1.0 01/05/2022", "tensorImageSize": "3D", "modality": {"0": "CT"},
            "labels": AMOS_LABELS, "numTraining": 5, "training": listed(training, "Tr"),
            "validation": listed(validation, "Va"), "test": [{"image": f"./imagesTs/amos_{n}.nii.gz"} for n in test],
        },
    )  # fmt: skip
    return root


def msd(root: Path, ids, *, modality=None, labels=None, name="Hippocampus", write=touch) -> Path:
    """Task04's layout; ``write(image, label)`` makes the files of each case."""
    for key in ids:
        write(root / f"imagesTr/{key}.nii.gz", root / f"labelsTr/{key}.nii.gz")
    (root / "imagesTs").mkdir(exist_ok=True)
    put_json(
        root / "dataset.json",
        {
            "name": name, "description": "", "reference": "", "licence": "CC-BY-SA 4.0", "release": "1.0 04/05/2018",
            "tensorImageSize": "3D", "modality": modality or {"0": "MRI"},
            "labels": labels or {"0": "background", "1": "Anterior", "2": "Posterior"},
            "numTraining": len(ids), "numTest": 1, "test": [f"./imagesTs/{name.lower()}_002.nii.gz"],
            "training": [{"image": f"./imagesTr/{k}.nii.gz", "label": f"./labelsTr/{k}.nii.gz"} for k in ids],
        },
    )  # fmt: skip
    return root


def scans_msd(root: Path, count: int = 10, size=(14, 12, 10)) -> Path:
    """An MSD task with readable scans of two structures."""
    ids = [f"hippocampus_{i:03d}" for i in range(1, count + 1)]

    def write(image: Path, label: Path) -> None:
        voxels, truth = scan(int(image.name[12:15]), size)
        put_image(image, voxels)
        put_image(label, truth)

    return msd(root, ids, write=write)
