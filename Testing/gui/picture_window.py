"""Pictures of a window as Slicer shows it: the panel beside slice views with orientation letters and a 3D view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PANEL_WIDTH, HEIGHT, GAP = 430, 844, 4
VIEW = (HEIGHT - GAP) // 2
SLICES = ("Axial", "Coronal", "Sagittal")
#: At the left, right, upper and lower edge of a slice view.
LETTERS = {"Axial": "RLAP", "Coronal": "RLSI", "Sagittal": "APSI"}
COLORS = 96  # a palette keeps the files small


def grab(host: Any, widget: Any, height: int = 0, width: int = PANEL_WIDTH) -> np.ndarray:
    """A widget on its own, RGB [height, width, 3]: as high as it needs to be, and at least ``height``."""
    from PyQt5 import QtGui
    from slicerhost.wrapping import unwrap

    host.process_events(50)
    real = unwrap(widget)
    real.setParent(None)
    real.show()
    real.setFixedWidth(width)
    host.process_events(50)
    if real.minimumSizeHint().width() > width:
        raise SystemExit(f"the panel needs {real.minimumSizeHint().width()} pixels, more than {width}")
    real.setFixedHeight(max(height, real.layout().totalHeightForWidth(width)))
    host.process_events(50)
    return pixels(real.grab().toImage().convertToFormat(QtGui.QImage.Format_RGB888))


def pixels(image: Any) -> np.ndarray:
    """A QImage in RGB888 as an array."""
    bits = image.bits()
    bits.setsize(image.byteCount())
    rows = np.frombuffer(bits, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def window(panel: np.ndarray, slices: Sequence[np.ndarray], last: np.ndarray) -> np.ndarray:
    """The panel beside three slice views and a fourth view, in two rows."""
    return beside(panel, stack(beside(slices[0], last), beside(*slices[1:])))


def slice_views(core: Any, volume: Any, segmentation: Any = None, **settings: Any) -> list[np.ndarray]:
    """The volume from three sides, with letters."""
    from slicerhost import views

    found = []
    for orientation in SLICES:
        picture = views.render_slice(core, volume, segmentation, orientation, size=(VIEW, VIEW), **settings)
        found.append(lettered(picture, LETTERS[orientation]))
    return found


def lettered(picture: np.ndarray, letters: str) -> np.ndarray:
    """Orientation letters at the left, right, upper and lower edge."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    draw, (width, height) = ImageDraw.Draw(image), image.size
    font = ImageFont.load_default(20)
    places = ((14, height / 2), (width - 14, height / 2), (width / 2, 14), (width / 2, height - 14))
    for letter, place in zip(letters, places, strict=True):
        draw.text(place, letter, fill="#ffd34e", font=font, anchor="mm", stroke_width=2, stroke_fill="black")
    return np.asarray(image)


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures from left to right, with gaps; lower ones are filled up with a window's grey."""
    height = max(len(picture) for picture in pictures)
    parts = []
    for picture in pictures:
        filling = ((0, height - len(picture)), (0, 0), (0, 0))
        parts += [np.pad(picture, filling, constant_values=239), np.full((height, GAP, 3), 255, np.uint8)]
    return np.concatenate(parts[:-1], axis=1)


def stack(*pictures: np.ndarray) -> np.ndarray:
    """Pictures from top to bottom, with gaps."""
    return beside(*(picture.transpose(1, 0, 2) for picture in pictures)).transpose(1, 0, 2)


def save(path: Path, picture: np.ndarray) -> None:
    """Write a PNG with a palette."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(picture)).quantize(
        COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    image.save(path, optimize=True)
    print(f"{path.name}: {picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size / 1000:.0f} kB")
