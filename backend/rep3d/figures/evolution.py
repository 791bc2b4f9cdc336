"""The masks of one block over training: a figure of all checkpoints, and an animated GIF with one frame for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rep3d.figures import style
from rep3d.figures.kernels import hatch_dead
from rep3d.figures.masks import colour_bar, key
from rep3d.figures.planes import AXIAL
from rep3d.files import atomic_path
from rep3d.interpret.evolution import path_motion
from rep3d.interpret.kernels import volume_of
from rep3d.interpret.masks import radial_profile
from rep3d.layers.rate_field import ADAPTIVE, branch_rate_field, mask_rate_field

if TYPE_CHECKING:
    from rep3d.interpret.kernels import KernelBlock, KernelSet

WIDTH, GAP, MARGIN, PLOT, TOP, BOTTOM = 1600, 12, 28, 430, 122, 84
COLUMNS = 5
FRAME_MS, LAST_FRAME_MS = 700, 2000
#: The best pair of branch rates of the paper's appendix D (AdamW), for comparison.
BRANCHES = {"large_rate": 2e-4, "small_rate": 3e-4}


def evolution_figure(path: str | Path, series: Sequence[KernelSet], index: int, *, subtitle: str = "") -> None:
    """Draw block ``index`` over the checkpoints; PNG, written atomically.

    Rows: mask M, the learning-rate field that it predicts, RMS of W . M. Right: radial profiles, and how far the taps
    moved between the checkpoints beside the prediction.
    """
    chosen = [series[i] for i in sorted({round(i) for i in np.linspace(0, len(series) - 1, COLUMNS)})]
    tile = (WIDTH - 2 * MARGIN - PLOT - 110 - (COLUMNS - 1) * GAP) // COLUMNS
    made = style.figure(WIDTH, BOTTOM + 3 * tile + 2 * GAP + TOP)
    style.heading(made, f"{series[0].blocks[index].name} from step {series[0].step} to {series[-1].step}", subtitle)
    scales = _scales(series, index)
    shown: list[Any] = []
    for column, kernels in enumerate(chosen):
        x = MARGIN + 20 + column * (tile + GAP)
        shown = _tiles(made, kernels, index, scales, [(x, BOTTOM + (2 - r) * (tile + GAP), tile) for r in range(3)])
        made.axes[-3].text(
            0, 1.04, _when(kernels), transform=made.axes[-3].transAxes, color=style.TEXT, fontsize=8, va="bottom"
        )
        if column == 0:
            for ax, name in zip(made.axes[-3:], _row_names(kernels)):
                ax.text(
                    -0.04, 0.5, name, transform=ax.transAxes, color=style.MUTED, fontsize=8, rotation=90, ha="right",
                    va="center",
                )  # fmt: skip
    step = (len(chosen) * (tile + GAP) - GAP - 2 * GAP) // 3
    for i, (picture, name) in enumerate(zip(shown, _row_names(series[0]))):
        colour_bar(made, picture, (MARGIN + 20 + i * (step + GAP), 50, step, 8), name)
    half = (3 * tile + 2 * GAP - 96) // 2
    left = MARGIN + 20 + len(chosen) * (tile + GAP) + 80
    room = WIDTH - MARGIN - left
    _profiles(made, series, index, (left, BOTTOM + half + 96, room, half))
    _motion(made, series, index, (left, BOTTOM, room, half))
    style.save(made, path)


def evolution_gif(path: str | Path, series: Sequence[KernelSet], index: int) -> None:
    """An animated GIF of block ``index`` with one frame for each checkpoint (no frames in between are invented)."""
    from PIL import Image  # a dependency of matplotlib

    frames = [_frame(series, index, i) for i in range(len(series))]
    pictures = [Image.fromarray(f).convert("P", palette=Image.Palette.ADAPTIVE, colors=256) for f in frames]
    times = [FRAME_MS] * (len(pictures) - 1) + [LAST_FRAME_MS]
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=False
        )


def _frame(series: Sequence[KernelSet], index: int, at: int) -> np.ndarray:
    """One frame of the GIF, RGB [rows, columns, 3]."""
    tile, plot, bottom = 210, 300, 62
    made = style.figure(2 * MARGIN + 3 * (tile + GAP) + 52 + plot, bottom + tile + 108)
    kernels = series[at]
    style.heading(made, f"{kernels.blocks[index].name}  ·  {_when(kernels)}")
    places = [(MARGIN + i * (tile + GAP), bottom, tile) for i in range(3)]
    _tiles(made, kernels, index, _scales(series, index), places)
    for ax, name in zip(made.axes[-3:], _row_names(kernels)):
        ax.text(0, 1.03, name, transform=ax.transAxes, color=style.MUTED, fontsize=8, va="bottom")
    _profiles(made, series, index, (MARGIN + 3 * (tile + GAP) + 52, bottom, plot, tile), at)
    made.canvas.draw()
    return np.asarray(made.canvas.buffer_rgba())[..., :3].copy()


def _when(kernels: KernelSet) -> str:
    seed = kernels.origin.get("rebuilt_from_seed")
    return f"step {kernels.step}" + (f" (seed {seed})" if seed is not None else "")


def _row_names(kernels: KernelSet) -> tuple[str, str, str]:
    field = "|M|" if kernels.optimizer in ADAPTIVE else "M²"
    return "mask M", f"predicted rate {field}", "RMS of W · M"


def _values(block: KernelBlock, optimizer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    field = mask_rate_field(block.mask.mask_CKKK, optimizer).mean(0)
    return block.mask.mean_KKK, field, volume_of(block.effective_CKKK)


def _scales(series: Sequence[KernelSet], index: int) -> list[tuple[float, float, str]]:
    """Lowest and highest value and colour map of each row, the same for all checkpoints."""
    rows = list(zip(*(_values(k.blocks[index], k.optimizer) for k in series)))
    largest = [max(float(np.abs(v).max()) for v in row) or 1.0 for row in rows]
    signed = min(float(v.min()) for v in rows[0]) < -0.02 * largest[0]
    mask = (-largest[0], largest[0], "RdBu_r") if signed else (0.0, largest[0], "magma")
    return [mask, (0.0, largest[1], "viridis"), (0.0, largest[2], "magma")]


def _tiles(made: Any, kernels: KernelSet, index: int, scales: list, places: list) -> list[Any]:
    block, shown = kernels.blocks[index], []
    for values, (low, high, colours), (x, y, tile) in zip(_values(block, kernels.optimizer), scales, places):
        ax = style.image_axes(made, (x, y, tile, tile))
        cut = AXIAL.cut(values, values.shape[2] // 2)
        shown.append(ax.imshow(cut, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="auto"))
        hatch_dead(ax, AXIAL, block)
    return shown


def _profiles(made: Any, series: Sequence[KernelSet], index: int, box: tuple, at: int | None = None) -> None:
    """Radial profiles of M, one line a checkpoint (with ``at``: the others faint), and the prior of the last."""
    from matplotlib import colormaps

    ax = style.plot_axes(made, box, "distance to the centre, taps", "mean of M")
    for i, kernels in enumerate(series):
        block = kernels.blocks[index]
        profile = radial_profile(block.mask.mean_KKK[block.alive_box])
        colour = colormaps["plasma"](0.15 + 0.75 * i / max(1, len(series) - 1))
        faint = at is not None and i != at
        named = at == i or (at is None and i in (0, len(series) - 1))
        ax.plot(
            profile.radius, profile.mean, color=colour, linewidth=1.0 if faint else 1.8, alpha=0.3 if faint else 1.0,
            label=f"step {kernels.step}" if named else None,
        )  # fmt: skip
    block = series[-1 if at is None else at].blocks[index]
    prior = radial_profile(block.mask.prior_KKK[block.alive_box])
    ax.plot(prior.radius, prior.mean, "--", color=style.MUTED, linewidth=1.4, label="prior P")
    ax.set_xlim(0, prior.radius[-1])
    key(ax, framealpha=0.85)


def _motion(made: Any, series: Sequence[KernelSet], index: int, box: tuple) -> None:
    """Radial profiles of the measured change of W . M and of the predicted fields, each scaled to a mean of 1."""
    first = series[0].blocks[index]
    found = path_motion(series, index)
    branches = branch_rate_field(first.kernel, (3, 3, 3), optimizer="adamw", **BRANCHES)
    r = "" if found.correlation is None else f", r = {found.correlation:.2f}"
    ax = style.plot_axes(made, box, "distance to the centre, taps", "change of W · M, relative")
    for values, colour, line, name in (
        (found.measured, "white", "-", f"between checkpoints{r}"),
        (found.predicted, style.ACCENT, "-", "predicted by the masks"),
        (branches, style.MUTED, ":", "two branches (eq. 13)"),
    ):
        alive = values[first.alive_box]
        profile = radial_profile(alive / alive.mean())
        ax.plot(profile.radius, profile.mean, line, color=colour, linewidth=1.6, label=name)
    ax.set_xlim(0, profile.radius[-1])
    ax.set_ylim(0, 1.5 * ax.get_ylim()[1])  # room for the legend
    key(ax, framealpha=0.85, loc="upper right")
