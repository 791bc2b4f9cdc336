"""A scan stored in LPS order with one structure on the patient's right and one on the left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rep3d.data.volume import Volume
from rep3d.tasks import Task, load_task

pytest.importorskip("matplotlib")


@pytest.fixture
def two_organs() -> Task:
    """Label 1 pure red, label 2 pure green."""
    task = load_task("openkbp")
    one, two = task.labels[:2]
    return replace(
        task,
        title="Two organs",
        labels=(replace(one, name="Right one", color=(255, 0, 0)), replace(two, name="Left one", color=(0, 255, 0))),
    )


@pytest.fixture
def pair() -> tuple[Volume, Volume]:
    """Scan and labels [40, 36, 30] of 2 x 2 x 3 mm; array axes run to Left, Posterior, Superior."""
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    image = np.full((40, 36, 30), -1000, np.int16)
    image[4:36, 4:32, 2:28] = 40
    labels = np.zeros(image.shape, np.uint8)
    labels[8:14, 10:18, 10:20] = 1  # low x index = the patient's right in this order
    labels[26:32, 18:26, 10:20] = 2
    return Volume(image, affine), Volume(labels, affine)


@pytest.fixture
def read_png():
    """Read a picture as floats [rows, columns, 3]."""
    from matplotlib.image import imread

    return lambda path: imread(Path(path))[..., :3]
