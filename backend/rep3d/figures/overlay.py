"""Three orthogonal slices of a scan with its label map in the task's colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rep3d.data.preprocess import to_ras
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.figures import style
from rep3d.figures.planes import PLANES, Plane, best_slices, content_box, display_range, grey, resize, resize_labels
from rep3d.tasks import Task

FILL = 0.42  # opacity of the labels; their outlines are drawn in full
GAP = 14
MARGIN = 28


def overlay(
    path: str | Path,
    scan: Volume,
    labelmaps: Sequence[tuple[str, Volume]],
    task: Task,
    *,
    title: str = "",
    subtitle: str = "",
    width_px: int = 1600,
    slices: tuple[int, int, int] | None = None,
) -> None:
    """Draw axial, coronal and sagittal slices in radiological convention, one row a label map.

    Args:
        path: PNG to write, atomically.
        scan: the image; any orientation.
        labelmaps: (row title, label map on the scan's grid), for instance prediction and truth.
        slices: RAS+ indices of the slices; default those that show the structures of the last map (the truth) best.

    Raises:
        BadInput: a label map is not on the scan's grid. OutputFailed: the file cannot be written.
    """
    for name, labels in labelmaps:
        if labels.shape != scan.shape:
            raise BadInput(f"label map {name!r} has {labels.shape} voxels, the scan {scan.shape}")
    ras = to_ras(scan)
    spacing = ras.spacing_mm
    full = [(name, to_ras(labels).array) for name, labels in labelmaps]
    window = display_range(ras.array, task.intensity.clip)
    where = slices or best_slices(full[-1][1])
    box = content_box(ras.array, np.maximum.reduce([m for _, m in full]), window[0] + 0.1 * (window[1] - window[0]))
    where = tuple(int(np.clip(i, b.start, b.stop - 1)) - b.start for i, b in zip(where, box))
    image, maps = ras.array[box], [(name, m[box]) for name, m in full]
    size = image.shape
    shown = [label for label in task.labels if any((m == label.value).any() for _, m in maps)]

    # One scale in mm for all panels, so that sizes can be compared.
    extents = [plane.extent_mm(size, spacing) for plane in PLANES]
    scale = (width_px - 2 * MARGIN - 2 * GAP) / sum(w for w, _ in extents)
    scale = min(scale, 760 / max(h for _, h in extents))
    boxes = [(round(w * scale), round(h * scale)) for w, h in extents]
    row_height = max(h for _, h in boxes)
    top = 100 if subtitle else 68
    bottom = style.legend_height(shown, width_px) + 34
    row_step = row_height + 44
    made = style.figure(width_px, top + bottom + row_step * len(maps))
    style.heading(made, title or task.title, subtitle)
    used = sum(w for w, _ in boxes) + 2 * GAP
    for row, (name, labels) in enumerate(maps):
        y = bottom + row_step * (len(maps) - 1 - row)
        x = (width_px - used) / 2
        for plane, (w, h) in zip(PLANES, boxes):
            ax = style.image_axes(made, (x, y, w, row_height))
            index = where[plane.axis]
            picture = _compose(image, labels, plane, index, (h, w), window, task)
            below = (row_height - h) // 2
            ax.imshow(picture, extent=(0, w, below, below + h), interpolation="nearest", aspect="auto")
            ax.set(xlim=(0, w), ylim=(0, row_height))
            letters(ax, plane, w, row_height)
            caption = f"{name}  ·  {plane.name.lower()}" if name else plane.name
            ax.text(2, row_height + 9, caption, color=style.MUTED, fontsize=8, va="bottom", clip_on=False)
            x += w + GAP
    style.legend(made, shown, 18)
    style.save(made, path)


def letters(ax, plane: Plane, w: float, h: float) -> None:
    """Orientation letters at the four edges of a panel of w x h units."""
    left, right, top, bottom = plane.letters
    places = ((12, h / 2, left), (w - 12, h / 2, right), (w / 2, h - 14, top), (w / 2, 14, bottom))
    for x, y, letter in places:
        text = ax.text(x, y, letter, color=style.WARM, fontsize=9, weight="bold", ha="center", va="center")
        style.outlined(text)


def _compose(
    image: np.ndarray,
    labels: np.ndarray,
    plane: Plane,
    index: int,
    shape: tuple[int, int],
    window: tuple[float, float],
    task: Task,
) -> np.ndarray:
    """The slice as RGB [rows, columns, 3]: grey scan, translucent labels, solid outlines two pixels wide."""
    base = resize(grey(plane.cut(image, index), window), shape)
    out = np.repeat(base[..., None], 3, axis=2)
    regions = resize_labels(plane.cut(labels, index), shape)
    edge = np.zeros(shape, bool)
    edge[:-1] |= regions[:-1] != regions[1:]
    edge[1:] |= regions[:-1] != regions[1:]
    edge[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    edge[:, 1:] |= regions[:, :-1] != regions[:, 1:]
    for label in task.labels:
        inside = regions == label.value
        if not inside.any():
            continue
        colour = np.array(style.rgb(label), np.float32)
        # the grey is tinted as well as mixed, else bright tissue washes the colour out
        out[inside] = (1 - FILL) * out[inside] * (0.45 + 0.55 * colour) + FILL * colour
        out[inside & edge] = 0.1 * out[inside & edge] + 0.9 * colour
    return np.clip(out, 0, 1)
