"""Positions in slice views, as effects convert them: by the slice node and Slicer's own logic."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PyQt5 import QtCore, QtGui

from .segment_editor_parameters import EffectParameters
from .slice_views import qMRMLSliceWidget

_LOGIC = slicer.vtkSlicerSegmentEditorLogic


class EffectPositions(EffectParameters):
    """Static functions: xy are pixels from the lower left corner, ras millimetres in the world, ijk voxels."""

    @staticmethod
    def renderWindow(view: qMRMLSliceWidget) -> Any:
        return view.sliceView().renderWindow()

    @staticmethod
    def renderer(view: qMRMLSliceWidget) -> Any:
        return view.sliceView().renderWindow().GetRenderers().GetItemAsObject(0)

    @staticmethod
    def viewNode(view: qMRMLSliceWidget) -> Any:
        return view.mrmlSliceNode()

    @staticmethod
    def forceRender(view: qMRMLSliceWidget) -> None:
        view.sliceView().forceRender()

    @staticmethod
    def scheduleRender(view: qMRMLSliceWidget) -> None:
        view.sliceView().scheduleRender()

    @staticmethod
    def sliceSpacing(view: qMRMLSliceWidget) -> float:
        return _LOGIC.GetSliceSpacing(view.mrmlSliceNode(), view.sliceLogic())

    @staticmethod
    def rasToXy(ras: QtGui.QVector3D, view: qMRMLSliceWidget) -> QtCore.QPoint:
        to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(view.mrmlSliceNode().GetXYToRAS(), to_xy)
        x, y, *_rest = to_xy.MultiplyPoint((ras.x(), ras.y(), ras.z(), 1.0))
        return QtCore.QPoint(int(x), int(y))

    @staticmethod
    def xyzToRas(xyz: QtGui.QVector3D, view: qMRMLSliceWidget) -> QtGui.QVector3D:
        ras = [0.0, 0.0, 0.0]
        _LOGIC.XyzToRas([xyz.x(), xyz.y(), xyz.z()], ras, view.mrmlSliceNode())
        return QtGui.QVector3D(*ras)

    @staticmethod
    def xyToRas(xy: QtCore.QPoint, view: qMRMLSliceWidget) -> QtGui.QVector3D:
        return EffectPositions.xyzToRas(QtGui.QVector3D(xy.x(), xy.y(), 0.0), view)

    @staticmethod
    def xyzToIjk(xyz: QtGui.QVector3D, view: qMRMLSliceWidget, image: Any, transform: Any = None) -> QtGui.QVector3D:
        ijk = [0, 0, 0]
        _LOGIC.XyzToIjk([xyz.x(), xyz.y(), xyz.z()], ijk, view.mrmlSliceNode(), image, transform)
        return QtGui.QVector3D(*ijk)

    @staticmethod
    def xyToIjk(xy: QtCore.QPoint, view: qMRMLSliceWidget, image: Any, transform: Any = None) -> QtGui.QVector3D:
        return EffectPositions.xyzToIjk(QtGui.QVector3D(xy.x(), xy.y(), 0.0), view, image, transform)
