"""The two pictures that say why: a mask of the network and the receptive field of one of its answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from rep3d.data.preprocess import normalise, to_network_grid
from rep3d.figures import erf_figure, mask_figure
from rep3d.interpret import masks_from_weights, patch_around, receptive_field

if TYPE_CHECKING:
    from rep3d.data.volume import Volume
    from rep3d.interpret import ReceptiveField
    from rep3d.tasks import Label
    from rep3d.weights import Weights


@dataclass(frozen=True)
class Question:
    """The voxel whose logit is explained, on the network grid, and the structure it was given to."""

    label: Label
    voxel: tuple[int, int, int]


def draw_mask(path: Path, weights: Weights) -> str | None:
    """Draw the mask of the first block, the one on the finest grid. Returns its name, None when there are no masks."""
    blocks = masks_from_weights(weights)
    if not blocks:
        return None
    mask_figure(path, blocks[0], subtitle=f"weights {weights.meta.id}")
    return blocks[0].name


def deepest_voxel(labels_XYZ: np.ndarray, weights: Weights) -> Question | None:
    """The voxel that lies deepest inside any structure (in mm), and that structure; None for an empty label map."""
    best, question = 0.0, None
    for label in weights.meta.task.labels:
        boxes = ndimage.find_objects((labels_XYZ == label.value).astype(np.uint8))
        if not boxes:
            continue
        inside = np.pad(labels_XYZ[boxes[0]] == label.value, 1)
        depth = ndimage.distance_transform_edt(inside, weights.meta.spacing_mm)
        if depth.max() > best:
            best = float(depth.max())
            local = np.unravel_index(int(depth.argmax()), depth.shape)
            question = Question(label, tuple(int(v) - 1 + b.start for v, b in zip(local, boxes[0])))
    return question


def draw_receptive_field(
    path: Path, weights: Weights, network: nn.Module, scan: Volume, labels: Volume, device: torch.device
) -> tuple[ReceptiveField, Label] | None:
    """Explain the logit at the deepest voxel of the result and draw it; None when nothing was found."""
    meta = weights.meta
    question = deepest_voxel(to_network_grid(labels, meta.spacing_mm, label=True).array, weights)
    if question is None:
        return None
    grid = to_network_grid(scan, meta.spacing_mm)
    patch, voxel, _ = patch_around(normalise(grid.array, meta.intensity), question.voxel, meta.patch)
    field = receptive_field(
        network.to(device),
        torch.from_numpy(patch)[None].to(device),
        voxel,
        question.label.value,
        spacing_mm=meta.spacing_mm,
    )
    subtitle = (
        f"the {question.label.name.lower()} logit at + depends on these voxels  ·  "
        f"50 % of the gradient within {field.radius50_mm:.0f} mm, 90 % within {field.radius90_mm:.0f} mm  ·  "
        f"window of {' × '.join(map(str, meta.patch))} voxels"
    )
    erf_figure(path, field, patch, subtitle=subtitle)
    return field, question.label
