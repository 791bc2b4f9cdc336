"""What a segmentation gives back: the label map on the native grid and what was measured in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rep3d.data.volume import Volume

if TYPE_CHECKING:
    from rep3d.inference.cautions import Caution
    from rep3d.tasks import Label, Task

DEMO_SUFFIX = " (demo weights)"


def segmentation_name(title: str, demo_only: bool) -> str:
    """``title``, with the suffix where the weights are for trying the software."""
    return title + (DEMO_SUFFIX if demo_only else "")


@dataclass(frozen=True)
class StructureStats:
    """One structure of the result; ``mean`` and ``sd`` are of the scan's own intensities, None if it is absent."""

    value: int
    key: str
    name: str
    voxels: int
    volume_ml: float
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class SegmentationResult:
    """A label map [X, Y, Z] (uint8, or uint16 above 255 labels) on exactly the grid of ``volume``."""

    volume: Volume
    labelmap: np.ndarray
    task: Task
    labels: tuple[Label, ...]  # the structures that were asked for; all others are background
    stats: tuple[StructureStats, ...]
    warnings: tuple[str, ...]
    settings: dict[str, Any]
    timings_s: dict[str, float]
    weights: dict[str, Any] = field(default_factory=dict)  # id, sha256 and file, where weights were used
    cautions: tuple[Caution, ...] = ()

    @property
    def name(self) -> str:
        """What to call the segmentation; it says so where the weights are for trying the software."""
        return segmentation_name(self.task.title, self.weights.get("demo_only", False))


def measure(
    labelmap: np.ndarray, image: np.ndarray, labels: tuple[Label, ...], voxel_mm3: float
) -> list[StructureStats]:
    """Voxel counts, volumes in mL, mean and standard deviation of ``image`` for every label, absent ones with 0.

    Works through the volume in pieces, so that no full-size float copy is made. Sums are taken around a value of the
    image itself, which keeps the variance exact for intensities far from zero.
    """
    size = max((label.value for label in labels), default=0) + 1
    count, total, squares = np.zeros(size, np.int64), np.zeros(size), np.zeros(size)
    centre = float(image[tuple(n // 2 for n in image.shape)])
    for z in range(labelmap.shape[2]):  # slices that lie together in memory: arrays come from files x first
        values = labelmap[..., z].ravel(order="F")
        inside = np.flatnonzero(values)
        if not len(inside):
            continue
        index, offset = values[inside], image[..., z].ravel(order="F")[inside].astype(np.float64) - centre
        count += np.bincount(index, minlength=size)[:size]
        total += np.bincount(index, offset, minlength=size)[:size]
        squares += np.bincount(index, offset**2, minlength=size)[:size]
    stats = []
    for label in labels:
        n = int(count[label.value])
        mean = sd = None
        if n:
            shift = total[label.value] / n
            mean = float(centre + shift)
            sd = float(np.sqrt(max(0.0, squares[label.value] / n - shift**2)))
        stats.append(StructureStats(label.value, label.key, label.name, n, n * voxel_mm3 / 1000, mean, sd))
    return stats
