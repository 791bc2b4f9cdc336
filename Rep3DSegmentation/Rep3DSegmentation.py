"""Rep3D Segmentation: pick a task, press Apply, see the organs."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import slicer
import vtk
from Rep3DSegmentationLib.logic import Rep3DLogic
from Rep3DSegmentationLib.parameters import VOLUME, Parameters
from Rep3DSegmentationWidgets.assembly import Assembly
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

#: Packages of this module, forgotten by Reload so that their files are read again.
PACKAGES = ("Rep3DSegmentationLib", "Rep3DSegmentationWidgets")


class Rep3DSegmentation(ScriptedLoadableModule):
    """What Slicer lists: title, category, help."""

    def __init__(self, parent: Any):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Rep3D Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["The Rep3D developers"]
        parent.helpText = _(
            "Segments organs in CT and MR scans with large-kernel networks. Choose a volume and a task, press Apply; "
            "the result is a segmentation with names, colors and codes. The first time, it asks to install the "
            "Python packages that are needed. The network runs in a process of its own, so that Slicer stays "
            "responsive and a run can be cancelled at any time.<br>For research use only; not a medical device.<br>"
            'See the <a href="https://github.com/rep3d-project/SlicerRep3D">project page</a>; a tutorial is there in '
            "docs/slicer.md."
        )
        parent.acknowledgementText = _(
            "If you use this module in your work, please cite: H. H. Lee et al., Rep3D: Re-parameterize Large 3D "
            'Kernels with Low-Rank Receptive Modeling, <a href="https://arxiv.org/abs/2505.19603">arXiv 2505.19603</a>.'
            " This is an independent implementation. Shipped weights were trained on public data; their licences are "
            "shown under Advanced, Weights."
        )
        slicer.app.connect("startupCompleted()", offer_sample_data)
        slicer.app.connect("startupCompleted()", know_layout)


def offer_sample_data() -> None:
    """Put a scan to try into the module Sample Data, when Slicer has started; a Slicer may lack that module."""
    if not hasattr(slicer.modules, "sampledata"):
        return
    from Rep3DSegmentationWidgets.sample_data import register_sample_data

    register_sample_data()


def know_layout() -> None:
    """Make the layout of the masks known, when Slicer has started: scenes may have been saved with it."""
    from Rep3DSegmentationLib.why.layout import register_layout

    register_layout()


class Rep3DSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Joins the panels of ``Rep3DSegmentationWidgets`` to the parameter node and to the life of the module."""

    def __init__(self, parent: Any = None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Rep3DSegmentationLogic | None = None
        self.context: Any = None

    def setup(self) -> None:
        """Make the widgets. Starts nothing: the worker is asked when the module is entered, and works on after exit."""
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/Rep3DSegmentation.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = Rep3DSegmentationLogic()
        self.panels = Assembly(self.ui)
        self.context = self.panels.context
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._on_scene_start_close)
        self.addObserver(scene, scene.EndCloseEvent, self._on_scene_end_close)
        self.addObserver(scene, scene.EndImportEvent, self._on_scene_end_close)
        self.addObserver(scene, scene.NodeRemovedEvent, self._on_nodes_changed)
        self.context.refresh()
        if self._is_entered():  # after Reload, which does not call enter()
            self.enter()

    def enter(self) -> None:
        """The user opened the module: look at the packages, ask the worker for its tasks."""
        self._use_parameter_node()
        self.panels.enter()

    def cleanup(self) -> None:
        """The module goes away: stop the run, the timer, the observers and the worker."""
        self.removeObservers()
        if self.context is not None:
            self.panels.close()

    def onReload(self) -> None:
        """Read all files again, those of the packages too."""
        self.cleanup()
        for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # -- parameter node and scene

    def _use_parameter_node(self) -> None:
        node = self.logic.getParameterNode()
        if self.context.parameters is not None and self.context.parameters.node is node:
            return
        self._leave_parameter_node()
        parameters = Parameters(node)
        parameters.set_defaults()
        if parameters.reference(VOLUME) is None:
            parameters.set_reference(VOLUME, shown_volume() or first_volume())
        self.context.parameters = parameters
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_choices_changed)
        self._observe_volume()
        self.panels.suggest()
        self.context.refresh()

    def _leave_parameter_node(self) -> None:
        if self.context.parameters is not None:
            self.removeObserver(self.context.parameters.node, vtk.vtkCommand.ModifiedEvent, self._on_choices_changed)
            self.context.parameters = None
            self._observe_volume()

    def _on_choices_changed(self, _caller: Any = None, _event: Any = None) -> None:
        self._observe_volume()
        self.panels.choices_changed()

    def _observe_volume(self) -> None:
        """Follow the chosen volume: its transform or voxels may change what can be done with it."""
        volume = self.context.parameters.reference(VOLUME) if self.context.parameters is not None else None
        if volume is getattr(self, "_volume", None):
            return
        self.removeObservers(self._on_volume_changed)
        if volume is not None:
            for event in (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent):
                self.addObserver(volume, event, self._on_volume_changed)
        self._volume = volume

    def _on_volume_changed(self, _caller: Any, _event: Any) -> None:
        self.panels.suggest()
        self.context.refresh()

    def _on_nodes_changed(self, _caller: Any, _event: Any) -> None:
        if self.context.parameters is None or slicer.mrmlScene.IsClosing():
            return
        if self.context.parameters.node.GetScene() is None:  # the node of the choices itself was deleted
            self._on_scene_end_close(None, None)
        self._observe_volume()
        self.context.refresh()

    def _on_scene_start_close(self, _caller: Any, _event: Any) -> None:
        self._leave_parameter_node()
        self.panels.scene_closed()

    def _on_scene_end_close(self, _caller: Any, _event: Any) -> None:
        self._leave_parameter_node()
        if self._is_entered():
            self._use_parameter_node()

    def _is_entered(self) -> bool:
        """Whether the module is the one that the user sees."""
        return bool(getattr(self.parent, "isEntered", False))


