"""Box plots of a comparison: one panel a structure, a box a result, every case a dot, its dots joined by a line.

Results are told apart by a letter as well as by a colour; the colours are Okabe and Ito's, which people with any kind
of colour vision can tell apart, without those too dark for this ground.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rep3d.figures import style

if TYPE_CHECKING:
    from rep3d.evaluation.compare import Comparison

COLOURS = ("#56b4e9", "#e69f00", "#00b383", "#cc79a7", "#f0e442", "#d55e00", "#b8c4cc")
MARGIN, LEFT, GAP = 28, 76, 36
PANEL_HEIGHT, TITLE = 330, 62
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def boxes(path: str | Path, comparison: Comparison, *, title: str = "", subtitle: str = "") -> None:
    """Draw the values of a comparison; PNG, written atomically.

    Boxes span the quartiles, whiskers the furthest case within 1.5 times their distance. Raises OutputFailed, and
    BadInput without matplotlib.
    """
    structures, names = comparison.structures, comparison.names
    panel_width = max(300, 92 * len(names))
    columns = max(1, min(len(structures), (1900 - MARGIN) // (panel_width + LEFT)))
    rows = -(-len(structures) // columns)
    width = max(1000, MARGIN + columns * (panel_width + LEFT) + GAP)
    height = 100 + rows * (PANEL_HEIGHT + TITLE + GAP) + 34 * len(names) + 24
    made = style.figure(width, height)
    metric = comparison.metric
    better = "higher is better" if metric.higher_is_better else "lower is better"
    unit = f" in {metric.unit}" if metric.unit else ""
    style.heading(
        made,
        title or f"{metric.title}{unit}: {comparison.task_key}, {len(comparison.cases)} cases",
        subtitle or f"{better}  ·  a dot is a case, a line joins one case's dots  ·  box: quartiles, bar: median",
    )
    for i, key in enumerate(structures):
        column, row = i % columns, i // columns
        x = MARGIN + LEFT + column * (panel_width + LEFT)
        y = height - 100 - (row + 1) * (PANEL_HEIGHT + TITLE + GAP) + GAP
        _panel(made, (x, y, panel_width, PANEL_HEIGHT), comparison, key, label=column == 0)
    for i, name in enumerate(names):
        y = (34 * (len(names) - i) - 6) / height
        made.text(MARGIN / width, y, "■", color=_colour(i), fontsize=10, va="center")
        text = f"{LETTERS[i % 26]}   {name if len(name) <= 110 else name[:107] + '...'}"
        made.text((MARGIN + 30) / width, y, text, color=style.TEXT, fontsize=8.5, va="center")
    style.save(made, path)


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _panel(made: Any, box: tuple[float, float, float, float], comparison: Comparison, key: str, label: bool) -> None:
    names, column = comparison.names, comparison.structures.index(key)
    metric = comparison.metric
    unit = f", {metric.unit}" if metric.unit else ""
    ax = style.plot_axes(made, box, "", metric.title + unit if label else "")
    ax.grid(False, axis="x")
    table = np.stack([comparison.values[name][:, column] for name in names], 1)  # [cases, results]
    table = table[~np.isnan(table).any(1)]
    places = np.arange(len(names)) + 1.0
    jitter = np.random.default_rng(0).uniform(-0.09, 0.09, len(table)) if len(table) > 12 else np.zeros(len(table))
    faint = float(np.clip(12 / max(1, len(table)), 0.1, 0.55))
    for offset, row in zip(jitter, table, strict=True):
        ax.plot(places + offset, row, color=style.MUTED, linewidth=0.7, alpha=faint, zorder=2)
    for i, values in enumerate(table.T):
        colour = _colour(i)
        if len(values) > 3:
            ax.boxplot(
                [values], positions=[places[i]], widths=0.56, showfliers=False, patch_artist=True, zorder=3,
                boxprops={"facecolor": colour + "30", "edgecolor": colour, "linewidth": 1.3},
                whiskerprops={"color": colour, "linewidth": 1.1}, capprops={"color": colour, "linewidth": 1.1},
                medianprops={"color": "white", "linewidth": 2.2},
            )  # fmt: skip
        ax.plot(places[i] + jitter, values, "o", color=colour, markersize=3.4, alpha=0.85, zorder=4,
                markeredgewidth=0)  # fmt: skip
    ax.set_xlim(0.4, len(names) + 0.6)
    ax.set_xticks(places, [LETTERS[i % 26] for i in range(len(names))], color=style.TEXT, fontsize=9)
    ax.set_title(f"{key}, n = {len(table)}", color=style.TEXT, fontsize=9, loc="left", pad=24)
    ax.text(0, 1.02, _verdict(comparison, key), transform=ax.transAxes, color=style.MUTED, fontsize=7.5, va="bottom")


def _verdict(comparison: Comparison, key: str) -> str:
    """The test of a panel, where there is only one."""
    from rep3d.evaluation.tables import p_text

    tests = [t for t in comparison.tests if t.structure == key]
    if not tests:
        return ""
    if len(tests) > 1:
        found = sum(bool(t.better) for t in tests)
        return f"{found} of {len(tests)} differences beyond chance (Holm)"
    p = p_text(tests[0].p_holm)
    return f"p {p if p.startswith('<') else '= ' + p} (Holm), r = {tests[0].effect:+.2f}"
