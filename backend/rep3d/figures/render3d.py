"""A three-dimensional picture of a label map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.figures import style
from rep3d.figures.raycast import Hits, View, cast
from rep3d.figures.surfaces import Scene, build_scene
from rep3d.tasks import Task

FRONT, BEHIND, LEFT = View("From the front", -14, 8), View("From behind", 196, 8), View("From the left", 80, 8)
SUPERSAMPLING = 2
GAP = 16
MARGIN = 28


def render(
    path: str | Path,
    labels: Volume,
    task: Task,
    *,
    scan: Volume | None = None,
    title: str = "",
    subtitle: str = "",
    views: tuple[View, ...] | None = None,
    width_px: int = 1600,
) -> None:
    """Render the structures, head up, from each view.

    Args:
        path: PNG to write, atomically.
        labels: label map, any orientation.
        scan: a CT on the same grid, whose skin is shown as a ghost.
        views: default the front, and the back or (for structures longer than wide) the left side.

    Raises:
        BadInput: the label map is empty. OutputFailed: the file cannot be written.
    """
    scene = build_scene(labels, task, scan)
    if scene is None:
        raise BadInput("the label map holds none of the task's structures, so there is nothing to render")
    views = views or (FRONT, LEFT if scene.size[1] > 1.1 * scene.size[0] else BEHIND)
    panel = (width_px - 2 * MARGIN - GAP * (len(views) - 1)) // len(views)
    height, pixel = _framing(scene, views, panel)
    shown = [label for label in task.labels if (labels.array == label.value).any()]
    top, bottom = (100 if subtitle else 68), style.legend_height(shown, width_px) + 34
    made = style.figure(width_px, top + height + bottom)
    style.heading(made, title or task.title, subtitle)
    for i, view in enumerate(views):
        ax = style.image_axes(made, (MARGIN + i * (panel + GAP), bottom, panel, height))
        ax.imshow(picture(scene, view, (height, panel), pixel), extent=(0, panel, 0, height), interpolation="nearest")
        ax.set(xlim=(0, panel), ylim=(0, height))
        _furniture(ax, view, scene, panel, height, pixel)
    style.legend(made, shown, 18)
    style.save(made, path)


def picture(scene: Scene, view: View, shape: tuple[int, int], pixel_voxels: float) -> np.ndarray:
    """The scene as RGB [rows, columns, 3] in 0..1, anti-aliased by supersampling."""
    n = SUPERSAMPLING
    fine = (shape[0] * n, shape[1] * n)
    out = _ground(fine)
    if scene.body is not None:  # the skin is smooth: half the resolution is enough
        skin = cast(scene, view, shape, pixel_voxels, body=True)
        opacity = np.where(skin.label >= 0, 0.05 + 0.34 * skin.colour[..., 0], 0)
        opacity = ndimage.gaussian_filter(opacity, 0.8).repeat(n, 0).repeat(n, 1)[..., None]
    hits = cast(scene, view, fine, pixel_voxels / n)
    solid = hits.label >= 0
    out[solid] = (hits.colour * _edges(hits)[..., None])[solid]
    if scene.body is not None:
        out = out * (1 - opacity * np.where(solid, 0.25, 1)[..., None]) + opacity * np.where(solid, 0.25, 1)[
            ..., None
        ] * np.array(scene.body.colour)
    return out.reshape(shape[0], n, shape[1], n, 3).mean((1, 3))


def _ground(shape: tuple[int, int]) -> np.ndarray:
    """A quiet gradient: lighter in the middle."""
    y, x = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    glow = np.exp(-(x**2 + y**2) / 0.9)[..., None]
    dark, light = np.array([0.045, 0.058, 0.072]), np.array([0.125, 0.152, 0.180])
    return (dark + (light - dark) * glow).astype(np.float32)


def _edges(hits: Hits) -> np.ndarray:
    """A factor below 1 on the far side of depth steps, which sets structures apart from what lies behind them."""
    depth = np.where(np.isnan(hits.depth), -1e3, hits.depth)
    nearest = ndimage.maximum_filter(depth, 5)
    return (1 - 0.42 * np.clip((nearest - depth - 2.0) / 6.0, 0, 1) * (hits.label >= 0)).astype(np.float32)


def _framing(scene: Scene, views: tuple[View, ...], panel: int) -> tuple[int, float]:
    """Panel height in pixels and pixel size in grid voxels, so that every view shows the whole grid."""
    corners = np.array(np.meshgrid(*[(-n / 2, n / 2) for n in scene.size])).reshape(3, -1)
    spans = [np.ptp(view.axes()[:2] @ corners, axis=1) for view in views]
    wide, high = max(s[0] for s in spans) * 1.02, max(s[1] for s in spans) * 1.04
    height = int(np.clip(panel * high / wide, 0.55 * panel, 1.1 * panel))
    return height, float(max(wide / panel, high / height))


def _furniture(ax, view: View, scene: Scene, width: int, height: int, pixel: float) -> None:
    """View name, the letters of the patient's sides and a scale bar."""
    ax.text(16, height - 16, view.name, color=style.MUTED, fontsize=9, va="top")
    right = view.axes()[0]
    if abs(right[0]) > 0.3:
        sides = ("L", "R") if right[0] > 0 else ("R", "L")
    else:
        sides = ("P", "A") if right[1] > 0 else ("A", "P")
    ax.text(18, height / 2, sides[0], color=style.WARM, fontsize=9, weight="bold", ha="center", va="center")
    ax.text(width - 18, height / 2, sides[1], color=style.WARM, fontsize=9, weight="bold", ha="center", va="center")
    mm_per_px = scene.spacing_mm * pixel
    length = next(n for n in (500, 200, 100, 50, 20, 10, 5, 2, 1) if n / mm_per_px < 0.3 * width or n == 1)
    bar = length / mm_per_px
    ax.plot([width - 18 - bar, width - 18], [20, 20], color=style.TEXT, linewidth=2, solid_capstyle="butt")
    name = f"{length // 10} cm" if length >= 10 else f"{length} mm"
    ax.text(width - 18 - bar / 2, 27, name, color=style.TEXT, fontsize=8, ha="center", va="bottom")
