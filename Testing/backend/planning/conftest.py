"""Tiny data sets in the published layouts, and an empty folder of own tasks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture(autouse=True)
def own_tasks(tmp_path, monkeypatch) -> Path:
    """An empty folder of own tasks."""
    folder = tmp_path / "own"
    monkeypatch.setenv("REP3D_TASKS_DIR", str(folder))
    return folder


def write_pair(
    image: Path, label: Path, seed: int, *, channels: int = 1, values=(1, 2), spacing=(1.0, 1.0, 2.0)
) -> None:
    """20 x 24 x 12 voxels: boxes of the label values, brighter than the noise around them; channels differ."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((20, 24, 12), np.uint8)
    for i, value in enumerate(values):
        labels[3 + 8 * i : 9 + 8 * i, 5:15, 3:9] = value
    arrays = [(rng.normal(100 * (c + 1), 5, labels.shape) + 50.0 * labels).astype(np.float32) for c in range(channels)]
    for path, several in ((image, arrays), (label, [labels])):
        path.parent.mkdir(parents=True, exist_ok=True)
        made = []
        for array in several:
            made.append(sitk.GetImageFromArray(array.transpose(2, 1, 0)))
            made[-1].SetSpacing(spacing)
        sitk.WriteImage(made[0] if len(made) == 1 else sitk.JoinSeries(made), str(path))


@pytest.fixture
def msd(tmp_path):
    """A function: write an MSD task of ``count`` cases, with changes to its dataset.json; returns its folder."""

    def write(count: int = 12, channels: int = 1, values=(1, 2), **changes) -> Path:
        root = tmp_path / "Task99_Höhle"
        pairs = []
        for i in range(count):
            image, label = f"imagesTr/c_{i:02d}.nii.gz", f"labelsTr/c_{i:02d}.nii.gz"
            write_pair(root / image, root / label, i, channels=channels, values=values)
            pairs.append({"image": f"./{image}", "label": f"./{label}"})
        content = {
            "name": "Höhle", "description": "Left kidney and cyst", "reference": "A. Nonymous, 2026",
            "licence": "CC-BY 4.0", "modality": {str(c): name for c, name in enumerate(("MRI", "T2")[:channels])},
            "labels": {"0": "background", "1": "left kidney", "2": "cyst"}, "numTraining": count, "training": pairs,
            "test": [], **changes,
        }  # fmt: skip
        (root / "dataset.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return root

    return write


@pytest.fixture
def nnunet(tmp_path):
    """A function: write an nnU-Net data set (version 2 unless ``content`` says otherwise); returns its folder."""

    def write(content: dict | None = None, count: int = 4) -> Path:
        root = tmp_path / "Dataset007_Kidney"
        for i in range(count):
            write_pair(root / f"imagesTr/k{i}_0000.nii.gz", root / f"labelsTr/k{i}.nii.gz", i)
        content = content or {
            "channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1, "tumour": 2}, "numTraining": count,
            "file_ending": ".nii.gz", "license": "CC0",
        }  # fmt: skip
        (root / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
        return root

    return write


@pytest.fixture
def pairs():
    """Write one image with its label map: pairs(image_path, label_path, seed, ...)."""
    return write_pair
