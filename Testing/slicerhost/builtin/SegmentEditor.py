"""The module "Segment Editor": ``slicer.modules.segmenteditor.widgetRepresentation().self().editor``."""

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin


class SegmentEditor(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "Segment Editor"
        parent.categories = ["", "Segmentation"]
        parent.dependencies = ["Segmentations", "SubjectHierarchy"]


class SegmentEditorWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Holds one editor, whose choices are in a singleton parameter node."""

    def __init__(self, parent):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameterSetNode = None
        self.editor = None
        self.entered = False

    def setup(self):
        super().setup()
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMaximumNumberOfUndoStates(10)
        self.selectParameterNode()  # before the scene, so that choices made then are kept
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.layout.addWidget(self.editor)
        factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
        factory.connect("effectRegistered(QString)", self.editorEffectRegistered)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEnd)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEnd)

    def editorEffectRegistered(self):
        self.editor.updateEffectList()

    def selectParameterNode(self):
        tag = "SegmentEditor"
        node = slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(tag)
            node = slicer.mrmlScene.AddNode(node)
        if self.parameterSetNode is not node:
            self.parameterSetNode = node
            self.editor.setMRMLSegmentEditorNode(node)

    def enter(self):
        self.entered = True
        self.selectParameterNode()
        self.editor.installKeyboardShortcuts()
        self.editor.updateWidgetFromMRML()
        if self.editor.segmentationNode() is None:
            node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
            if node is None:
                node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
            self.editor.setSegmentationNode(node)
            if self.editor.sourceVolumeNode() is None:
                self.editor.setSourceVolumeNode(self._shownVolume())

    @staticmethod
    def _shownVolume():
        """The volume that a slice view shows, or None."""
        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames():
            composite = manager.sliceWidget(name).mrmlSliceCompositeNode()
            node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
            if node is not None:
                return node
        return None

    def exit(self):
        self.entered = False
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()

    def onSceneStartClose(self, caller, event):
        self.parameterSetNode = None
        self.editor.setSegmentationNode(None)
        self.editor.removeViewObservations()

    def onSceneEnd(self, caller, event):
        if self.entered:
            self.selectParameterNode()
            self.editor.updateWidgetFromMRML()

    def cleanup(self):
        self.removeObservers()
        factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
        factory.disconnect("effectRegistered(QString)", self.editorEffectRegistered)
