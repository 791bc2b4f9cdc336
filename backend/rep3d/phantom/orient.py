"""An array in another orientation: transposed and flipped, with the affine that keeps every voxel in its place."""

from __future__ import annotations

import itertools

import numpy as np

_SIDES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}

#: All 48 orientations as axis codes: "RAS" means that the axes run to the right, to the front and to the head.
ORIENTATIONS = tuple(
    "".join(letters) for order in itertools.permutations(("RL", "AP", "SI")) for letters in itertools.product(*order)
)


def reorient(
    image: np.ndarray, labels: np.ndarray, affine: np.ndarray, codes: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From RAS axes to the axes that ``codes`` name; the affine changes so that patient positions do not."""
    order = [_SIDES[c][0] for c in codes]
    signs = [_SIDES[c][1] for c in codes]
    out = np.eye(4)
    out[:3, 3] = affine[:3, 3]
    for new, (old, sign) in enumerate(zip(order, signs)):
        out[:3, new] = affine[:3, old] * sign
        if sign < 0:
            out[:3, 3] += affine[:3, old] * (image.shape[old] - 1)
    flip = tuple(slice(None, None, sign) for sign in signs)
    return (
        np.ascontiguousarray(image.transpose(order)[flip]),
        np.ascontiguousarray(labels.transpose(order)[flip]),
        out,
    )
