"""Small islands: parts of a structure far smaller than its largest one, such as a bit of liver in the thigh."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from rep3d.tasks import Label

#: A part with fewer voxels than this share of the structure's largest part is an island. Both kidneys under one label,
#: or several tumours, are of similar size and stay.
SHARE = 0.1


def components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected components of ``mask`` [X, Y, Z]: numbers from 1 (int32, 0 outside) and sizes in voxels [n].

    Voxels that touch at a face, an edge or a corner are connected.
    """
    parts, count = ndimage.label(mask, structure=np.ones((3, 3, 3)), output=np.int32)
    return parts, np.bincount(parts.ravel(), minlength=count + 1)[1:]


def remove_islands(
    labelmap: np.ndarray, labels: Iterable[Label], voxel_mm3: float, share: float = SHARE
) -> dict[str, dict[str, float]]:
    """Make the islands of every structure background, in place.

    Args:
        labelmap: [X, Y, Z]; structures do not influence each other.
        share: of the largest component of a structure, below which a component is an island.

    Returns:
        By key of the structures that lost something: how many ``components``, and their volume in ``ml``.
    """
    boxes = ndimage.find_objects(labelmap)
    removed = {}
    for label in labels:
        box = boxes[label.value - 1] if label.value <= len(boxes) else None
        if box is None:
            continue
        parts, sizes = components(labelmap[box] == label.value)
        small = sizes < share * sizes.max()
        if small.any():
            labelmap[box][np.concatenate([[False], small])[parts]] = 0
            removed[label.key] = {
                "components": int(small.sum()),
                "ml": round(float(sizes[small].sum() * voxel_mm3 / 1000), 6),
            }
    return removed
