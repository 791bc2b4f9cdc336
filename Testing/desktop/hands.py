"""What a person does in Slicer, for the steps: open modules, click into a slice view, wait."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import vtk

MODULES = ("Rep3DSegmentation", "SegmentEditorRep3D")


class StepFailed(Exception):
    """A step did not show what it should."""


def expect(condition: Any, message: str) -> None:
    """Raise StepFailed unless the condition holds."""
    if not condition:
        raise StepFailed(message)


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Let the application work until the condition holds. Raises StepFailed in the end."""
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"{what}: not within {seconds:.0f} s")
        slicer.app.processEvents()
        time.sleep(0.01)


def click(button: Any) -> None:
    """Press a button, and say yes to the dialog that it may open: nobody is there to answer."""
    timer = qt.QTimer()
    timer.setInterval(500)
    timer.connect("timeout()", _accept_dialog)
    timer.start()
    try:
        button.click()
    finally:
        timer.stop()
        timer.disconnect("timeout()", _accept_dialog)


def _accept_dialog() -> None:
    dialog = qt.QApplication.activeModalWidget()
    if dialog is not None and dialog.inherits("QMessageBox"):
        dialog.defaultButton().click()
    elif dialog is not None and dialog.inherits("QDialog"):
        dialog.accept()


def load_modules(folder: Path) -> None:
    """Register and load the extension's modules below a folder: of an installation, or a checkout."""
    factory = slicer.app.moduleManager().factoryManager()
    for name in MODULES:
        if hasattr(slicer.modules, name.lower()):
            continue
        files = sorted(folder.rglob(f"{name}.py"))
        expect(files, f"there is no {name}.py below {folder}")
        sys.path.insert(0, str(files[0].parent))
        factory.registerModule(qt.QFileInfo(str(files[0])))
        expect(factory.isRegistered(name), f"Slicer does not take {files[0]}")
    factory.loadModules([name for name in MODULES if not hasattr(slicer.modules, name.lower())])
    slicer.app.processEvents()


def open_editor() -> Any:
    """The editor of the Segment Editor module, shown."""
    slicer.util.selectModule("SegmentEditor")
    slicer.app.processEvents()
    return slicer.modules.segmenteditor.widgetRepresentation().self().editor


def voxel_to_ras(volume: Any, voxel: np.ndarray) -> tuple[float, float, float]:
    """World position of a voxel (i, j, k) of a volume without parent transform."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return tuple(float(v) for v in matrix.MultiplyPoint([*(float(v) for v in voxel), 1.0])[:3])


def click_in_view(name: str, ras: tuple[float, float, float]) -> None:
    """Bring a slice view to a point and press the left mouse button there."""
    view = slicer.app.layoutManager().sliceWidget(name)
    node = view.mrmlSliceNode()
    node.JumpSliceByCentering(*ras)
    slicer.app.processEvents()
    inverse = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), inverse)
    x, y = (round(v) for v in inverse.MultiplyPoint([*ras, 1.0])[:2])
    interactor = view.sliceView().interactor()
    interactor.SetEventInformation(x, y, 0, 0, "\0", 0, None)
    for event in ("MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
        interactor.InvokeEvent(event)
    slicer.app.processEvents()


def count_of(segmentation: Any, segment_id: str, volume: Any) -> int:
    """Voxels of a segment."""
    return int((slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0).sum())
