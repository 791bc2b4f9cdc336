"""An old-fashioned module: the panel is built in code, in one long setup()."""

from __main__ import ctk, qt, slicer, vtk  # isort: skip
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class CodeThreshold(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "Code Threshold"
        self.parent.categories = ["Examples"]
        self.parent.dependencies = ["Volumes"]
        self.parent.contributors = ["The Rep3D developers"]
        self.parent.helpText = "Thresholds a volume. " + self.getDefaultModuleDocumentationLink()
        self.parent.acknowledgementText = "Thanks."
        self.parent.hidden = False


class CodeThresholdWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.cleanups = 0
        self.timerTicks = 0

        parametersCollapsibleButton = ctk.ctkCollapsibleButton()
        parametersCollapsibleButton.text = "Parameters"
        self.layout.addWidget(parametersCollapsibleButton)
        self.section = parametersCollapsibleButton
        form = qt.QFormLayout(parametersCollapsibleButton)

        self.inputSelector = slicer.qMRMLNodeComboBox()
        self.inputSelector.nodeTypes = ["vtkMRMLScalarVolumeNode", ""]
        self.inputSelector.selectNodeUponCreation = True
        self.inputSelector.addEnabled = False
        self.inputSelector.removeEnabled = False
        self.inputSelector.noneEnabled = True
        self.inputSelector.showHidden = False
        self.inputSelector.showChildNodeTypes = False
        self.inputSelector.setMRMLScene(slicer.mrmlScene)
        self.inputSelector.setToolTip("Pick the input.")
        form.addRow("Input Volume: ", self.inputSelector)

        self.outputSelector = slicer.qMRMLNodeComboBox()
        self.outputSelector.nodeTypes = (("vtkMRMLLabelMapVolumeNode"), "")
        self.outputSelector.noneEnabled = False
        self.outputSelector.addEnabled = True
        self.outputSelector.removeEnabled = True
        self.outputSelector.renameEnabled = True
        self.outputSelector.baseName = "Thresholded"
        self.outputSelector.setMRMLScene(slicer.mrmlScene)
        form.addRow("Output Volume: ", self.outputSelector)

        self.slider = ctk.ctkSliderWidget()
        self.slider.singleStep = 1
        self.slider.minimum = -1000
        self.slider.maximum = 1000
        self.slider.value = 100
        self.slider.setToolTip("Set threshold value.")
        form.addRow("Threshold", self.slider)

        self.mode = qt.QComboBox()
        for index, name in enumerate(("Above", "Below")):
            self.mode.addItem(name, index)
        self.mode.currentIndex = 0
        form.addRow("Mode", self.mode)

        row = qt.QHBoxLayout()
        self.applyButton = qt.QPushButton("Apply")
        self.applyButton.toolTip = "Run the algorithm."
        self.applyButton.enabled = False
        self.timerButton = qt.QPushButton("Tick")
        self.timerButton.checkable = True
        row.addWidget(self.applyButton)
        row.addWidget(self.timerButton)
        form.addRow(row)

        self.timer = qt.QTimer()
        self.timer.setInterval(5)
        self.timer.connect("timeout()", self.onTimer)
        self.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.timerButton.connect("toggled(bool)", lambda on: self.timer.start() if on else self.timer.stop())
        self.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onSelect)
        self.outputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onSelect)
        self.layout.addStretch(1)
        self.onSelect()

    def cleanup(self):
        self.timer.stop()
        self.cleanups += 1

    def onTimer(self):
        self.timerTicks += 1

    def onSelect(self):
        self.applyButton.enabled = self.inputSelector.currentNode() and self.outputSelector.currentNode()

    def onApplyButton(self):
        logic = CodeThresholdLogic()
        logic.run(
            self.inputSelector.currentNode(),
            self.outputSelector.currentNode(),
            self.slider.value,
            self.mode.itemData(self.mode.currentIndex),
        )


class CodeThresholdLogic(ScriptedLoadableModuleLogic):
    def run(self, inputVolume, outputVolume, threshold, mode):
        filter = vtk.vtkImageThreshold()
        filter.SetInputData(inputVolume.GetImageData())
        if mode == 0:
            filter.ThresholdByUpper(threshold)
        else:
            filter.ThresholdByLower(threshold)
        filter.SetInValue(1)
        filter.SetOutValue(0)
        filter.SetOutputScalarTypeToUnsignedChar()
        filter.Update()
        outputVolume.SetAndObserveImageData(filter.GetOutput())
        outputVolume.CopyOrientation(inputVolume)


class CodeThresholdTest(ScriptedLoadableModuleTest):
    ran = 0

    def runTest(self):
        self.delayDisplay("Running", 50)
        CodeThresholdTest.ran += 1
