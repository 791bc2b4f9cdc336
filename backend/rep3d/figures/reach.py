"""Receptive fields of several networks, depths or classes side by side: maps, what adds up with distance, radii."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rep3d.errors import BadInput
from rep3d.figures import style
from rep3d.figures.masks import colour_bar, key
from rep3d.figures.planes import PLANES

if TYPE_CHECKING:
    from rep3d.interpret.reach import Summary

WIDTH, MARGIN, GAP, BOTTOM, TOP = 1600, 28, 14, 84, 88
MOST = 12  # summaries in one figure
DECADES = 3
LINE = 34


def reach_figure(path: str | Path, summaries: Sequence[Summary], *, title: str = "", subtitle: str = "") -> None:
    """Draw up to MOST summaries; PNG, written atomically.

    Above: the mean |gradient| and its negative part on the central axial slice (of one or two summaries on all three
    planes), on a logarithmic colour scale of shares of the largest. Below: share of the gradient within a radius, with
    its confidence interval, and the radii.

    Raises:
        BadInput: nothing to draw, or more than MOST.
    """
    if not 0 < len(summaries) <= MOST:
        raise BadInput(f"a figure shows 1 to {MOST} receptive fields, not {len(summaries)}", "Leave some out.")
    names = labels(summaries)
    planes = PLANES if len(summaries) <= 2 else PLANES[:1]
    columns = len(summaries) * len(planes)
    tile = min(240, (WIDTH - 2 * MARGIN - (columns - 1) * GAP - 30) // columns)
    plot = max(300, 60 + LINE * len(summaries))
    lines = max(_wrap(name, tile).count("\n") + 1 for name in names)
    height = BOTTOM + plot + 120 + 2 * tile + GAP + TOP + 20 * lines
    made = style.figure(WIDTH, height)
    style.heading(made, title or "Effective receptive fields", subtitle)
    base = BOTTOM + plot + 120
    shown = None
    for i, (summary, name) in enumerate(zip(summaries, names)):
        for j, plane in enumerate(planes):
            x = MARGIN + 30 + (i * len(planes) + j) * (tile + GAP)
            for row, values in enumerate((summary.map, summary.negative_map)):
                ax = style.image_axes(made, (x, base + (1 - row) * (tile + GAP), tile, tile))
                extent = plane.extent_mm(values.shape, summary.spacing_mm)
                shown = _heat(ax, plane.cut(values, values.shape[plane.axis] // 2), float(summary.map.max()), extent)
                if i == j == 0:
                    at = {"transform": ax.transAxes, "color": style.MUTED, "fontsize": 8, "ha": "right", "va": "center"}
                    ax.text(-0.06, 0.5, "negative part" if row else "|gradient|", rotation=90, **at)
                if row == 0:
                    text = _wrap(name, tile) if j == 0 else plane.name.lower()
                    colour = style.MUTED if j else style.SERIES[i % len(style.SERIES)]
                    ax.text(0, 1.03, text, transform=ax.transAxes, color=colour, fontsize=7.5, va="bottom")
    colour_bar(made, shown, (MARGIN + 30, base - 34, 460, 8))
    bar = made.axes[-1]
    bar.set_xticks([0, 1 / 3, 2 / 3, 1], ["0.1 %", "1 %", "10 %", "100 % of the largest"])
    _cumulative(made, summaries, names, (96, BOTTOM, 610, plot))
    _radii(made, summaries, names, (980, BOTTOM, WIDTH - MARGIN - 980, plot))
    style.save(made, path)


def labels(summaries: Sequence[Summary]) -> list[str]:
    """What sets the summaries apart: network, depth, class - those of them that differ."""
    parts = [(s.name, s.depth, s.class_name) for s in summaries]
    differ = [len({p[i] for p in parts}) > 1 for i in range(3)]
    if not any(differ):
        return [p[0] for p in parts]
    return [", ".join(value for value, other in zip(p, differ) if other) for p in parts]


def _heat(ax: Any, image: np.ndarray, peak: float, extent_mm: tuple[float, float]) -> Any:
    strength = np.clip(1 + np.log10(np.maximum(image / peak, 10.0 ** -(DECADES + 1))) / DECADES, 0, 1)
    shown = ax.imshow(strength, cmap="inferno", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    wide, high = extent_mm
    rows, columns = image.shape
    ax.set_aspect((high / rows) / (wide / columns))
    return shown


def _cumulative(made: Any, summaries: Sequence[Summary], names: list[str], box: tuple[float, ...]) -> None:
    ax = style.plot_axes(made, box, "radius, mm", "share of |gradient|, %")
    for i, (summary, name) in enumerate(zip(summaries, names)):
        colour = style.SERIES[i % len(style.SERIES)]
        line = "-" if i < len(style.SERIES) else "--"
        mean, low, high = 100 * summary.cumulative
        radius = np.arange(len(mean)) * summary.shell_mm
        ax.plot(radius, mean, line, color=colour, linewidth=1.6, label=name)
        if summary.patches > 1:
            ax.fill_between(radius, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.set_ylim(0, 101)
    ax.set_xlim(0, max(s.cumulative.shape[1] * s.shell_mm for s in summaries))
    if 1 < len(summaries) <= 4:  # more lines than that are told apart by the colours of the titles
        key(ax, loc="lower right", framealpha=0.85)


def _radii(made: Any, summaries: Sequence[Summary], names: list[str], box: tuple[float, ...]) -> None:
    """Radii that hold 50, 90 and 99 % with their intervals, and the fitted Gaussian's deviation."""
    ax = style.plot_axes(made, box, "mm", "")
    marks = (
        ("radius50_mm", "o", "50 %"),
        ("radius90_mm", "s", "90 %"),
        ("radius99_mm", "D", "99 %"),
        ("sigma_mm", "|", "Gaussian σ"),
    )
    for i, summary in enumerate(summaries):
        colour = style.SERIES[i % len(style.SERIES)]
        y = len(summaries) - 1 - i
        for number, marker, _ in marks:
            found = summary.numbers[number]
            if not np.isfinite(found.mean):
                continue
            if found.low is not None:
                ax.plot([found.low, found.high], [y, y], color=colour, linewidth=2.4, alpha=0.55)
            ax.plot(found.mean, y, marker, color=colour, markersize=10 if marker == "|" else 5, markeredgewidth=1.6)
    for _, marker, name in marks:
        ax.plot([], [], marker, color=style.TEXT, markersize=10 if marker == "|" else 5, linestyle="none", label=name)
    ax.set_yticks(range(len(summaries)), [_wrap(n, 230) for n in reversed(names)])
    ax.set_ylim(-0.6, len(summaries) - 0.4)
    ax.set_xlim(left=0)
    ax.legend(
        facecolor=style.PANEL, edgecolor=style.GRID, labelcolor=style.TEXT, fontsize=7.5, ncols=4, loc="lower right",
        bbox_to_anchor=(1, 1.0), borderpad=0.3, handletextpad=0.2, columnspacing=1.0,
    )  # fmt: skip


def _wrap(name: str, width_px: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(name.replace(",", ", ").replace("  ", " "), max(8, width_px // 9)))
