"""Pictures of a scene: a slice through it, or a 3D view, by the displayable managers of the core.

Each picture has its own offscreen window, which ends with it. VTK aborts the process where no GL library can be
loaded, so :func:`unavailable` is asked first.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import vtk

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
_NAME = "HostPicture"


def unavailable() -> str | None:
    """Why nothing can be rendered here, or None."""
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        return None
    for library in ("libEGL.so.1", "libOSMesa.so.8"):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return None
    return "neither libEGL.so.1 nor libOSMesa.so.8 can be loaded (apt: libegl1 libegl-mesa0)"


def render_slice(
    core: Any,
    path: str | Path,
    *,
    volume: Any = None,
    orientation: str = "Axial",
    offset_mm: float | None = None,
    foreground: Any = None,
    size: tuple[int, int] = (512, 512),
) -> Path:
    """A PNG of a slice with everything that is visible in it.

    volume: background, fitted to the picture; orientation: Axial, Sagittal or Coronal; offset_mm: position along the
    slice normal in RAS (the middle of the volume without it).
    """
    scene = core.scene
    node = scene.AddNewNodeByClass("vtkMRMLSliceNode", _NAME)
    node.SetLayoutName(_NAME)
    node.SetOrientation(orientation)
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(core.app_logic)
    logic.SetMRMLScene(scene)
    logic.SetSliceNode(node)
    core.app_logic.GetSliceLogics().AddItem(logic)
    composite = logic.GetSliceCompositeNode()
    try:
        with _window(size) as (window, renderer):
            node.SetDimensions(size[0], size[1], 1)
            composite.SetBackgroundVolumeID(volume.GetID() if volume is not None else None)
            composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
            logic.FitSliceToAll(*size)
            if offset_mm is not None:
                logic.SetSliceOffset(offset_mm)
            logic.UpdatePipeline()
            mapper = vtk.vtkImageMapper()
            mapper.SetColorWindow(255)
            mapper.SetColorLevel(127.5)
            if logic.GetImageDataConnection() is not None:
                mapper.SetInputConnection(logic.GetImageDataConnection())
                actor = vtk.vtkActor2D()
                actor.SetMapper(mapper)
                actor.GetProperty().SetDisplayLocationToBackground()
                renderer.AddActor2D(actor)
            factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
            with _managers(factory, _SLICE_MANAGERS, renderer, node):
                return _write(window, path)
    finally:
        core.app_logic.GetSliceLogics().RemoveItem(logic)
        logic.SetMRMLScene(None)
        for removed in (composite, node):
            if removed is not None:
                scene.RemoveNode(removed)


def render_3d(
    core: Any,
    path: str | Path,
    *,
    size: tuple[int, int] = (512, 512),
    azimuth_deg: float = 30,
    elevation_deg: float = 15,
) -> Path:
    """A PNG of all that is visible in 3D, seen from the front, turned by an azimuth and an elevation."""
    scene = core.scene
    node = scene.AddNewNodeByClass("vtkMRMLViewNode", _NAME)
    node.SetLayoutName(_NAME)
    camera = scene.AddNewNodeByClass("vtkMRMLCameraNode", _NAME)
    camera.SetLayoutName(_NAME)
    try:
        with _window(size) as (window, renderer):
            renderer.SetBackground(0.757, 0.765, 0.91)
            renderer.SetBackground2(0.454, 0.471, 0.745)
            renderer.GradientBackgroundOn()
            factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
            with _managers(factory, _THREE_D_MANAGERS, renderer, node):
                window.Render()
                _look(renderer, azimuth_deg, elevation_deg)
                return _write(window, path)
    finally:
        for removed in (camera, node):
            scene.RemoveNode(removed)


def _look(renderer: Any, azimuth_deg: float, elevation_deg: float) -> None:
    bounds = renderer.ComputeVisiblePropBounds()
    if not vtk.vtkMath.AreBoundsInitialized(bounds):
        return
    camera = renderer.GetActiveCamera()
    centre = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
    camera.SetFocalPoint(*centre)
    camera.SetPosition(centre[0], centre[1] + math.dist(bounds[::2], bounds[1::2]), centre[2])  # anterior is +y in RAS
    camera.SetViewUp(0, 0, 1)
    camera.Azimuth(azimuth_deg)
    camera.Elevation(elevation_deg)
    renderer.ResetCamera(bounds)
    renderer.ResetCameraClippingRange(bounds)


@contextmanager
def _window(size: tuple[int, int]) -> Iterator[tuple[Any, Any]]:
    reason = unavailable()
    if reason is not None:
        raise RuntimeError(f"Nothing can be rendered: {reason}")
    window, renderer, interactor = vtk.vtkRenderWindow(), vtk.vtkRenderer(), vtk.vtkGenericRenderWindowInteractor()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(*size)
    window.AddRenderer(renderer)
    window.SetInteractor(interactor)
    try:
        yield window, renderer
    finally:
        interactor.SetRenderWindow(None)
        window.RemoveRenderer(renderer)
        window.Finalize()


@contextmanager
def _managers(factory: Any, names: tuple[str, ...], renderer: Any, node: Any) -> Iterator[Any]:
    """The displayable managers that draw a view's nodes, for one renderer."""
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = factory.InstantiateDisplayableManagers(renderer)
    group.SetMRMLDisplayableNode(node)
    try:
        yield group
    finally:
        group.SetMRMLDisplayableNode(None)
        group.SetRenderer(None)


def _write(window: Any, path: str | Path) -> Path:
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.SetFileName(str(path))
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()
    if writer.GetErrorCode() or not path.is_file():
        raise RuntimeError(f"The picture could not be written to {path}")
    return path
