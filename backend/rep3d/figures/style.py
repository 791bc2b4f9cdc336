"""One look for every picture: dark ground, quiet type, matplotlib through its objects and the Agg canvas alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rep3d.files import atomic_path
from rep3d.runtime.packages import need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rep3d.tasks import Label

GROUND = "#101418"
PANEL = "#181e24"
TEXT = "#e8edf2"
MUTED = "#93a1ad"
GRID = "#2b343c"
ACCENT = "#4cc2ff"
WARM = "#ffb454"
SERIES = ("#4cc2ff", "#ffb454", "#8bd17c", "#ff7a90", "#b79cff", "#f2e05c", "#5ee0c8", "#d9a07a")
DPI = 150


def figure(width_px: int, height_px: int) -> Figure:
    """An empty figure of that many pixels. Raises BadInput when matplotlib is not installed."""
    need("pictures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor=GROUND)
    FigureCanvasAgg(made)
    return made


def save(made: Figure, path: str | Path) -> None:
    """Write the figure as PNG, atomically. Raises OutputFailed, naming the path, when that fails."""
    with atomic_path(path) as temporary:
        made.savefig(temporary, format="png", dpi=DPI, facecolor=made.get_facecolor())


def heading(made: Figure, title: str, subtitle: str = "", *, margin_px: int = 28) -> None:
    """Title and a quiet second line at the top left."""
    width, height = made.get_size_inches() * DPI
    made.text(margin_px / width, 1 - 22 / height, title, color=TEXT, fontsize=12, weight="bold", va="top")
    if subtitle:
        made.text(margin_px / width, 1 - 56 / height, subtitle, color=MUTED, fontsize=8, va="top")


def plot_axes(made: Figure, box: tuple[float, float, float, float], xlabel: str, ylabel: str) -> Any:
    """Axes for curves in ``box`` (left, bottom, width, height in pixels from the bottom left)."""
    width, height = made.get_size_inches() * DPI
    ax = made.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height), facecolor=PANEL)
    for spine in ax.spines.values():
        spine.set_color(GRID)
    ax.tick_params(colors=MUTED, labelsize=8, length=0, pad=5)
    ax.grid(True, color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel(xlabel, color=MUTED, fontsize=8, labelpad=4)
    ax.set_ylabel(ylabel, color=MUTED, fontsize=8, labelpad=6)
    return ax


def image_axes(made: Figure, box: tuple[float, float, float, float]) -> Any:
    """Bare axes for a picture in ``box`` (pixels from the bottom left)."""
    width, height = made.get_size_inches() * DPI
    ax = made.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height), facecolor="black")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def outlined(text: Any) -> None:
    """A thin black edge around a text, so that it can be read on any picture."""
    from matplotlib import patheffects

    text.set_path_effects([patheffects.withStroke(linewidth=2.2, foreground="black")])


def rgb(label: Label) -> tuple[float, float, float]:
    """The label's colour with channels in 0..1."""
    return tuple(c / 255 for c in label.color)  # type: ignore[return-value]


LEGEND_ROW_PX = 30


def legend_layout(labels: Sequence[Label], width_px: int, margin_px: int = 28) -> tuple[int, int, float]:
    """Columns, rows and column width in pixels of the legend."""
    longest = max((len(label.name) for label in labels), default=1)
    wanted = 46 + 12.5 * longest
    columns = max(1, min(len(labels) or 1, int((width_px - 2 * margin_px) // wanted)))
    rows = -(-len(labels) // columns)
    columns = -(-len(labels) // rows) if rows else 1
    return columns, rows, min((width_px - 2 * margin_px) / columns, 1.25 * wanted)


def legend_height(labels: Sequence[Label], width_px: int) -> int:
    """Pixels that ``legend`` takes."""
    return legend_layout(labels, width_px)[1] * LEGEND_ROW_PX


def legend(made: Figure, labels: Sequence[Label], bottom_px: float, *, margin_px: int = 28) -> None:
    """Colour chips with names, row by row, the block's lower edge at ``bottom_px``."""
    from matplotlib.patches import FancyBboxPatch

    width, height = made.get_size_inches() * DPI
    columns, rows, step = legend_layout(labels, int(width), margin_px)
    for i, label in enumerate(labels):
        x = margin_px + (i % columns) * step
        y = bottom_px + (rows - 1 - i // columns + 0.5) * LEGEND_ROW_PX
        chip = FancyBboxPatch(
            (x / width, (y - 7) / height),
            14 / width,
            14 / height,
            boxstyle="square,pad=0",
            facecolor=rgb(label),
            edgecolor="none",
            transform=made.transFigure,
        )
        made.add_artist(chip)
        made.text((x + 24) / width, y / height, label.name, color=TEXT, fontsize=8, va="center_baseline")
