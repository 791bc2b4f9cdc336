"""The steps of the check, in their order; later ones use what earlier ones made. Each says what was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from hands import MODULES, click, click_in_view, count_of, expect, load_modules, open_editor, voxel_to_ras, wait_until

RUN_S, INSTALL_S = 1800, 3600  # the longest that a run and an installation may take


class Steps:
    """One walk through the extension.

    Args:
        task: key; install_from: the extension's folder, None for what is installed; scan: a file, None for the phantom.
        picture: called with a name to take a picture of the window.
    """

    def __init__(self, task: str, install_from: str | None, scan: str | None, picture: Callable[[str], None]):
        self._task, self._install_from, self._scan, self._picture = task, install_from, scan, picture
        self.volume: Any = None
        self.segmentation: Any = None
        self.point: tuple[float, float, float] = (0.0, 0.0, 0.0)  # RAS in mm: well inside of a structure
        self.editor: Any = None

    def all(self) -> list[Callable[[], str]]:
        """The steps."""
        return [
            self.modules_are_there,
            self.packages_are_installed,
            self.module_opens,
            self.scan_is_there,
            self.apply_segments,
            self.result_is_shown_in_3d,
            self.click_takes_a_structure,
            self.undo_takes_it_back,
            self.explain_shows_what_decided,
            self.explain_shows_masks,
            self.scene_closes,
            self.self_test_of_the_module,
            self.self_test_of_the_effect,
        ]

    def modules_are_there(self) -> str:
        """Load the modules from the folder that was given, or find those that are installed."""
        if self._install_from:
            load_modules(Path(self._install_from))
        for name in MODULES:
            expect(hasattr(slicer.modules, name.lower()), f"{name} is not loaded")
        return f"Rep3D in {Path(slicer.modules.rep3dsegmentation.path).parent}"

    def packages_are_installed(self) -> str:
        """Install what the module's own button installs, if anything is missing."""
        self._open_module()
        state = self._state()
        if state.dependencies is not None and not state.dependencies.ok:
            self._widget("setupSection").collapsed = False
            click(self._widget("installButton"))
            wait_until(lambda: state.job is None, INSTALL_S, "installing the packages")
        expect(state.ready, f"the packages are not usable: {self._message() or 'see Advanced, Python packages'}")
        return ""

    def module_opens(self) -> str:
        """The panel lists its tasks."""
        self._open_module()
        wait_until(lambda: self._state().catalog is not None, 120, "the list of tasks")
        keys = [task["key"] for task in self._state().catalog.tasks]
        expect(self._task in keys, f"there is no task {self._task}, only {', '.join(keys)}")
        return f"{len(keys)} tasks"

    def scan_is_there(self) -> str:
        """Generate the phantom as the module does, or load the scan that was given."""
        if self._scan:
            self.volume = slicer.util.loadVolume(str(self._scan))
        else:
            from Rep3DSegmentationWidgets.sample_data import load_phantom

            self.volume = load_phantom()
        expect(self.volume is not None, "no volume was loaded")
        return f"{self.volume.GetName()}, {' x '.join(map(str, self.volume.GetImageData().GetDimensions()))} voxels"

    def apply_segments(self) -> str:
        """Choose scan and task, press Apply, wait for the segmentation."""
        self._open_module()
        self._widget("volumeSelector").setCurrentNode(self.volume)
        self._parameters().set(task=self._task)
        slicer.app.processEvents()
        before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}
        wait_until(lambda: self._state().job is None, 120, "the estimate")
        expect(self._widget("applyButton").isEnabled(), f"Apply is off: {self._widget('applyButton').toolTip}")
        click(self._widget("applyButton"))
        self._wait_for_the_run()
        made = [n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if n.GetID() not in before]
        expect(made, f"no segmentation was made: {self._message()}")
        self.segmentation = made[-1]
        sizes = {name: int(mask.sum()) for name, mask in self._masks()}
        expect(any(sizes.values()), "every structure is empty")
        found = sum(count > 0 for count in sizes.values())
        return f"{self.segmentation.GetName()}: {found} of {len(sizes)} structures found"

    def result_is_shown_in_3d(self) -> str:
        """The surfaces are in the 3D view."""
        expect(self.segmentation is not None, "there is no segmentation to show")
        self.segmentation.CreateClosedSurfaceRepresentation()
        self.segmentation.GetDisplayNode().SetVisibility3D(True)
        manager = slicer.app.layoutManager()
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)
        slicer.app.processEvents()
        points = sum(
            self.segmentation.GetClosedSurfaceInternalRepresentation(segment_id).GetNumberOfPoints()
            for segment_id in self.segmentation.GetSegmentation().GetSegmentIDs()
        )
        expect(points > 0, "the surfaces have no points")
        view = manager.threeDWidget(0).threeDView() if manager.threeDViewCount else None
        if view is not None:
            view.resetFocalPoint()
            view.forceRender()
        return f"{points} points" + ("" if view is not None else "; no 3D view in this application")

    def click_takes_a_structure(self) -> str:
        """The effect in the Segment Editor: a left click in the red view takes the structure under it."""
        expect(self.segmentation is not None, "there is no structure to click")
        self.editor = open_editor()
        target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Rep3D clicks")
        target.CreateDefaultDisplayNodes()
        target.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        self.editor.setSegmentationNode(target)
        self.editor.setSourceVolumeNode(self.volume)
        segment_id = target.GetSegmentation().AddEmptySegment()
        self.editor.setCurrentSegmentID(segment_id)
        self.editor.setActiveEffectByName("Rep3D")
        effect = self.editor.activeEffect()
        expect(effect is not None, "the Segment Editor does not offer the effect Rep3D")
        effect.setParameter("Task", self._task)
        expect(effect.self().prepare(wait=True), effect.self().statusText())
        self.point = self._likeliest_point(effect.self())
        click_in_view("Red", self.point)
        wait_until(lambda: count_of(target, segment_id, self.volume) > 0, 60, effect.self().statusText())
        return effect.self().statusText()

    def undo_takes_it_back(self) -> str:
        """One undo of the editor, and the segment is empty again."""
        expect(self.editor is not None, "there was no click")
        node, segment_id = self.editor.segmentationNode(), self.editor.currentSegmentID()
        clicked = count_of(node, segment_id, self.volume)
        expect(clicked, "there is nothing to undo")
        self.editor.undo()
        expect(count_of(node, segment_id, self.volume) == 0, "undo left voxels behind")
        self.editor.setActiveEffect(None)
        return f"{clicked} voxels"

    def explain_shows_what_decided(self) -> str:
        """The receptive field of the clicked point."""
        self._open_module()
        self._widget("whySection").collapsed = False
        points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Rep3D point")
        points.AddControlPoint(*self.point, "here")
        self._widget("whyPointsSelector").setCurrentNode(points)
        slicer.app.processEvents()
        expect(self._widget("whyErfButton").isEnabled(), self._widget("whyErfButton").toolTip)
        click(self._widget("whyErfButton"))
        self._wait_for_the_run()
        expect(self._widget("whyTable").rowCount > 0, f"there are no numbers: {self._message()}")
        return self._message()

    def explain_shows_masks(self) -> str:
        """The learned masks in a layout of their own; removed afterwards, with all that belongs to them."""
        click(self._widget("whyMaskButton"))
        self._wait_for_the_run()
        expect(self._widget("whyBlockSelector").count > 0, f"no block is listed: {self._message()}")
        blocks = self._widget("whyBlockSelector").count
        self._picture("explain_shows_masks")
        click(self._widget("whyRemoveButton"))
        slicer.app.processEvents()
        from Rep3DSegmentationLib.why.folder import kept

        expect(not kept(), "removing left nodes behind")
        return f"{blocks} blocks"

    def scene_closes(self) -> str:
        """Closing the scene leaves the module usable."""
        slicer.mrmlScene.Clear(0)
        slicer.app.processEvents()
        self.volume = self.segmentation = self.editor = None
        self._open_module()
        expect(not slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), "segmentations are still there")
        return ""

    def self_test_of_the_module(self) -> str:
        """What "Reload and Test" runs."""
        import Rep3DSegmentation

        Rep3DSegmentation.Rep3DSegmentationTest().runTest()
        return ""

    def self_test_of_the_effect(self) -> str:
        """The same of the effect's module."""
        import SegmentEditorRep3D

        SegmentEditorRep3D.SegmentEditorRep3DTest().runTest()
        return ""

    # -- the module's panel

    def _open_module(self) -> None:
        slicer.util.selectModule("Rep3DSegmentation")
        slicer.app.processEvents()

    def _module_widget(self) -> Any:
        return slicer.modules.rep3dsegmentation.widgetRepresentation().self()

    def _widget(self, name: str) -> Any:
        return getattr(self._module_widget().ui, name)

    def _state(self) -> Any:
        return self._module_widget().context.state

    def _parameters(self) -> Any:
        return self._module_widget().context.parameters

    def _message(self) -> str:
        message = self._state().message
        return "" if message is None else f"{message.text} {message.hint}".strip()

    def _wait_for_the_run(self) -> None:
        """Until nothing runs; what the panel asks on the way is answered with yes."""

        def ended() -> bool:
            if self._state().confirm is not None:
                click(self._widget("confirmButton"))
            return self._state().job is None and self._state().confirm is None

        wait_until(ended, RUN_S, "the run")

    def _masks(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and voxels [K, J, I] of each segment, on the volume's grid."""
        segmentation = self.segmentation.GetSegmentation()
        for segment_id in segmentation.GetSegmentIDs():
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, segment_id, self.volume)
            yield segmentation.GetSegment(segment_id).GetName(), mask > 0

    def _likeliest_point(self, effect: Any) -> tuple[float, float, float]:
        """RAS of the voxel, out of some of the largest structure's, of which the network is most certain."""
        _name, mask = max(self._masks(), key=lambda pair: pair[1].sum())
        voxels = np.argwhere(mask)[:, ::-1]
        chosen = voxels[np.random.default_rng(0).permutation(len(voxels))[:200]]
        points = [voxel_to_ras(self.volume, voxel) for voxel in chosen]
        found = [(hit[1], point) for point in points if (hit := effect.hoverAt(point)) is not None]
        expect(found, "the effect finds nothing where the module has found a structure")
        return max(found)[1]
