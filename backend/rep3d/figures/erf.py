"""The effective receptive field over the scan: where a logit looks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rep3d.errors import BadInput
from rep3d.figures import style
from rep3d.figures.masks import colour_bar, key
from rep3d.figures.overlay import letters
from rep3d.figures.planes import PLANES, grey, resize
from rep3d.interpret.erf import distances_mm

if TYPE_CHECKING:
    from rep3d.interpret import ReceptiveField

DECADES = 3  # of the logarithmic colour scale
GAP = 14
MARGIN = 28
PLOT = 340


def erf_figure(
    path: str | Path,
    field: ReceptiveField,
    patch_DHW: np.ndarray,
    *,
    title: str = "",
    subtitle: str = "",
    window: tuple[float, float] = (0.0, 1.0),
    width_px: int = 1600,
) -> None:
    """Draw the gradient over three slices through its voxel, the 50 and 90 % radii, and how it adds up with distance.

    Args:
        path: PNG to write, atomically.
        field: from ``receptive_field``; axes RAS+.
        patch_DHW: the patch it was measured in, for the grey background.
        window: grey values shown as black and white.

    Raises:
        BadInput: patch and field differ in shape, or the gradient is zero everywhere.
    """
    if patch_DHW.shape != field.gradient.shape:
        raise BadInput(f"the patch has {patch_DHW.shape} voxels, the receptive field {field.gradient.shape}")
    peak = float(field.gradient.max())
    if not peak > 0:
        raise BadInput("the logit depends on no voxel of the patch: its gradient is zero everywhere")
    size, spacing = patch_DHW.shape, field.spacing_mm
    extents = [plane.extent_mm(size, spacing) for plane in PLANES]
    room = width_px - 2 * MARGIN - 3 * GAP - PLOT - 66
    scale = min(room / sum(w for w, _ in extents), 520 / max(h for _, h in extents))
    boxes = [(round(w * scale), round(h * scale)) for w, h in extents]
    row = max(h for _, h in boxes)
    bottom = 84
    made = style.figure(width_px, row + bottom + 150)
    style.heading(made, title or "Effective receptive field", subtitle)
    strength = np.clip(1 + np.log10(np.maximum(field.gradient / peak, 10.0 ** -(DECADES + 1))) / DECADES, 0, 1)
    x, shown = float(MARGIN), None
    for plane, (w, h) in zip(PLANES, boxes):
        ax = style.image_axes(made, (x, bottom, w, row))
        below = (row - h) // 2
        extent = (0, w, below, below + h)
        index = field.voxel[plane.axis]
        base = resize(grey(plane.cut(patch_DHW, index), window), (h, w))
        ax.imshow(base, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest", aspect="auto")
        heat = resize(plane.cut(strength, index), (h, w))
        alpha = np.clip(heat * 1.25, 0, 0.82)
        shown = ax.imshow(
            heat, cmap="inferno", vmin=0, vmax=1, alpha=alpha, extent=extent, interpolation="nearest", aspect="auto"
        )
        ax.set(xlim=(0, w), ylim=(0, row))
        column, line = plane.place(field.voxel, size)
        centre = (
            (column + 0.5) * spacing[plane.across] * scale,
            below + h - (line + 0.5) * spacing[plane.down] * scale,
        )
        _circles(ax, centre, field, scale)
        letters(ax, plane, w, row)
        ax.text(2, row + 9, plane.name, color=style.MUTED, fontsize=8, va="bottom")
        x += w + GAP
    colour_bar(made, shown, (MARGIN, 44, x - GAP - MARGIN, 12))
    bar = made.axes[-1]
    bar.set_xticks([0, 1 / 3, 2 / 3, 1], ["0.1 %", "1 %", "10 %", "of the largest |d logit / d voxel|: 100 %"])
    bar.get_xticklabels()[-1].set_ha("right")
    bar.get_xticklabels()[0].set_ha("left")
    _cumulative(made, field, (width_px - MARGIN - PLOT, bottom, PLOT, row))
    style.save(made, path)


def _circles(ax, centre: tuple[float, float], field: ReceptiveField, scale: float) -> None:
    from matplotlib.patches import Circle

    for radius, colour, line in ((field.radius50_mm, style.ACCENT, "-"), (field.radius90_mm, "white", "--")):
        ax.add_patch(Circle(centre, radius * scale, fill=False, edgecolor=colour, linewidth=1.4, linestyle=line))
    ax.plot(*centre, marker="+", color=style.ACCENT, markersize=9, markeredgewidth=1.4)


def _cumulative(made, field: ReceptiveField, box: tuple[float, float, float, float]) -> None:
    """Share of the gradient within a radius, beside that of a uniform field."""
    distance = distances_mm(field.gradient.shape, field.voxel, field.spacing_mm).ravel()
    order = np.argsort(distance)
    share = np.cumsum(field.gradient.ravel()[order].astype(np.float64))
    pick = np.unique(np.linspace(0, len(order) - 1, 4000).astype(int))
    ax = style.plot_axes(made, box, "radius, mm", "share of the gradient, %")
    ax.plot(distance[order][pick], 100 * share[pick] / share[-1], color=style.WARM, linewidth=1.8, label="this logit")
    uniform = 100 * (pick + 1) / len(order)
    ax.plot(distance[order][pick], uniform, ":", color=style.MUTED, linewidth=1.4, label="every voxel alike")
    ax.axvline(field.radius50_mm, color=style.ACCENT, linewidth=1, label=f"50 % in {field.radius50_mm:.0f} mm")
    ax.axvline(
        field.radius90_mm, color="white", linestyle="--", linewidth=1, label=f"90 % in {field.radius90_mm:.0f} mm"
    )
    ax.set(xlim=(0, float(distance.max())), ylim=(0, 101))
    key(ax, loc="lower right", framealpha=0.85)
