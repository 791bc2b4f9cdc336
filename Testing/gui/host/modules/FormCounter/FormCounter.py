"""A module with a form and a parameter node kept by hand, in the style of Slicer's extension wizard."""

import logging
import os

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *  # noqa: F403
from slicer.util import VTKObservationMixin


class FormCounter(ScriptedLoadableModule):  # noqa: F405
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)  # noqa: F405
        self.parent.title = _("Form Counter")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Examples")]
        self.parent.dependencies = []
        self.parent.contributors = ["The Rep3D developers"]
        self.parent.helpText = _("Counts voxels above a threshold.")
        self.parent.acknowledgementText = ""
        slicer.app.connect("startupCompleted()", self.onStartup)
        self.started = 0

    def onStartup(self):
        self.started += 1


class FormCounterWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):  # noqa: F405
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)  # noqa: F405
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._updatingGUIFromParameterNode = False
        self.visits = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)  # noqa: F405
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/FormCounter.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = FormCounterLogic()

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.updateParameterNodeFromGUI)
        self.ui.thresholdSlider.connect("valueChanged(double)", self.updateParameterNodeFromGUI)
        self.ui.invertCheckBox.connect("toggled(bool)", self.updateParameterNodeFromGUI)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.initializeParameterNode()

    def cleanup(self):
        self.removeObservers()

    def enter(self):
        self.visits.append("enter")
        self.initializeParameterNode()

    def exit(self):
        self.visits.append("exit")
        self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateGUIFromParameterNode)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.GetNodeReference("InputVolume"):
            first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if first:
                self._parameterNode.SetNodeReferenceID("InputVolume", first.GetID())

    def setParameterNode(self, node):
        if node:
            self.logic.setDefaultParameters(node)
        if self._parameterNode is not None and self.hasObserver(
            self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateGUIFromParameterNode
        ):
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateGUIFromParameterNode)
        self._parameterNode = node
        if node is not None:
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.updateGUIFromParameterNode)
        self.updateGUIFromParameterNode()

    def updateGUIFromParameterNode(self, caller=None, event=None):
        if self._parameterNode is None or self._updatingGUIFromParameterNode:
            return
        self._updatingGUIFromParameterNode = True
        self.ui.inputSelector.setCurrentNode(self._parameterNode.GetNodeReference("InputVolume"))
        self.ui.thresholdSlider.value = float(self._parameterNode.GetParameter("Threshold"))
        self.ui.invertCheckBox.checked = self._parameterNode.GetParameter("Invert") == "true"
        ready = bool(self._parameterNode.GetNodeReference("InputVolume"))
        self.ui.applyButton.toolTip = _("Count") if ready else _("Select an input volume")
        self.ui.applyButton.enabled = ready
        self._updatingGUIFromParameterNode = False

    def updateParameterNodeFromGUI(self, caller=None, event=None):
        if self._parameterNode is None or self._updatingGUIFromParameterNode:
            return
        wasModified = self._parameterNode.StartModify()
        self._parameterNode.SetNodeReferenceID("InputVolume", self.ui.inputSelector.currentNodeID)
        self._parameterNode.SetParameter("Threshold", str(self.ui.thresholdSlider.value))
        self._parameterNode.SetParameter("Invert", "true" if self.ui.invertCheckBox.checked else "false")
        self._parameterNode.EndModify(wasModified)

    def onApplyButton(self):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute results."), waitCursor=True):
            count = self.logic.process(
                self.ui.inputSelector.currentNode(), self.ui.thresholdSlider.value, self.ui.invertCheckBox.checked
            )
            self.ui.resultLabel.text = str(count)
            self.ui.resultLabel.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)


class FormCounterLogic(ScriptedLoadableModuleLogic):  # noqa: F405
    def setDefaultParameters(self, parameterNode):
        if not parameterNode.GetParameter("Threshold"):
            parameterNode.SetParameter("Threshold", "100.0")
        if not parameterNode.GetParameter("Invert"):
            parameterNode.SetParameter("Invert", "false")

    def process(self, inputVolume, threshold, invert):
        if not inputVolume or not inputVolume.GetImageData():
            raise ValueError("Input volume is invalid")
        array = slicer.util.arrayFromVolume(inputVolume)
        logging.info("Counting")
        return int((array <= threshold).sum() if invert else (array > threshold).sum())


class FormCounterTest(ScriptedLoadableModuleTest):  # noqa: F405
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.assertTrue(os.path.isfile(slicer.util.modulePath("FormCounter")))
        self.delayDisplay("Test passed")
