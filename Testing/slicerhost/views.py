"""Pictures of slice views and 3D views, drawn off screen by Slicer's own slice logic and displayable managers.

Rendering without a GL library (EGL or OSMesa on Linux) ends the process, so it is tried in another process first.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from slicerhost.boot import Core
from slicerhost.programs import PYTHON

_TRY = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
renderer = vtk.vtkRenderer()
renderer.SetBackground(1, 0, 0)
window.AddRenderer(renderer)
window.SetSize(32, 32)
window.Render()
grab = vtk.vtkWindowToImageFilter()
grab.SetInput(window)
grab.ReadFrontBufferOff()
grab.Update()
print("drawn" if grab.GetOutput().GetScalarComponentAsDouble(16, 16, 0, 0) == 255 else "black")
"""
_LAYOUT = "Rep3DPicture"


@functools.cache
def rendering_problem() -> str:
    """Why nothing can be drawn on this machine; "" if it can. Costs a second, once."""
    try:
        done = subprocess.run([PYTHON, "-c", _TRY], capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "a trial of rendering off screen did not end"
    if done.returncode == 0 and b"drawn" in done.stdout:
        return ""
    return "rendering off screen does not work here (on Linux install libegl1 and libgl1-mesa-dri, or libosmesa6)"


def render_slice(
    core: Core,
    volume_node: Any,
    segmentation_node: Any = None,
    orientation: str = "Axial",
    offset: float | None = None,
    centre: Sequence[float] | None = None,
    size: tuple[int, int] = (512, 512),
    field_of_view_mm: float | None = None,
    foreground: Any = None,
    foreground_opacity: float = 0.5,
) -> np.ndarray:
    """A slice view as an RGB array [height, width, 3].

    Args:
        segmentation_node: drawn over the volume; other segmentations of the scene are hidden meanwhile.
        orientation: "Axial", "Sagittal" or "Coronal".
        offset: of the slice along its normal, in mm; default: through ``centre``, else the middle of the volume.
        centre: RAS in mm, in the middle of the picture. field_of_view_mm: width of the picture.
        foreground: a volume blended over the first one.

    Raises:
        RuntimeError: this machine cannot render.
    """
    scene = core.scene
    with _only(scene, "vtkMRMLSegmentationNode", segmentation_node), _temporary_nodes(scene):
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(core.app_logic)
        logic.SetMRMLScene(scene)
        node = logic.AddSliceNode(_LAYOUT)
        core.app_logic.GetSliceLogics().AddItem(logic)
        try:
            logic.ResizeSliceNode(*size)
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume_node.GetID())
            if foreground is not None:
                logic.GetSliceCompositeNode().SetForegroundVolumeID(foreground.GetID())
                logic.GetSliceCompositeNode().SetForegroundOpacity(foreground_opacity)
            node.SetOrientation(orientation)
            logic.FitSliceToAll()
            if centre is not None:
                node.JumpSliceByCentering(*centre)
            if offset is not None:
                logic.SetSliceOffset(offset)
            if field_of_view_mm is not None:
                height = field_of_view_mm * size[1] / size[0]
                node.SetFieldOfView(field_of_view_mm, height, node.GetFieldOfView()[2])
            window, renderer = _window(size)
            mapper = vtk.vtkImageMapper()
            mapper.SetColorWindow(255)
            mapper.SetColorLevel(127.5)
            background = vtk.vtkActor2D()
            background.SetMapper(mapper)
            background.GetProperty().SetDisplayLocationToBackground()
            renderer.AddViewProp(background)  # before the managers add theirs, which are blended over it
            managers = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D")
            group = _managers(core, renderer, node, managers)
            logic.UpdatePipeline()
            mapper.SetInputConnection(logic.GetImageDataConnection())  # after the layers are set: it changes with them
            picture = _grab(window)
            group.SetMRMLDisplayableNode(None)
        finally:
            core.app_logic.GetSliceLogics().RemoveItem(logic)
            logic.SetMRMLScene(None)
    return picture


