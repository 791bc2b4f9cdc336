"""The modulation mask of one block: slices beside the distance prior, and what it does with distance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rep3d.figures import style
from rep3d.figures.planes import PLANES
from rep3d.interpret.masks import energy, radial_profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rep3d.interpret import BlockMask

TILE = 276
GAP = 16
MARGIN = 28


def mask_figure(path: str | Path, block: BlockMask, *, title: str = "", subtitle: str = "") -> None:
    """Draw the prior, three central slices of the mask and the radial profiles; PNG, written atomically."""
    mask, prior = block.mean_KKK, block.prior_KKK
    spread = energy(mask)
    width, plot_width = 1600, 1600 - 2 * MARGIN - 4 * TILE - 4 * GAP - 56
    bottom = 84
    made = style.figure(width, bottom + TILE + 150)
    kernel = " × ".join(str(k) for k in mask.shape)
    note = (
        f"energy of M: {100 * spread.centre:.0f} % in the centre tap, "
        f"50 % within {spread.radius50:.1f} and 90 % within {spread.radius90:.1f} taps"
    )
    lines = f"{subtitle}  ·  {note}" if subtitle else note
    style.heading(made, title or f"Modulation mask of {block.name} ({kernel} taps)", lines)
    limit = float(max(np.abs(mask).max(), prior.max()))
    # A mask with negative taps needs a scale that shows its zero.
    cmap, low = ("RdBu_r", -limit) if mask.min() < -0.02 * limit else ("magma", 0.0)
    shown = None
    tiles = [("Prior P", prior, PLANES[0])] + [(f"Mask M  ·  {p.name.lower()}", mask, p) for p in PLANES]
    for i, (name, values, plane) in enumerate(tiles):
        x = MARGIN + i * (TILE + GAP)
        ax = style.image_axes(made, (x, bottom, TILE, TILE))
        tile = plane.cut(values, values.shape[plane.axis] // 2)
        shown = ax.imshow(tile, cmap=cmap, vmin=low, vmax=limit, interpolation="nearest", aspect="auto")
        ax.text(0, 1.03, name, transform=ax.transAxes, color=style.MUTED, fontsize=8, va="bottom")
        letters = plane.letters
        for u, v, letter in ((0.04, 0.5, letters[0]), (0.96, 0.5, letters[1]), (0.5, 0.96, letters[2])):
            text = ax.text(u, v, letter, transform=ax.transAxes, color=style.WARM, fontsize=7, ha="center", va="center")
            style.outlined(text)
    colour_bar(made, shown, (MARGIN, 44, 4 * TILE + 3 * GAP, 12))
    box = (width - MARGIN - plot_width, bottom, plot_width, TILE)
    ax = style.plot_axes(made, box, "distance to the centre, taps", "")
    for values, colour, name, line in ((mask, style.ACCENT, "mask M", "-"), (prior, style.WARM, "prior P", "--")):
        profile = radial_profile(values)
        ax.plot(profile.radius, profile.mean, line, color=colour, linewidth=1.8, label=name)
        if values is mask:
            ax.fill_between(profile.radius, profile.low, profile.high, color=colour, alpha=0.18, linewidth=0)
    ax.set_xlim(0, (min(mask.shape) - 1) / 2)
    key(ax)
    ax.text(1, 1.03, "mean and 10-90 %", transform=ax.transAxes, color=style.MUTED, fontsize=8, va="bottom", ha="right")
    style.save(made, path)


def colour_bar(made: Figure, shown: Any, box: tuple[float, float, float, float], label: str = "") -> None:
    """A quiet horizontal colour bar in ``box`` (pixels from the bottom left)."""
    bar = made.colorbar(shown, cax=style.image_axes(made, box), orientation="horizontal")
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=style.MUTED, labelsize=7, length=0, pad=3)
    if label:
        bar.set_label(label, color=style.MUTED, fontsize=8)


def key(ax: Any, **where: Any) -> None:
    """The legend of a plot."""
    ax.legend(facecolor=style.PANEL, edgecolor=style.GRID, labelcolor=style.TEXT, fontsize=8, **where)
