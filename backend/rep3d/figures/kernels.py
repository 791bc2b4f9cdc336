"""One block's kernel at a glance: prior, generator, mask, weights in three planes, profiles, spread over channels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rep3d.figures import style
from rep3d.figures.masks import colour_bar, key
from rep3d.figures.planes import PLANES
from rep3d.interpret.kernel_table import moved, spread
from rep3d.interpret.kernels import volume_of
from rep3d.interpret.masks import distances, radial_profile

if TYPE_CHECKING:
    from rep3d.interpret.kernels import KernelBlock

TILE, GAP, MARGIN, TOP, BOTTOM = 190, 12, 28, 118, 70
WIDTH = 1600
TITLES = {
    "prior": "prior P",
    "generator": "generator f(P)",
    "difference": "M - P",
    "mask": "mask M",
    "weight": "RMS of W",
    "effective": "RMS of W · M",
}


def kernel_figure(path: str | Path, block: KernelBlock, *, subtitle: str = "") -> None:
    """Draw the kernel; PNG, written atomically. Dead taps, which never met data, are hatched."""
    columns = _columns(block)
    height = BOTTOM + 3 * TILE + 2 * GAP + TOP
    made = style.figure(WIDTH, height)
    kernel = " × ".join(map(str, block.kernel))
    alive = "all alive" if block.alive == block.kernel else f"{' × '.join(map(str, block.alive))} of them alive"
    exponent = f"learned exponent a = {block.mask.exponent:+.3f}" if block.mask.exponent_known else "exponent not kept"
    far = moved(block.mask.mask_CKKK[(..., *block.alive_box)], block.mask.prior_KKK[block.alive_box])
    lines = f"{exponent}  ·  ‖M - P‖ / ‖P‖ = {far['relative']:.2f}  ·  {subtitle}".rstrip(" ·")
    style.heading(made, f"{block.name}: {kernel} taps, {alive}", lines)
    for i, (name, values) in enumerate(columns):
        _column(made, i, name, values, block)
    left = MARGIN + len(columns) * (TILE + GAP) + 68
    room = WIDTH - left - MARGIN
    half = (3 * TILE + 2 * GAP - 96) // 2
    _mask_profiles(made, block, (left, BOTTOM + half + 96, room, half))
    _channel_profiles(made, block, (left, BOTTOM, room, half))
    style.save(made, path)


def _columns(block: KernelBlock) -> list[tuple[str, np.ndarray]]:
    arrays = block.arrays()
    mask = block.mask.mean_KKK
    made = [("prior", block.mask.prior_KKK)]
    if "generator" in arrays:
        made.append(("generator", arrays["generator"].mean(0)))
    elif mask.shape == block.mask.prior_KKK.shape:
        made.append(("difference", mask - block.mask.prior_KKK))
    made.append(("mask", mask))
    return made + [(name, volume_of(arrays[name])) for name in ("weight", "effective") if name in arrays]


def _column(made: Any, i: int, name: str, values: np.ndarray, block: KernelBlock) -> None:
    """Three central planes of one array, with their colour bar below."""
    x = MARGIN + i * (TILE + GAP)
    largest = float(np.abs(values).max()) or 1.0
    signed = values.min() < -0.02 * largest
    colours = {"cmap": "RdBu_r" if signed else "magma", "vmin": -largest if signed else 0.0, "vmax": largest}
    shown = None
    for row, plane in enumerate(PLANES):
        y = BOTTOM + (2 - row) * (TILE + GAP)
        ax = style.image_axes(made, (x, y, TILE, TILE))
        tile = plane.cut(values, values.shape[plane.axis] // 2)
        shown = ax.imshow(tile, interpolation="nearest", aspect="auto", **colours)
        hatch_dead(ax, plane, block)
        if i == 0:
            text = ax.text(
                0.04, 0.94, plane.name.lower(), transform=ax.transAxes, color=style.TEXT, fontsize=7, va="top", zorder=5
            )
            style.outlined(text)
        if row == 0:
            ax.text(0, 1.04, TITLES[name], transform=ax.transAxes, color=style.TEXT, fontsize=8, va="bottom")
    colour_bar(made, shown, (x, 42, TILE, 8))
    from matplotlib.ticker import MaxNLocator

    made.axes[-1].xaxis.set_major_locator(MaxNLocator(nbins=3, prune="both"))


def hatch_dead(ax: Any, plane: Any, block: KernelBlock) -> None:
    """Hatch the taps of a slice that lie outside the living box, and outline the box."""
    from matplotlib.patches import PathPatch, Rectangle
    from matplotlib.path import Path as Outline

    if block.alive == block.kernel:
        return
    across, down = block.kernel[plane.across], block.kernel[plane.down]
    wide, high = block.alive[plane.across], block.alive[plane.down]
    x, y = (across - wide) / 2 - 0.5, (down - high) / 2 - 0.5
    outer = [(-0.5, -0.5), (across - 0.5, -0.5), (across - 0.5, down - 0.5), (-0.5, down - 0.5), (-0.5, -0.5)]
    inner = [(x, y), (x, y + high), (x + wide, y + high), (x + wide, y), (x, y)]
    codes = [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY] * 2
    frame = Outline(outer + inner, codes)
    ax.add_patch(PathPatch(frame, facecolor="#000000a0", edgecolor=style.MUTED, hatch="////", linewidth=0))
    ax.add_patch(Rectangle((x, y), wide, high, fill=False, edgecolor=style.MUTED, linewidth=0.8))


def _mask_profiles(made: Any, block: KernelBlock, box: tuple[float, ...]) -> None:
    """M against P with the learned exponent and against the prior that training started from."""
    ax = style.plot_axes(made, box, "distance to the centre, taps", "")
    mask, prior = block.mask.mean_KKK, block.mask.prior_KKK
    profile = radial_profile(mask)
    ax.fill_between(profile.radius, profile.low, profile.high, color=style.ACCENT, alpha=0.18, linewidth=0)
    ax.plot(profile.radius, profile.mean, color=style.ACCENT, linewidth=1.8, label="mask M, mean and 10-90 %")
    learned = radial_profile(prior)
    ax.plot(learned.radius, learned.mean, "--", color=style.WARM, linewidth=1.6, label="prior P, learned exponent")
    start = radial_profile(1 / (1 + distances(block.kernel)))
    ax.plot(start.radius, start.mean, ":", color=style.MUTED, linewidth=1.4, label="prior at the start, a = 0")
    _dead_zone(ax, block)
    key(ax, framealpha=0.85)


def _channel_profiles(made: Any, block: KernelBlock, box: tuple[float, ...]) -> None:
    """|W . M| by distance, each channel scaled to its own mean: median and spread over the channels."""
    ax = style.plot_axes(made, box, "distance to the centre, taps", "relative size")
    curves = (("effective", style.ACCENT, "|W · M|"), ("weight", style.WARM, "|W|"))
    for name, colour, label in curves:
        values = block.arrays().get(name)
        if values is None:
            continue
        inside = np.abs(values[(..., *block.alive_box)])
        inside = inside[inside.max((1, 2, 3)) > 0]
        profiles = np.array([radial_profile(v / v.mean()).mean for v in inside])
        radius = np.arange(profiles.shape[1])
        low, middle, high = np.percentile(profiles, (10, 50, 90), axis=0)
        ax.fill_between(radius, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(radius, middle, color=colour, linewidth=1.8, label=f"{label}, median and 10-90 % of channels")
    radii = spread(block.effective_CKKK[(..., *block.alive_box)])["channel_radius"]
    ax.axvline(radii[2], color="white", linewidth=1, label=f"energy radius {radii[2]:.1f}")
    ax.axvspan(radii[1], radii[3], color="white", alpha=0.08, linewidth=0)
    ax.set_ylim(bottom=0)
    _dead_zone(ax, block)
    key(ax, framealpha=0.85)


def _dead_zone(ax: Any, block: KernelBlock) -> None:
    """Shade the distances beyond the face of the living box."""
    end, alive = (min(block.kernel) - 1) / 2, (min(block.alive) - 1) / 2
    ax.set_xlim(0, end)
    if alive < end:
        ax.axvspan(alive + 0.5, end, facecolor=style.GROUND, edgecolor=style.GRID, hatch="////", linewidth=0)
