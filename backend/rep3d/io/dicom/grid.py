"""Lay frames on one regular grid: right to a tenth of a voxel, or not at all and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rep3d.data.volume import Geometry
from rep3d.io.dicom.frames import Frame
from rep3d.io.dicom.headers import text

TOLERANCE = 0.1  # voxel: no corner of a slice may lie farther from where the grid puts it
NOTICE = 0.01  # voxel: what is said
SAME_MM = 1e-3  # slices this close lie at the same position
OTHER_PLANE = 0.02  # between directions: more is another plane, not an inexact one
_RESAMPLE = "Resample it to a regular grid first (3D Slicer's DICOM module can), or export the scan alone."


class Misfit(Exception):
    """The frames do not form one grid. ``doubled`` if some lie at one position, in one another or in other planes."""

    def __init__(self, reason: str, hint: str, doubled: bool = False):
        super().__init__(reason)
        self.hint, self.doubled = hint, doubled


@dataclass(frozen=True)
class Stack:
    """Frames in the order of the grid's third axis; ``notice`` says how far they lie from it, "" if not at all."""

    frames: tuple[Frame, ...]
    geometry: Geometry
    notice: str


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Order two frames and more along their normal and lay them on one grid.

    Raises:
        Misfit: some corner would lie more than TOLERANCE voxels off; it says which, by how much and why.
    """
    _check_alike(frames)
    axes = np.asarray([f.orientation for f in frames])  # [n, 2, 3]
    row, column = np.median(axes, axis=0)
    if np.abs(axes - np.stack([row, column])).max() > OTHER_PLANE:
        odd = _rarest(frames, [tuple(np.round(a, 2).ravel() + 0.0) for a in axes])
        raise Misfit(f"the slices lie in different planes: {odd}", "Export the scan alone.", doubled=True)
    row = row / np.linalg.norm(row)
    if abs(row @ column) > OTHER_PLANE:
        raise Misfit("the rows and columns of the slices are not at right angles", _RESAMPLE)
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    normal = np.cross(row, column)
    positions = np.asarray([f.position for f in frames])
    order = np.argsort(positions @ normal, kind="stable")
    frames, positions = [frames[i] for i in order], positions[order]
    heights = positions @ normal
    steps = np.diff(heights)
    if steps.min() < SAME_MM:
        raise Misfit(_doubled(frames, steps), "Export one of them alone.", doubled=True)
    spacing = np.median([f.spacing for f in frames], axis=0)
    size = (*frames[0].size, len(frames))
    direction = np.stack([row, column, normal], axis=1)  # columns are the axes of the grid
    best = None
    for fit in (_by_ends, _by_squares):
        step, origin = fit(positions, heights, normal)
        geometry = Geometry(
            tuple(map(int, size)),
            (float(spacing[0]), float(spacing[1]), float(step)),
            tuple(map(float, origin)),
            tuple(map(float, direction.ravel())),
        )
        off_mm = _corners_off(frames, geometry)  # [n, 3 corners, 3 axes]
        off = np.abs(off_mm / geometry.spacing).max(axis=(1, 2))
        if best is None or off.max() < best[1].max():
            best = geometry, off, off_mm
        if off.max() <= NOTICE:
            break
    geometry, off, off_mm = best
    if off.max() > TOLERANCE:
        raise _reason(frames, off_mm, steps, geometry)
    return Stack(tuple(frames), geometry, _notice(frames, geometry, off, off_mm, steps))


def _notice(frames: list[Frame], geometry: Geometry, off: np.ndarray, off_mm: np.ndarray, steps: np.ndarray) -> str:
    """A sentence for the user where the grid is not exact."""
    worst = int(off.argmax())
    if off[worst] <= NOTICE:
        return ""
    what = "shifted or turned a little against each other"
    if np.ptp(steps) > NOTICE * geometry.spacing[2]:
        what = f"unevenly spaced ({steps.min():.3g} to {steps.max():.3g} mm; {geometry.spacing[2]:.3g} mm is assumed)"
    return (
        f"The slices are {what}: up to {np.abs(off_mm[worst]).max():.2g} mm ({off[worst]:.2g} voxel, at "
        f"{frames[worst].name}) off the grid."
    )


def _by_ends(positions, heights, normal):
    """Step and origin from the first and the last slice: exact for an exact series."""
    return (heights[-1] - heights[0]) / (len(heights) - 1), positions[0]


def _by_squares(positions, heights, normal):
    """Step and origin that share out what does not fit."""
    k = np.arange(len(heights))
    step = np.polyfit(k, heights, 1)[0]
    return step, (positions - k[:, None] * step * normal).mean(axis=0)


def _corners_off(frames: Sequence[Frame], geometry: Geometry) -> np.ndarray:
    """How far three corners of each frame lie from the grid's, along the grid's axes [n, 3, 3], millimetres."""
    direction = np.asarray(geometry.direction).reshape(3, 3)
    last = np.asarray(geometry.size[:2]) - 1
    corners = np.asarray([(0, 0), (last[0], 0), (0, last[1])])
    spacing = np.asarray([f.spacing for f in frames])  # [n, 2]
    axes = np.asarray([f.orientation for f in frames])  # [n, 2, 3]
    places = np.asarray([f.position for f in frames])[:, None] + np.einsum("ca,na,nax->ncx", corners, spacing, axes)
    k = np.arange(len(frames))
    ours = corners @ (direction[:, :2] * geometry.spacing[:2]).T + np.asarray(geometry.origin)
    ours = ours[None] + (k[:, None] * geometry.spacing[2] * direction[:, 2])[:, None]
    return (places - ours) @ direction


def _reason(frames: list[Frame], off_mm: np.ndarray, steps: np.ndarray, geometry: Geometry) -> Misfit:
    """Say what keeps the frames from one grid."""
    through = np.abs(off_mm[:, 0, 2]).max() / geometry.spacing[2]
    across_mm = off_mm[:, 0, :2]
    across = np.abs(across_mm / geometry.spacing[:2]).max()
    if through > TOLERANCE and through >= across:
        return _uneven(frames, steps, float(np.abs(off_mm[:, 0, 2]).max()))
    if across > TOLERANCE:
        total = across_mm[-1] - across_mm[0]
        far = float(np.linalg.norm(across_mm - across_mm[0], axis=1).max())
        straight = across_mm[0] + np.linspace(0, 1, len(frames))[:, None] * total
        height = geometry.spacing[2] * (len(frames) - 1)
        if np.abs((across_mm - straight) / geometry.spacing[:2]).max() <= TOLERANCE:
            angle = np.degrees(np.arctan2(np.linalg.norm(total), height))
            return Misfit(
                f"the slices are shifted against each other by a gantry tilt of {angle:.2g} degrees: {far:.3g} mm from "
                "the first to the last, so the axes are not at right angles",
                _RESAMPLE,
            )
        worst = frames[int(np.linalg.norm(across_mm, axis=1).argmax())]
        return Misfit(f"the slices are shifted sideways, by up to {far:.3g} mm ({worst.name})", _RESAMPLE)
    if len({f.spacing for f in frames}) > 1:
        odd = _rarest(frames, [f"{f.spacing[1]:g} x {f.spacing[0]:g} mm" for f in frames])
        return Misfit(f"the slices differ in PixelSpacing: {odd}", "Export the scan alone.", doubled=True)
    worst = int(np.abs(off_mm / geometry.spacing).max(axis=(1, 2)).argmax())
    return Misfit(
        "the slices are turned against each other, or their rows and columns are not at right angles: "
        f"a corner of {frames[worst].name} lies {np.abs(off_mm[worst]).max():.2g} mm off",
        _RESAMPLE,
    )


def _uneven(frames: list[Frame], steps: np.ndarray, off_mm: float) -> Misfit:
    """Missing slices, or distances that differ for another reason."""
    base = float(np.median(steps[steps < 1.5 * steps.min()]))
    wide = steps > 1.5 * base
    if wide.any() and np.abs(steps[~wide] - base).max() <= 0.2 * base:
        lost, widest = steps[wide] / base - 1, int(steps.argmax())
        between = f"{frames[widest].name} and {frames[widest + 1].name} {steps[widest]:.4g} mm"
        what = "there is a gap" if wide.sum() == 1 else f"there are {wide.sum()} gaps"
        if np.abs(lost - np.rint(lost)).max() <= 0.2:
            count = int(np.rint(lost).sum())
            what = "1 slice is missing" if count == 1 else f"{count} slices are missing"
        return Misfit(f"{what}: the slices lie {base:.4g} mm apart, but {between}", "Export the whole series.")
    kinds = Counter(float(f"{s:.3g}") for s in steps)
    shown = f"{steps.min():.3g} to {steps.max():.3g} mm"
    if len(kinds) <= 4:
        shown = ", ".join(f"{n} x {s:g} mm" for s, n in sorted(kinds.items()))
    return Misfit(
        f"the slices are unevenly spaced ({shown}): on a regular grid some would lie {off_mm:.2g} mm off",
        "Reconstruct or resample it with one distance between slices first.",
    )


def _check_alike(frames: Sequence[Frame]) -> None:
    """Refuse pictures of several sizes, and places that are measured from different origins."""
    sizes = [f"{c} x {r}" for c, r in (f.size for f in frames)]
    if len(set(sizes)) > 1:
        raise Misfit(
            f"the images have different sizes: {_rarest(frames, sizes)}", "Export the scan alone.", doubled=True
        )
    origins = [text(f.header.dataset, "FrameOfReferenceUID") for f in frames]
    if len(set(origins)) > 1:
        reason = f"the slices lie in different frames of reference (FrameOfReferenceUID): {_rarest(frames, origins)}"
        raise Misfit(reason, "Export the scan alone.", doubled=True)


def _doubled(frames: list[Frame], steps: np.ndarray) -> str:
    """Which slices lie at one position."""
    starts = np.concatenate([[True], steps >= SAME_MM])
    places = np.cumsum(starts) - 1
    counts = np.bincount(places)
    some = [frames[i].name for i in np.flatnonzero(places == int(counts.argmax()))]
    shown = ", ".join(some[:3]) + (" ..." if len(some) > 3 else "")
    return (
        f"{int((counts > 1).sum())} of {len(counts)} positions hold several slices (the same position: {shown}): "
        "several phases, time points or copies"
    )


def _rarest(frames: Sequence[Frame], kinds: Sequence) -> str:
    """Name the kinds from the most to the least frequent, with the files of the rare ones."""
    counts = Counter(kinds).most_common()
    parts = []
    for kind, count in counts[:4]:
        first = frames[list(kinds).index(kind)].name
        shown = kind if isinstance(kind, str) else "orientation " + "\\".join(f"{v:g}" for v in kind)
        parts.append(f"{shown or 'none'} in {count} ({first}{' ...' if count > 1 else ''})")
    return "; ".join(parts) + (f"; {len(counts) - 4} more kinds" if len(counts) > 4 else "")