def shown_volume() -> Any:
    """The scalar volume that the slice views show, or None: what a user means by "the scan"."""
    selection = slicer.app.applicationLogic().GetSelectionNode()
    node = slicer.mrmlScene.GetNodeByID(selection.GetActiveVolumeID() or "") if selection is not None else None
    return node if node is not None and node.GetClassName() == "vtkMRMLScalarVolumeNode" else None


def first_volume() -> Any:
    """The first scalar volume that the list of volumes offers, or None."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    fitting = (n for n in nodes if n.GetClassName() == "vtkMRMLScalarVolumeNode" and not n.GetHideFromEditors())
    return next(fitting, None)


class Rep3DSegmentationLogic(ScriptedLoadableModuleLogic, Rep3DLogic):
    """For scripts and the Python console; see ``Rep3DSegmentationLib.logic`` for what it can do.

    Example::

        logic = slicer.util.getModuleLogic("Rep3DSegmentation")
        segmentation = logic.segment(volumeNode, task="openkbp")  # waits, Slicer stays responsive
        print([task["key"] for task in logic.tasks()])
    """

    def __init__(self, parent: Any = None):
        ScriptedLoadableModuleLogic.__init__(self, parent)
        Rep3DLogic.__init__(self)


class Rep3DSegmentationTest(ScriptedLoadableModuleTest):
    """Self-test for desktop Slicer (developer mode, Reload and Test); needs the Python packages that Apply installs."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """All tests."""
        for test in (self.test_choices_are_kept, self.test_a_volume_is_segmented):
            self.setUp()
            test()
        self.delayDisplay("Rep3D: the tests passed.")

    def test_choices_are_kept(self) -> None:
        """The parameter node gives back what was stored in it."""
        parameters = Parameters(Rep3DSegmentationLogic().getParameterNode())
        parameters.set_defaults()
        parameters.set(task="openkbp", overlap=0.25)
        self.assertEqual((parameters.choices.task, parameters.choices.overlap), ("openkbp", 0.25))

    def test_a_volume_is_segmented(self) -> None:
        """The worker runs with shipped weights; its result has the task's structures on the volume's grid."""
        voxels = np.random.default_rng(1).normal(300, 100, (32, 44, 36)).astype(np.float32)
        volume = slicer.util.addVolumeFromArray(voxels, name="noise")
        logic = Rep3DSegmentationLogic()
        node = logic.segment(volume, task="msd-hippocampus", device="cpu", overlap=0.0)
        segmentation = node.GetSegmentation()
        names = [segmentation.GetNthSegment(index).GetName() for index in range(segmentation.GetNumberOfSegments())]
        self.assertEqual(names, ["Anterior hippocampus", "Posterior hippocampus"])
        for row, segment_id in zip(logic.lastResult.stats, segmentation.GetSegmentIDs()):
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
            self.assertEqual((mask.shape, int(mask.sum())), (voxels.shape, row["voxels"]))
