"""What is asked of the worker for clicks, and what is remembered of a volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..grids import Grid, is_linear
from ..volumes import ExportedVolume, world_affine
from .picking import PreparedVolume


@dataclass(frozen=True)
class ClickOptions:
    """With what a volume is prepared; ``task`` or ``weights`` (a file) is needed. See ``run.SegmentOptions``."""

    task: str | None = None
    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    overlap: float = 0.5

    def network(self) -> dict[str, Any]:
        """The part that decides how a volume is opened."""
        return {"task": self.task, "weights": self.weights}

    def run(self) -> dict[str, Any]:
        """The part that decides how windows run."""
        return {"device": self.device, "precision": self.precision, "overlap": float(self.overlap)}


@dataclass
class Entry:
    """A volume that is open in the worker, and what is known of it."""

    key: str
    label_info: list[dict[str, Any]]
    signature: tuple
    worker: Any  # the private folder: another one means another worker
    volume_id: str
    exported: ExportedVolume
    warnings: tuple[str, ...] = ()
    whole: dict[ClickOptions, PreparedVolume] = field(default_factory=dict)
    observers: list[tuple[Any, int]] = field(default_factory=list)


def signature_of(volume_node) -> tuple:
    """What must stay the same for an answer to stay true: voxels, grid and the way to the world.

    () for what cannot be prepared: no image, or a way to the world that is no matrix.
    """
    image = volume_node.GetImageData()
    if image is None or not is_linear(volume_node.GetParentTransformNode(), None):
        return ()
    scalars = image.GetPointData().GetScalars()
    changed = (image.GetMTime(), scalars.GetMTime() if scalars is not None else 0)
    return changed, Grid.of(volume_node), tuple(np.round(world_affine(volume_node), 9).ravel().tolist())