def render_3d(
    core: Core,
    segmentation_node: Any = None,
    size: tuple[int, int] = (512, 512),
    azimuth: float = 0.0,
    elevation: float = 0.0,
    zoom: float = 1.0,
    background: tuple[float, float, float] | None = None,
) -> np.ndarray:
    """A 3D view as an RGB array [height, width, 3], seen from the front, turned by ``azimuth`` and ``elevation``.

    Args:
        segmentation_node: drawn as surfaces (which it must have); other segmentations are hidden meanwhile.
        background: red, green, blue from 0 to 1; default: Slicer's blue.

    Raises:
        RuntimeError: this machine cannot render.
    """
    scene = core.scene
    with _only(scene, "vtkMRMLSegmentationNode", segmentation_node), _temporary_nodes(scene):
        view = scene.AddNewNodeByClass("vtkMRMLViewNode", _LAYOUT)
        view.SetLayoutName(_LAYOUT)
        view.SetBoxVisible(False)
        view.SetAxisLabelsVisible(False)
        if background is not None:
            view.SetBackgroundColor(*background)
            view.SetBackgroundColor2(*background)
        camera_node = scene.AddNewNodeByClass("vtkMRMLCameraNode", _LAYOUT)
        camera_node.SetLayoutName(_LAYOUT)
        window, renderer = _window(size)
        managers = (
            "vtkMRMLCameraDisplayableManager",
            "vtkMRMLViewDisplayableManager",
            "vtkMRMLModelDisplayableManager",
            "vtkMRMLSegmentationsDisplayableManager3D",
            "vtkMRMLVolumeRenderingDisplayableManager",
        )
        group = _managers(core, renderer, view, managers)
        camera = renderer.GetActiveCamera()
        bounds = [0.0] * 6
        renderer.ComputeVisiblePropBounds(bounds)
        middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2])]
        camera.SetFocalPoint(*middle)
        camera.SetPosition(middle[0], middle[1] + 1.0, middle[2])  # from the front: +A looks to the patient's face
        camera.SetViewUp(0, 0, 1)
        camera.Azimuth(azimuth)
        camera.Elevation(elevation)
        renderer.ResetCamera()
        camera.Zoom(zoom)
        renderer.ResetCameraClippingRange()
        picture = _grab(window)
        group.SetMRMLDisplayableNode(None)
    return picture


def _window(size: tuple[int, int]) -> tuple[vtk.vtkRenderWindow, vtk.vtkRenderer]:
    problem = rendering_problem()
    if problem:
        raise RuntimeError(problem)
    window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
    window.SetOffScreenRendering(1)
    window.SetSize(*size)
    window.AddRenderer(renderer)
    interactor = vtk.vtkGenericRenderWindowInteractor()  # displayable managers take for granted that there is one
    window.SetInteractor(interactor)
    return window, renderer


def _managers(core: Core, renderer: vtk.vtkRenderer, view_node: Any, class_names: Sequence[str]) -> Any:
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    for name in class_names:
        manager = getattr(slicer, name)()
        manager.SetMRMLApplicationLogic(core.app_logic)
        group.AddDisplayableManager(manager)
    group.GetInteractor().Initialize()
    group.SetMRMLDisplayableNode(view_node)
    return group


def _grab(window: vtk.vtkRenderWindow) -> np.ndarray:
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _depth = image.GetDimensions()
    rows = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
    return np.ascontiguousarray(rows[::-1, :, :3])  # VTK's first row is the lowest


@contextmanager
def _only(scene: Any, class_name: str, shown: Any) -> Iterator[None]:
    """Hide all displayable nodes of a class but one."""
    nodes = [scene.GetNthNodeByClass(i, class_name) for i in range(scene.GetNumberOfNodesByClass(class_name))]
    hidden = [node for node in nodes if node is not shown and node.GetDisplayVisibility()]
    for node in hidden:
        node.SetDisplayVisibility(False)
    try:
        yield
    finally:
        for node in hidden:
            node.SetDisplayVisibility(True)


@contextmanager
def _temporary_nodes(scene: Any) -> Iterator[None]:
    """Remove the nodes that were added meanwhile."""
    before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
    try:
        yield
    finally:
        after = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        for node in sorted(after, key=lambda node: node.IsA("vtkMRMLDisplayNode")):  # never before what they display
            if node.GetID() not in before and node.GetScene() is not None:
                scene.RemoveNode(node)
