"""Slice views: Slicer's own slice nodes, slice logics and displayable managers, drawn into windows that nobody sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk
from PyQt5 import QtGui, QtWidgets

from .views import rendering_problem
from .widgets.base import computed
from .widgets.mrml import qMRMLWidget
from .widgets.observing import Observers

SIZE = (400, 400)  # pixels of a view until a test asks for another size
_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)


class qMRMLSliceView(QtWidgets.QWidget):
    """The picture of a slice view: a render window off the screen, its interactor and its displayable managers."""

    def __init__(self, node: Any, logic: Any, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self._node, self._logic = node, logic
        self._default_cursor = QtGui.QCursor()
        self._scheduled = 0
        self._inside = False  # whether the mouse is over it
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())  # the usual one would turn the camera
        self._show_image()
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        for name in _MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers = factory.InstantiateDisplayableManagers(self._renderer)
        self._managers.SetMRMLDisplayableNode(node)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetInteractor(self._interactor)
        self._style.SetSliceLogic(logic)
        self._style.SetDisplayableManagers(self._managers)
        self._set_size(*SIZE)

    def _show_image(self) -> None:
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(self._logic.GetImageDataConnection())
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(mapper)
        self._image.SetLayerNumber(0)
        self._renderer.AddViewProp(self._image)
        self._update_image()
        self._observers = Observers(self)
        self._observers.add(self._logic, "ModifiedEvent", type(self)._update_image)

    def _update_image(self) -> None:
        # Without a volume the logic has no image, which the mapper would complain about.
        connection = self._logic.GetImageDataConnection()
        self._image.GetMapper().SetInputConnection(connection)
        self._image.SetVisibility(connection is not None)

    def _set_size(self, width: int, height: int) -> None:
        """Pixels of the view; the field of view is kept as the application keeps it when a window is resized."""
        self._window.SetSize(width, height)
        self._interactor.SetSize(width, height)
        self._logic.ResizeSliceNode(width, height)

    def _save(self, path: str | Path) -> Path:
        """Render and write a PNG. Raises RuntimeError where nothing can be rendered."""
        if rendering_problem():
            raise RuntimeError(rendering_problem())
        self._window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        writer = vtk.vtkPNGWriter()
        writer.SetInputConnection(grabber.GetOutputPort())
        writer.SetFileName(str(path))
        writer.Write()
        return Path(path)

    def mrmlSliceNode(self) -> Any:
        return self._node

    def renderWindow(self) -> Any:
        return self._window

    def interactor(self) -> Any:
        return self._interactor

    def interactorStyle(self) -> Any:
        return self._style

    sliceViewInteractorStyle = interactorStyle

    def displayableManagerByClassName(self, name: str) -> Any:
        return self._managers.GetDisplayableManagerByClassName(name)

    def scheduleRender(self) -> None:
        """Only counted: a test renders when it wants to look."""
        self._scheduled += 1

    def forceRender(self) -> None:
        if not rendering_problem():
            self._window.Render()

    def setViewCursor(self, cursor: QtGui.QCursor) -> None:
        self.setCursor(cursor)

    def setDefaultViewCursor(self, cursor: QtGui.QCursor) -> None:
        self._default_cursor = cursor

    def convertDeviceToXYZ(self, xy: list[int]) -> list[float]:
        return [float(xy[0]), float(xy[1]), 0.0]

    def convertXYZToRAS(self, xyz: list[float]) -> list[float]:
        return list(self._node.GetXYToRAS().MultiplyPoint((*xyz[:3], 1.0))[:3])

    def convertRASToXYZ(self, ras: list[float]) -> list[float]:
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self._node.GetXYToRAS(), inverse)
        return list(inverse.MultiplyPoint((*ras[:3], 1.0))[:3])


class qMRMLSliceWidget(qMRMLWidget):
    """One slice view. Its window is made at the first use, because most tests never look at slices."""

    def __init__(self, node: Any, logic: Any) -> None:
        super().__init__()
        self.setObjectName(f"qMRMLSliceWidget{node.GetLayoutName()}")
        self._node, self._logic = node, logic
        self._view: qMRMLSliceView | None = None

    def mrmlSliceNode(self) -> Any:
        return self._node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceLogic(self) -> Any:
        return self._logic

    def sliceView(self) -> qMRMLSliceView:
        if self._view is None:
            self._view = qMRMLSliceView(self._node, self._logic, self)
        return self._view

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    sliceViewName = computed(str, lambda self: self._node.GetLayoutName())
    sliceOrientation = computed(
        str, lambda self: self._node.GetOrientation(), lambda self, name: self._node.SetOrientation(name)
    )
