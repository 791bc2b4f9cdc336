"""A study as a picture: every seed's Dice, the mean, and the interval over cases; contrasts beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rep3d.figures import style

if TYPE_CHECKING:
    from rep3d.experiments.analysis import Outcome

ROW_PX = 46


def draw_study(path: str | Path, outcome: Outcome, *, title: str, subtitle: str = "") -> None:
    """Draw the outcome of a study; PNG, written atomically. Raises BadInput without matplotlib, OutputFailed."""
    rows = max(len(outcome.arms), len(outcome.contrasts), 3)
    height = 226 + ROW_PX * rows
    made = style.figure(1900, height)
    style.heading(made, title, subtitle)
    low = 110
    left = style.plot_axes(made, (400, low, 520, ROW_PX * rows), "Dice, mean over classes and cases", "")
    for y, arm in enumerate(reversed(outcome.arms)):
        left.plot([arm.interval.low, arm.interval.high], [y, y], color=style.MUTED, linewidth=1.4, zorder=2)
        left.plot(arm.by_seed, [y] * len(arm.by_seed), "o", color=style.ACCENT, markersize=4, alpha=0.8, zorder=3)
        left.plot(arm.dice, y, "|", color=style.TEXT, markersize=15, markeredgewidth=2, zorder=4)
    left.set_yticks(range(len(outcome.arms)), [arm.title for arm in reversed(outcome.arms)])
    left.set_ylim(-0.7, max(len(outcome.arms), 1) - 0.3)
    right = style.plot_axes(made, (1370, low, 500, ROW_PX * rows), "difference of Dice", "")
    right.axvline(0, color=style.MUTED, linewidth=1)
    titles = {arm.key: arm.title for arm in outcome.arms}
    names = []
    for y, contrast in enumerate(reversed(outcome.contrasts)):
        shown = contrast.verdict in ("higher", "lower")
        colour = style.WARM if shown else style.MUTED
        right.plot([contrast.difference.low, contrast.difference.high], [y, y], color=colour, linewidth=2)
        right.plot(contrast.difference.mean, y, "o", color=colour, markersize=5)
        # Two lines: beside it is the other plot.
        names.append(f"{titles[contrast.variant]}\n- {titles[contrast.reference]}")
    right.set_yticks(range(len(names)), names)
    right.set_ylim(-0.7, max(len(names), 1) - 0.3)
    for ax in (left, right):
        ax.tick_params(axis="y", labelsize=7, colors=style.TEXT)
        ax.tick_params(axis="x", labelsize=7)
        ax.xaxis.set_major_locator(_few_ticks())
    width, tall = made.get_size_inches() * style.DPI
    made.text(
        28 / width, 14 / tall,
        "Dots: seeds. Bar: mean over seeds. Lines: 95 % bootstrap interval over cases. "
        "Orange: shown over cases (Holm, p < 0.01) and by every seed.",
        color=style.MUTED, fontsize=7, va="bottom",
    )  # fmt: skip
    style.save(made, path)


def _few_ticks():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5)
