"""Do an image and its label map lie on one grid? What differs, by how much, and whether it matters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rep3d.data.volume import SAME_GRID_VOXELS, Geometry, grid_distance

WARNING_VOXELS = 0.02  # grids that are the same but lie further apart than this are told


@dataclass(frozen=True)
class Disagreement:
    """How two grids differ: ``severity`` error or warning; ``text`` names size, spacing, direction and origin."""

    severity: str
    text: str


def disagreement(image: Geometry, label: Geometry) -> Disagreement | None:
    """Compare two grids; None when they agree to :data:`WARNING_VOXELS`, an error when they are not the same.

    What counts is :func:`rep3d.data.volume.grid_distance`; what differs is then named.
    """
    if image.size != label.size:
        return Disagreement("error", f"size {_row(image.size, 0)} and {_row(label.size, 0)} voxels")
    off = grid_distance(image, label)
    if off <= WARNING_VOXELS:
        return None
    moved = off * min(*image.spacing, *label.spacing)
    parts = []
    a, b = np.array(image.spacing), np.array(label.spacing)
    if np.abs(a / b - 1).max() > 1e-5:
        parts.append(f"spacing {_row(a)} and {_row(b)} mm")
    turn = np.array(image.direction).reshape(3, 3).T @ np.array(label.direction).reshape(3, 3)
    angle = float(np.degrees(np.arccos(np.clip(np.diag(turn).min(), -1, 1))))
    if angle > 1e-3:
        parts.append(f"direction by {angle:.3g} degrees")
    shift = np.abs(np.array(image.origin) - np.array(label.origin)).max()
    if shift > 1e-4 or not parts:
        parts.append(f"origin {_row(image.origin)} and {_row(label.origin)} mm (LPS)")
    severity = "error" if off > SAME_GRID_VOXELS else "warning"
    return Disagreement(severity, f"{'; '.join(parts)}; a corner is {moved:.3g} mm ({off:.2g} voxels) off")


def _row(values, digits: int = 4) -> str:
    return " x ".join(f"{v:.{digits}f}".rstrip("0").rstrip(".") if digits else str(int(v)) for v in values)
