"""What a user must know about a run before it and after it: weights for trying the software, scans of another kind.

Before: the field of view and what the scan shows, against the training scans (rep3d.expected). After: the structures
that were found, their volumes and how scattered they are. docs/weights.md says how often each fires on which scans.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from rep3d.data.profile import FIGURES, extent_mm, profile
from rep3d.data.volume import Volume
from rep3d.inference import checks
from rep3d.inference.region import Region
from rep3d.weights_meta import DEMO_ONLY, WeightsMeta

if TYPE_CHECKING:
    from rep3d.expected import Expected, Range
    from rep3d.inference.result import SegmentationResult

# The field of view: times as large as the largest of the training scans, or as small as the smallest.
WIDER, FAR_WIDER = 1.25, 1.6
# Figures: how far all of them together lie outside the training scans' ranges, in widths of these; fewer training scans
# leave more room to each.
OUTSIDE, FAR_OUTSIDE = 0.35, 1.0
ROOM_OF_FEW = 2.5
# Volumes: times the largest, or a part of the smallest, of the training scans'.
TIMES = 2.0
ALWAYS_FOUND = 0.9  # share of the training scans from which on a structure is missed
SCATTERED = 0.5  # share of a structure's voxels that lie outside its largest part
MOST_COUNTED = 20_000_000  # voxels of a structure's box in which parts are counted; larger ones are thinned out


@dataclass(frozen=True)
class Caution:
    """``code``: demo_only, extent or content. ``severity``: warning, or confirm where a person should be asked."""

    code: str
    severity: str
    message: str
    hint: str

    def to_dict(self) -> dict[str, str]:
        """JSON-able."""
        return asdict(self)


def before_run(
    meta: WeightsMeta,
    shape: tuple[int, ...],
    affine: np.ndarray,
    volume: Volume | None = None,
    region: Region | None = None,
) -> tuple[Caution, ...]:
    """What is known before a run: from the grid alone, or also from the voxels of ``volume``.

    ``region`` is what will be looked at; it may be as small as one likes.
    """
    found = list(of_weights(meta))
    if meta.expected is not None:
        found += _extent(meta, extent_mm(shape, affine), region)
    if volume is not None:
        found += _content(meta, volume)
    return tuple(found)


def of_weights(meta: WeightsMeta) -> tuple[Caution, ...]:
    """What holds for every run with these weights."""
    if not meta.demo_only:
        return ()
    return (Caution("demo_only", "warning", DEMO_ONLY, "For work on patients, use other weights."),)


def after_run(meta: WeightsMeta, result: SegmentationResult) -> tuple[Caution, ...]:
    """Whether what was found looks like what the training scans show."""
    expected = meta.expected
    if expected is None or not expected.volumes_ml:
        return ()
    whole = result.settings["roi_mm_ras"] is None
    odd, looked_at = [], 0
    boxes = ndimage.find_objects(result.labelmap)
    for stats in result.stats:
        if stats.key not in expected.volumes_ml:
            continue
        always = expected.found.get(stats.key, 0.0) >= ALWAYS_FOUND
        if not stats.voxels and not (always and whole):
            continue
        looked_at += 1
        problem = _odd_structure(stats.volume_ml, expected.volumes_ml[stats.key], always and whole)
        if not problem and stats.voxels and _scattered(result.labelmap, stats.value, boxes[stats.value - 1]):
            problem = "lies in many places"
        if problem:
            odd.append(f"{stats.name} {problem}")
    share = len(odd) / max(1, looked_at)
    if share < 1 / 3:
        return ()
    message = (
        f"{len(odd)} of {looked_at} structures are not like those of the training scans{_of(expected)}: "
        f"{'; '.join(odd)}."
    )
    return (Caution("content", "confirm" if share >= 2 / 3 else "warning", message, "Do not trust this result."),)


def _extent(meta: WeightsMeta, extent: tuple[float, ...], region: Region | None) -> list[Caution]:
    expected = meta.expected
    if region is not None:
        extent = tuple(min(e, s) for e, s in zip(extent, _size_of(region)))
    wider = max(e / high for e, (_, high) in zip(extent, expected.extent_mm))
    smaller = 0.0 if region is not None else max(low / e for e, (low, _) in zip(extent, expected.extent_mm))
    off = max(wider, smaller)
    if off <= WIDER:
        return []
    seen = " x ".join(f"{low:.0f} to {high:.0f}" for low, high in expected.extent_mm)
    shown = " x ".join(f"{e:.0f}" for e in extent)
    message = (
        f"The weights were trained on scans{_of(expected)} that measure {seen} mm (right, anterior, superior); "
        f"this one measures {shown} mm."
    )
    hint = "Crop the scan to that region, or choose a task for what it shows."
    if wider <= WIDER:
        hint = "Structures that the scan cuts off or does not show cannot be found; choose a task for what it shows."
    return [Caution("extent", "confirm" if off > FAR_WIDER else "warning", message, hint)]


def _size_of(region: Region) -> list[float]:
    """Edges of the box around the region along R, A, S."""
    return [float(e) for e in np.abs(region.matrix[:3, :3]) @ np.asarray(region.size_mm)]


def _content(meta: WeightsMeta, volume: Volume) -> list[Caution]:
    hint = "Check that this is the scan and the task that you mean."
    modality = checks.modality_warnings(volume, meta.task)
    if modality:
        return [Caution("content", "confirm", " ".join(modality), hint)]
    expected = meta.expected
    if expected is None or not expected.figures:
        return []
    figures = profile(volume, meta.task.modality)
    if not figures:
        return [Caution("content", "confirm", "The scan shows no body.", hint)]
    room = ROOM_OF_FEW / expected.cases
    both = [name for name in figures if name in expected.figures]
    off = {name: FIGURES[name].outside(figures[name], *expected.figures[name]) - room for name in both}
    off = {name: value for name, value in sorted(off.items(), key=lambda item: -item[1]) if value > 0}
    total = sum(off.values())
    if total <= OUTSIDE:
        return []
    text = "; ".join(_compare(name, figures[name], expected.figures[name]) for name in list(off)[:4])
    message = f"The scan does not look like those{_of(expected)} that the weights were trained on: {text}."
    return [Caution("content", "confirm" if total > FAR_OUTSIDE else "warning", message, hint)]


def _compare(name: str, value: float, span: Range) -> str:
    figure = FIGURES[name]
    return f"{figure.name} {value:.3g} {figure.unit} (there {span[0]:.3g} to {span[1]:.3g})"


def _of(expected: Expected) -> str:
    return f" of the {expected.region}" if expected.region else ""


def _odd_structure(volume_ml: float, span: Range, needed: bool) -> str:
    low, high = span
    if not volume_ml:
        return "is missing"
    if volume_ml > TIMES * high:
        return f"has {volume_ml:.3g} mL (there {low:.3g} to {high:.3g})"
    if needed and volume_ml < low / TIMES / 2:
        return f"has only {volume_ml:.3g} mL (there {low:.3g} to {high:.3g})"
    return ""


def _scattered(labelmap: np.ndarray, value: int, box: tuple[slice, ...]) -> bool:
    """Whether less than half of the voxels of that value lie together."""
    part = labelmap[box] == value
    step = int(np.ceil((part.size / MOST_COUNTED) ** (1 / 3)))
    parts, count = ndimage.label(part[::step, ::step, ::step], np.ones((3, 3, 3)))
    if count < 2:
        return False
    sizes = np.bincount(parts.ravel())[1:]
    return bool(sizes.max() < (1 - SCATTERED) * sizes.sum())
