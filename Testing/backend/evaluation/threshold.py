"""A network that labels by brightness, and scans in which bright islands fool it: cheap, exact, in need of rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from rep3d.evaluation.subject import Subject
from rep3d.tasks import load_task

SIZE = (24, 26, 22)


class Threshold(torch.nn.Module):
    """Background, class 1 and class 2 where the intensity is nearest to 0, 1/2 and 1."""

    def forward(self, x):
        return torch.cat([-((x - level) ** 2) for level in (0.0, 0.5, 1.0)], dim=1)


def threshold_subject() -> Subject:
    identity = {"network": "threshold", "sha256": "ab" * 32}
    return Subject(Threshold(), load_task("msd-hippocampus"), (32, 32, 32), "", identity)


def write(path: Path, array: np.ndarray, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))


def make_islands(root: Path, val: int = 4) -> Path:
    """Scans in train/, val/ and test/; beside class 1 lie islands of its brightness, class 2 is really two pieces."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 1), ("val", val), ("test", 2)):
        for i in range(count):
            label = np.zeros(SIZE, np.uint8)
            x, y, z = rng.integers(2, 5, 3)
            label[x : x + 8, y : y + 8, z : z + 8] = 1
            label[16:22, 4:10, 4:10] = 2
            label[16:22, 16 : 20 + i % 2, 14:18] = 2
            image = 100 * label.astype(np.int16)
            image[1 + i % 3, 20:23, 18:20] = 100
            write(root / split / "images" / f"{split}{i}.nii.gz", image)
            write(root / split / "labels" / f"{split}{i}.nii.gz", label)
    return root
