"""Makes the pictures of docs/click.md and of the effect's help, with the real worker and the shipped weights.

    REP3D_DATA=folder python Testing/gui/effect/make_pictures.py

Needs the folder of scans (MSD Task04, a case that the weights were not trained on) and OpenGL without a display.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / "docs" / "pictures" / "click"
HELP = ROOT / "SegmentEditorRep3D" / "Resources" / "Help" / "Rep3DClick.png"
TASK = "msd-hippocampus"
CASE = 4  # every fifth case is a test case
SIZE = (420, 420)
STEPS = ("1-before", "2-hover", "3-click", "4-undo")


def main() -> None:
    data = os.environ.get("REP3D_DATA")
    if not data:
        sys.exit("Set REP3D_DATA to the folder of scans.")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(ROOT / folder) for folder in ("Testing", "Rep3DSegmentation", "SegmentEditorRep3D")]
    from slicerhost import Host
    from slicerhost.views import rendering_problem

    host = Host.start()
    if rendering_problem():
        sys.exit(rendering_problem())
    host.load_module(ROOT / "SegmentEditorRep3D" / "SegmentEditorRep3D.py")
    host.process_events(50)
    volume = load_scan(Path(data) / "open" / "hippocampus" / "images")
    make(host, volume)
    from Rep3DSegmentationLib.click.session import close_session
    from Rep3DSegmentationLib.session import close_client

    close_session()
    close_client()
    host.shut_down()


def load_scan(folder: Path) -> Any:
    import slicer

    volume = slicer.util.loadVolume(str(sorted(folder.glob("*.nii.gz"))[CASE]))
    display = volume.GetDisplayNode()
    low, high = np.percentile(slicer.util.arrayFromVolume(volume), (1, 99.5))
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(float(low), float(high))
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume


def make(host: Any, volume: Any) -> None:
    import slicer

    slicer.util.selectModule("SegmentEditor")
    slicer.util.mainWindow().resize(980, 1000)
    slicer.util.mainWindow().show()
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    segmentation.CreateDefaultDisplayNodes()
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID(segmentation.GetSegmentation().AddEmptySegment())
    editor.setActiveEffectByName("Rep3D")
    effect = editor.activeEffect()
    effect.setParameter("Task", TASK)
    click = effect.self()
    assert click.prepare(wait=True), click.statusText()
    point, view = find_point(click, volume), "Yellow"
    node = host.slice_view(view).mrmlSliceNode()
    node.JumpSliceByOffsetting(*point)
    host.save_slice_view(view, PICTURES / "1-before.png", SIZE)  # gives the view its size
    host.slice_view(view).fitSliceToBackground()
    node.JumpSliceByOffsetting(*point)
    host.save_slice_view(view, PICTURES / "1-before.png", SIZE)
    hit = host.hover_slice(view, point)
    draw_cursor(host.save_slice_view(view, PICTURES / "2-hover.png", SIZE), hit.xy)
    host.click_slice(view, point)
    draw_cursor(host.save_slice_view(view, PICTURES / "3-click.png", SIZE), hit.xy)
    host.process_events(50)
    frame = effect.optionsFrame()
    frame.setParent(None)
    frame.resize(380, 440)
    host.save_picture(frame, PICTURES / "panel.png")
    editor.undo()
    host.leave_slice(view)
    host.save_slice_view(view, PICTURES / "4-undo.png", SIZE)
    join([PICTURES / "2-hover.png", PICTURES / "3-click.png"], HELP, 160)
    animate([PICTURES / f"{name}.png" for name in STEPS], PICTURES / "click.gif")
    for picture in (*sorted(PICTURES.glob("*.png")), HELP):
        print(picture.relative_to(ROOT))


def find_point(click: Any, volume: Any) -> tuple[float, float, float]:
    """World point in the middle of the widest sagittal slice of the first structure."""
    from Rep3DSegmentationLib.click.geometry import ijk_to_world

    answer = click.controller.preparation.answer(volume, click.controller.settings.options)
    pick = answer.structure(1)
    widest = int(np.argmax(pick.mask.sum((1, 2))))
    rows = np.argwhere(pick.mask[widest])
    middle = rows[np.argmin(np.linalg.norm(rows - rows.mean(0), axis=1))]
    return tuple(ijk_to_world(volume, np.array([widest, *middle]) + pick.first))


def draw_cursor(path: Path, xy: tuple[int, int]) -> None:
    """Draw the mouse's arrow into a picture of a view; ``xy``: from its lower left corner."""
    from PyQt5 import QtCore, QtGui

    image = QtGui.QImage(str(path)).convertToFormat(QtGui.QImage.Format_RGB32)
    outline = [(0, 0), (0, 22), (5, 17), (9, 25), (12, 23), (9, 16), (16, 16)]
    arrow = QtGui.QPolygonF([QtCore.QPointF(xy[0] + x, image.height() - 1 - xy[1] + y) for x, y in outline])
    painter = QtGui.QPainter(image)
    painter.setRenderHint(QtGui.QPainter.Antialiasing)
    painter.setBrush(QtGui.QColor("white"))
    painter.setPen(QtGui.QPen(QtGui.QColor("black"), 1.5))
    painter.drawPolygon(arrow)
    painter.end()
    image.save(str(path), "PNG")


def animate(pictures: list[Path], target: Path, size: int = 320, seconds: float = 1.2) -> None:
    """Pictures one after the other, without end, in 64 colours."""
    from PIL import Image

    frames = [Image.open(path).convert("RGB").resize((size, size)) for path in pictures]
    first, *rest = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
    first.save(target, save_all=True, append_images=rest, duration=int(1000 * seconds), loop=0, optimize=True)


def join(pictures: list[Path], target: Path, height: int) -> None:
    """Pictures side by side, for the help."""
    from PyQt5 import QtCore, QtGui

    images = [QtGui.QImage(str(path)).scaledToHeight(height, QtCore.Qt.SmoothTransformation) for path in pictures]
    gap = 4
    joined = QtGui.QImage(sum(i.width() for i in images) + gap * (len(images) - 1), height, QtGui.QImage.Format_RGB32)
    joined.fill(QtGui.QColor("white"))
    painter, left = QtGui.QPainter(joined), 0
    for image in images:
        painter.drawImage(left, 0, image)
        left += image.width() + gap
    painter.end()
    target.parent.mkdir(parents=True, exist_ok=True)
    if not joined.save(str(target), "PNG"):
        sys.exit(f"{target} could not be written")


if __name__ == "__main__":
    main()
