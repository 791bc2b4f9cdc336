"""An effect that adds a box of voxels around a click; with Control it removes it. It records what it was told."""

import numpy as np
import qt
import slicer
import vtk
from SegmentEditorEffects import *  # noqa: F403 - as effects of extensions do
from vtk.util.numpy_support import vtk_to_numpy


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):  # noqa: F405
    def __init__(self, scriptedEffect):
        scriptedEffect.name = "Box"
        scriptedEffect.title = "Add a box"
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)  # noqa: F405
        self.calls = []
        self.confirmed = None

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(__file__.replace("\\", "/"))
        return clonedEffect

    def icon(self):
        pixmap = qt.QPixmap(16, 16)
        pixmap.fill(qt.QColor("red"))
        return qt.QIcon(pixmap)

    def helpText(self):
        return "<html>Click to add a box.</html>"

    def setupOptionsFrame(self):
        self.radius = qt.QSpinBox()
        self.radius.setRange(0, 9)
        self.scriptedEffect.addLabeledOptionsWidget("Radius:", self.radius)
        self.status = qt.QLabel()
        self.scriptedEffect.addOptionsWidget(self.status)
        self.radius.connect("valueChanged(int)", self.updateMRMLFromGUI)

    def setMRMLDefaults(self):
        self.scriptedEffect.setParameterDefault("Radius", 2)

    def updateGUIFromMRML(self):
        wasBlocked = self.radius.blockSignals(True)
        self.radius.setValue(self.scriptedEffect.integerParameter("Radius"))
        self.radius.blockSignals(wasBlocked)

    def updateMRMLFromGUI(self):
        self.scriptedEffect.setParameter("Radius", self.radius.value)

    def activate(self):
        self.calls.append("activate")

    def deactivate(self):
        self.calls.append("deactivate")

    def sourceVolumeNodeChanged(self):
        self.calls.append("sourceVolumeNodeChanged")

    def layoutChanged(self):
        self.calls.append("layoutChanged")

    def cleanup(self):
        self.calls.append("cleanup")

    def processViewNodeEvents(self, callerViewNode, eventId, viewWidget):
        self.calls.append(("view", viewWidget.mrmlSliceNode().GetName()))

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        if viewWidget.className() != "qMRMLSliceWidget":
            return False
        xy = callerInteractor.GetEventPosition()
        if eventId == vtk.vtkCommand.MouseMoveEvent:
            self.status.setText(f"{xy[0]} {xy[1]}")
            return False
        if eventId == vtk.vtkCommand.KeyPressEvent and callerInteractor.GetKeySym() == "b":
            raise RuntimeError("a key that the effect cannot take")
        if eventId == vtk.vtkCommand.RightButtonPressEvent:
            return 1
        if eventId != vtk.vtkCommand.LeftButtonPressEvent:
            return False
        self.confirmed = self.scriptedEffect.confirmCurrentSegmentVisible()
        if self.confirmed == self.scriptedEffect.NotConfirmed:
            return True
        modifier = self.scriptedEffect.defaultModifierLabelmap()
        transform = self.scriptedEffect.parameterSetNode().GetSegmentationNode().GetParentTransformNode()
        ijk = self.xyToIjk(xy, viewWidget, modifier, transform)
        self.addBox(modifier, ijk, callerInteractor.GetControlKey())
        return True

    def addBox(self, modifier, ijk, remove):
        self.clicked = ijk
        radius = self.scriptedEffect.integerParameter("Radius")
        extent = modifier.GetExtent()
        shape = [extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1]
        voxels = vtk_to_numpy(modifier.GetPointData().GetScalars()).reshape(shape)
        start = [max(ijk[axis] - radius - extent[2 * axis], 0) for axis in (2, 1, 0)]
        stop = [max(ijk[axis] + radius + 1 - extent[2 * axis], 0) for axis in (2, 1, 0)]
        voxels[tuple(np.s_[a:b] for a, b in zip(start, stop))] = 1
        modifier.Modified()
        self.scriptedEffect.saveStateForUndo()
        names = slicer.qSlicerSegmentEditorAbstractEffect
        mode = names.ModificationModeRemove if remove else names.ModificationModeAdd
        self.scriptedEffect.modifySelectedSegmentByLabelmap(modifier, mode)
