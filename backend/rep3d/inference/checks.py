"""Looks at a scan before the run: does it fit the task, does it fit into memory, where is the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rep3d.data.preprocess import CHUNK_VOXELS, PERCENTILE_SAMPLES
from rep3d.data.volume import Volume
from rep3d.errors import OutOfMemory
from rep3d.inference.mapping import TILE

if TYPE_CHECKING:
    from rep3d.tasks import Task

MARGIN = 8  # network voxels of air that are kept around the body
WORKSPACE_VALUES = 256  # feature values a voxel of the patch that a network holds at once, roughly
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def modality_warnings(volume: Volume, task: Task) -> list[str]:
    """Sentences about intensities that do not look like the task's modality.

    Only warnings: a crop inside the body or an unusual export can look odd and still be right.
    """
    values = volume.array.ravel(order="K")  # a view of what was read, whose first axis is the fastest
    values = values[:: max(1, values.size // PERCENTILE_SAMPLES)]
    low, high = float(values.min()), float(values.max())
    found = []
    if task.modality == "CT":
        if low >= 0 and high > 500:
            found.append(
                f"The task {task.key} expects CT in Hounsfield units, but no voxel is below 0 ({low:g} to {high:g}): "
                "is this another modality, or CT without its offset (usually -1024)?"
            )
        elif high - low < 200 or high > 40000 or low < -40000:
            found.append(
                f"The task {task.key} expects CT in Hounsfield units, but the values run from {low:g} to {high:g}: "
                "is this another modality?"
            )
    elif task.modality == "MR" and low <= -500:
        found.append(
            f"The task {task.key} expects MR, but the values ({low:g} to {high:g}) look like CT in Hounsfield units."
        )
    return found


def size_warnings(volume: Volume) -> list[str]:
    """A sentence about a field of view that no scan of a patient has."""
    extent = [n * s for n, s in zip(volume.shape, volume.spacing_mm)]
    if min(extent) >= 16 and max(extent) <= 2500:
        return []
    shown = " x ".join(f"{e:.3g}" for e in extent)
    return [f"The volume measures {shown} mm: check the voxel size, or expect little where it is so thin."]


def body_box(x_XYZ: np.ndarray, patch: tuple[int, int, int]) -> Box:
    """Smallest box on the network grid with everything above 0 (air, or what was masked out) and a margin.

    Along each axis it holds a patch where the volume does, so that windows see real voxels rather than padding.
    """
    box = []
    for axis in range(3):
        used = np.flatnonzero(x_XYZ.max(axis=tuple(a for a in range(3) if a != axis)) > 0)
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, x_XYZ.shape[axis])
        box.append(widen(low - MARGIN, high + MARGIN, x_XYZ.shape[axis], patch[axis]))
    return tuple(box)


def widen(low: int, high: int, size: int, patch: int) -> tuple[int, int]:
    """The interval grown evenly to ``patch`` voxels and moved inside [0, size)."""
    missing = max(0, patch - (high - low))
    low, high = low - missing // 2, high + (missing - missing // 2)
    if low < 0:
        low, high = 0, high - low if missing else high
    if high > size:
        low, high = low - (high - size) if missing else low, size
    return max(0, low), min(size, high)


def estimate_bytes(
    native: tuple[int, int, int],
    network: tuple[float, float, float],
    patch: tuple[int, int, int],
    num_classes: int,
) -> int:
    """Memory of a run beside the scan itself and the network's weights, if nothing is cropped off.

    ``native`` and ``network`` are sizes in RAS order. The larger of preparing and segmenting, and the native labels.
    """
    segmenting = 4 * float(np.prod(network)) + window_bytes(network, patch, num_classes)
    labels = float(np.prod(native)) * (1 if num_classes <= 256 else 2)
    return int(max(prepare_bytes(native, network), segmenting) + labels)


def prepare_bytes(native: tuple[int, int, int], network: tuple[float, float, float]) -> int:
    """Peak of resampling and normalising: two neighbouring stages of either, in float32.

    Axes are resampled one after the other, the one that shrinks most first, in pieces that are converted to float32;
    intensities need a copy and a mask.
    """
    voxels, held, peak = float(np.prod(native)), 0.0, 0.0
    for ratio in sorted(new / old for old, new in zip(native, network)):
        voxels *= ratio
        peak, held = max(peak, held + voxels), voxels
    piece = min(float(np.prod(native)), 2 * CHUNK_VOXELS)
    return int(4 * max(peak + piece, 2.25 * voxels))


def window_bytes(box: tuple[float, float, float], patch: tuple[int, int, int], num_classes: int, batch: int = 1) -> int:
    """Memory of segmenting ``box`` voxels of the network grid beside the box itself, ``batch`` windows at once.

    A slab of logits and the few rows that are kept of the one before, the windows' logits and features, the logits of
    air, a tile on the way back, and a padded copy of a box that is smaller than a patch.
    """
    padded = [max(n, p) for n, p in zip(box, patch)]
    slab = min(patch[a] * padded[(a + 1) % 3] * padded[(a + 2) % 3] for a in range(3))
    copy = float(np.prod(padded)) if padded != list(box) else 0.0
    window = float(np.prod(patch)) * (batch * (WORKSPACE_VALUES + num_classes) + num_classes)
    return int(4 * (1.05 * num_classes * slab + window + 3 * num_classes * TILE**3 + copy))


def check_memory(need: int, what: str) -> None:
    """Raise OutOfMemory if ``need`` bytes are more than the machine has free now."""
    import psutil

    free = psutil.virtual_memory().available
    if need > free:
        raise OutOfMemory(
            f"{what} needs about {need / 2**30:.1f} GiB of memory; {free / 2**30:.1f} GiB are free.",
            "Close other programs, crop the scan, check its voxel size, or use a machine with more memory.",
        )
