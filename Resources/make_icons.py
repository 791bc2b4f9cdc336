"""Draws the icons of the extension and its modules: a kernel as a cube, its taps bright where the mask lets them act.

    python Resources/make_icons.py

Needs numpy and matplotlib; writes PNG files of 128 x 128 pixels, the same each time. Copies the guide's pictures that
the Extensions Manager shows, so that these are the current panel too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch, Polygon

ROOT = Path(__file__).resolve().parent.parent
ICONS = (
    ROOT / "Resources" / "Icons" / "Rep3D.png",
    ROOT / "Rep3DSegmentation" / "Resources" / "Icons" / "Rep3DSegmentation.png",
)
CLICK_ICON = ROOT / "SegmentEditorRep3D" / "Resources" / "Icons" / "SegmentEditorRep3D.png"
GUIDE = ROOT / "docs" / "pictures" / "slicer"
SCREENSHOTS = {"panel.png": GUIDE / "done.png", "view-3d.png": GUIDE / "view-3d.png"}
PIXELS = 128
TAPS = 5  # along each edge of the drawn cube
GAP = 0.09  # between taps, as part of one

# Screen directions of the cube's axes x, y, z in an isometric view.
AXES = np.array([[np.sqrt(3) / 2, -0.5], [-np.sqrt(3) / 2, -0.5], [0.0, 1.0]])
# Each visible face: its two axes, and how bright it is lit.
FACES = ((0, 1, 1.0), (0, 2, 0.88), (1, 2, 0.74))


def tap_weight(i: float, j: float) -> float:
    """Weight of the tap at (i, j) in [0, 1]^2 from the corner nearest to the viewer: it fades with the distance."""
    return float(np.exp(-(i * i + j * j) / 0.6))


def draw_cube(axes: plt.Axes) -> None:
    """The three visible faces of a cube of taps; the corner nearest to the viewer is at the origin."""
    colours = matplotlib.colormaps["viridis"]
    for first, second, light in FACES:
        u, v = -AXES[first], -AXES[second]  # from the near corner both edges of a face run away from the viewer
        for i in range(TAPS):
            for j in range(TAPS):
                low = np.array([i + GAP / 2, j + GAP / 2]) / TAPS
                high = np.array([i + 1 - GAP / 2, j + 1 - GAP / 2]) / TAPS
                corners = [low[0] * u + low[1] * v, high[0] * u + low[1] * v, high[0] * u + high[1] * v]
                corners.append(low[0] * u + high[1] * v)
                weight = tap_weight((i + 0.5) / TAPS, (j + 0.5) / TAPS)
                red, green, blue, _ = colours(0.16 + 0.82 * weight)
                axes.add_patch(Polygon(corners, closed=True, facecolor=(red * light, green * light, blue * light)))


def draw_cursor(axes: plt.Axes) -> None:
    """The arrow of a mouse, its tip on the corner of the cube that is nearest to the viewer."""
    arrow = np.array([(0, 0), (0, -1.0), (0.24, -0.78), (0.4, -1.12), (0.56, -1.04), (0.41, -0.71), (0.72, -0.7)])
    axes.add_patch(
        Polygon(arrow, closed=True, facecolor="white", edgecolor="#141a2a", linewidth=1.2, joinstyle="round")
    )


def draw(path: Path, cursor: bool = False) -> None:
    """One icon on a dark rounded square with transparent corners."""
    figure = plt.figure(figsize=(1, 1), dpi=PIXELS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-1.22, 1.22)
    axes.set_ylim(-1.22, 1.22)
    axes.axis("off")
    square = FancyBboxPatch((-1.0, -1.0), 2.0, 2.0, boxstyle="round,pad=0.18,rounding_size=0.42")
    square.set(facecolor="#141a2a", edgecolor="none")
    axes.add_patch(square)
    draw_cube(axes)
    if cursor:
        draw_cursor(axes)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, transparent=True, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    for icon in (*ICONS, CLICK_ICON):
        draw(icon, cursor=icon == CLICK_ICON)
        print(icon.relative_to(ROOT))
    for name, picture in SCREENSHOTS.items():
        shutil.copyfile(picture, ROOT / "Resources" / "Screenshots" / name)
        print(f"Resources/Screenshots/{name}")
