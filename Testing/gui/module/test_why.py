"""The section Why, driven as a person would: masks of shipped weights, what decided a voxel, saving and removing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

TASK = "msd-hippocampus"
AT = (17, 29, 14)  # in the anterior hippocampus of the scan


@pytest.fixture
def why(panel):
    """The panel with the section open and the task chosen; masks that another test has shown are forgotten."""
    panel.widget.panels.why._masks = None
    panel.choose_task(TASK)
    panel.ui.whySection.collapsed = False
    panel.host.process_events()
    yield panel
    panel.ui.whySection.collapsed = True


def node_ids() -> set[str]:
    """All nodes that can be removed: singletons (views, the parameter node) come and go with the application."""
    import slicer

    nodes = [slicer.mrmlScene.GetNthNode(index) for index in range(slicer.mrmlScene.GetNumberOfNodes())]
    return {node.GetID() for node in nodes if not node.GetSingletonTag()}


def table_of(panel: Any) -> dict[str, list[str]]:
    """The table of the section: first column to the others."""
    table = panel.ui.whyTable
    texts = [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]
    return {row[0]: row[1:] for row in texts}


def add_point(panel: Any, affine: np.ndarray, at: tuple[float, ...] = AT, name: str = "here") -> Any:
    """A list with a point at a voxel, chosen in the panel."""
    import slicer

    markups = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    panel.ui.whyPointsSelector.setCurrentNode(markups)
    panel.host.process_events()
    markups.AddControlPoint(*(affine @ [*at, 1])[:3], name)
    panel.host.process_events()
    return markups


def explain(panel: Any) -> None:
    panel.host.click(panel.ui.whyErfButton)
    panel.wait_idle()


def test_masks_blocks_channels_and_parts(why):
    from rep3d.interpret.kernels import kernels_from_weights
    from rep3d.weights import SHIPPED_FOLDER, load_weights
    from Rep3DSegmentationLib.volumes import voxels
    from Rep3DSegmentationLib.why import folder

    blocks = kernels_from_weights(load_weights(SHIPPED_FOLDER / f"{TASK}.safetensors")).blocks
    ui, before = why.ui, node_ids()
    assert not ui.whyBlockSelector.enabled and not ui.whyRemoveButton.enabled and not ui.whyTable.visible
    why.history.clear()
    why.host.click(ui.whyMaskButton)
    assert ui.cancelButton.enabled and not ui.applyButton.enabled and not ui.whyErfButton.enabled
    why.wait_idle()
    assert any(job.kind == "why" and job.stage.startswith("mask of") for job in why.history)
    names = [ui.whyBlockSelector.itemText(i) for i in range(ui.whyBlockSelector.count)]
    assert names == [block.name for block in blocks] and ui.whyBlockSelector.currentText == "stage1.block1"
    (mask,) = folder.kept(folder.MASK, "mask")
    assert np.array_equal(voxels(mask), blocks[0].mask.mask_CKKK[0])
    (chart,) = folder.kept(folder.MASK, "chart")
    assert f"{blocks[0].mask.exponent:.3f}" in chart.GetTitle()
    numbers = table_of(why)
    assert float(numbers["Learned exponent"][1]) == pytest.approx(blocks[0].mask.exponent, rel=1e-2)
    assert numbers["Channels"] == ["1", "", "16"]

    nodes = node_ids()
    why.host.choose(ui.whyBlockSelector, "stage2.block2")
    ui.whyChannelSlider.value = 31
    why.host.process_events()
    (kernel,) = folder.kept(folder.MASK, "kernel")
    assert np.array_equal(voxels(kernel), blocks[3].effective_CKKK[30]) and "channel 31 of 32" in kernel.GetName()
    assert np.array_equal(voxels(mask), blocks[3].mask.mask_CKKK[0])
    assert ui.whyChannelSlider.maximum == 32 and len(node_ids() - nodes) <= 1  # a table of colours for both signs
    why.host.choose(ui.whyPartSelector, "Kernel")
    shown = {n.GetAttribute(folder.ROLE): n.GetNthDisplayNode(1).GetVisibility() for n in (mask, kernel)}
    assert shown == {"mask": 0, "kernel": 1}
    why.host.choose(ui.whyBlockSelector, "stage1.block1")  # fewer channels: the last of them
    assert ui.whyChannelSlider.maximum == 16 and "channel 16 of 16" in kernel.GetName()

    why.choose_task("openkbp")  # other weights: these blocks are not theirs
    assert not ui.whyBlockSelector.enabled
    why.host.click(ui.whyRemoveButton)
    assert node_ids() == before and not ui.whyTable.visible and not ui.whyRemoveButton.enabled


def test_what_decided_a_voxel(why, hippocampus):
    import slicer
    from Rep3DSegmentationLib.click.geometry import ijk_to_world, world_to_ijk
    from Rep3DSegmentationLib.volumes import voxels
    from Rep3DSegmentationLib.why import folder, layout

    ui = why.ui
    scan = why.volume(hippocampus.array, hippocampus.affine)
    turn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    matrix = np.array([[0, -1, 0, 9], [1, 0, 0, -4], [0, 0, 1, 20], [0, 0, 0, 1.0]])
    turn.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    scan.SetAndObserveTransformNodeID(turn.GetID())
    add_point(why, matrix @ hippocampus.affine)
    before = node_ids()
    assert ui.whyPointSelector.currentText == "here"
    explain(why)
    assert "Anterior hippocampus at here" in why.message
    (field,) = folder.kept(folder.ERF, "volume")
    values = voxels(field)
    strongest = ijk_to_world(field, np.unravel_index(values.argmax(), values.shape))
    assert np.abs(world_to_ijk(scan, strongest) - AT).max() < 1.5  # at times a neighbour is stronger
    numbers = table_of(why)
    assert numbers["Structure"] == ["Anterior hippocampus"]
    half, most = (float(numbers[f"{share} % within (mm)"][0]) for share in (50, 90))
    assert 0 < half < most < 60
    composites = layout.composites(own=False)
    assert {c.GetForegroundVolumeID() for c in composites} == {field.GetID()}
    assert len(folder.kept(folder.ERF, "surface 50")) == 1

    why.host.choose(ui.whyClassSelector, "Posterior hippocampus")
    explain(why)
    other = table_of(why)
    assert other["Structure"] == ["Posterior hippocampus"] and float(other["Logit"][0]) < float(numbers["Logit"][0])
    why.host.choose(ui.whyClassSelector, "Background")
    explain(why)
    assert table_of(why)["Structure"] == ["Background"] and len(folder.kept(folder.ERF, "volume")) == 3
    (table,) = folder.kept(folder.ERF, "table")
    assert table.GetNumberOfRows() == 3
    why.host.click(ui.whyRemoveButton)
    assert node_ids() == before
    assert {c.GetForegroundVolumeID() for c in composites} == {None}


def test_saved_loaded_and_removed(why, hippocampus, tmp_path):
    import slicer
    from Rep3DSegmentationLib.volumes import voxels, world_affine
    from Rep3DSegmentationLib.why import folder

    why.volume(hippocampus.array, hippocampus.affine)
    add_point(why, hippocampus.affine)
    explain(why)
    why.host.click(why.ui.whyMaskButton)
    why.wait_idle()

    def state() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for node in folder.kept():
            key = f"{node.GetAttribute(folder.KIND)} {node.GetAttribute(folder.ROLE)}"
            if node.IsA("vtkMRMLVolumeNode"):
                found[key] = (np.round(world_affine(node), 4).tolist(), float(voxels(node).sum()))
            elif node.IsA("vtkMRMLModelNode"):
                found[key] = np.round(node.GetPolyData().GetBounds(), 2).tolist()
            elif node.IsA("vtkMRMLTableNode"):
                found[key] = [node.GetCellText(0, column) for column in range(node.GetNumberOfColumns())]
            elif node.IsA("vtkMRMLPlotChartNode"):
                found[key] = (node.GetTitle(), node.GetNumberOfPlotSeriesNodes())
            elif node.IsA("vtkMRMLColorTableNode"):
                found[key] = np.round(node.GetLookupTable().GetTableValue(200), 2).tolist()
            else:
                found[key] = node.GetClassName()
        return found

    before = state()
    masks = {"mask mask", "mask prior", "mask kernel", "mask chart", "mask profile"}
    assert masks | {"erf volume", "erf surface 50", "erf table"} <= set(before)
    why.host.save_scene(tmp_path / "why ä.mrb")
    why.host.load_scene(tmp_path / "why ä.mrb")
    assert state() == before
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    items = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in folder.kept(role="volume")}
    assert [hierarchy.GetItemName(item) for item in items] == ["Explain: scan"]
    why.host.click(why.ui.whyRemoveButton)
    assert folder.kept() == [] and hierarchy.GetItemByName("Explain: scan") == hierarchy.GetInvalidItemID()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1  # the scan


def test_crosshair_placing_and_moving_points(why, made_up):
    import slicer

    ui = why.ui
    why.volume(made_up)
    ui.whyPointsSelector.setCurrentNode(None)
    why.host.process_events()
    assert ui.whyPointSelector.currentText == "Where the crosshair is"
    slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode").SetCrosshairRAS(500, 0, 0)
    explain(why)
    assert "crosshair" in why.message and "outside of scan" in why.message and why.state.job is None
    why.host.click(ui.whyPlaceButton)
    markups = ui.whyPointsSelector.currentNode()
    assert markups is not None and ui.whyPointSelector.currentText == "No point yet"
    explain(why)
    assert "has no point" in why.message
    markups.AddControlPoint(5, 6, 7, "one")
    markups.AddControlPoint(8, 9, 10, "two")
    why.host.process_events()
    assert ui.whyPointSelector.currentText == "two"  # the newest
    why.host.choose(ui.whyPointSelector, "one")
    markups.SetNthControlPointLabel(0, "uno")
    why.host.process_events()
    assert ui.whyPointSelector.currentText == "uno"
    slicer.mrmlScene.RemoveNode(markups)
    why.host.process_events()
    assert ui.whyPointSelector.currentText == "Where the crosshair is"
    slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLInteractionNode").SetCurrentInteractionMode(
        slicer.vtkMRMLInteractionNode.ViewTransform
    )


def test_cancelled_and_given_up(why, made_up):
    from Rep3DSegmentationLib.why import folder

    volume = why.volume(made_up)
    add_point(why, np.eye(4), (18, 20, 16))
    why.host.click(why.ui.whyErfButton)
    why.host.click(why.ui.cancelButton)
    why.wait_idle()
    assert folder.kept() == [] and "cancel" in why.message.lower()
    why.host.click(why.ui.whyErfButton)
    import slicer

    slicer.mrmlScene.RemoveNode(volume)
    why.wait_idle()
    assert folder.kept() == [] and "deleted during the run" in why.message
    why.volume(made_up)
    add_point(why, np.eye(4), (18, 20, 16))
    why.host.click(why.ui.whyErfButton)
    why.host.close_scene()
    why.wait_idle()
    assert "scene was closed" in why.message and why.ui.whyPointSelector.currentText == "Where the crosshair is"


def test_a_bent_scan_is_refused_until_a_copy_is_allowed(why, made_up):
    import slicer
    import vtk

    volume = why.volume(made_up)
    spline = vtk.vtkThinPlateSplineTransform()
    first, second = vtk.vtkPoints(), vtk.vtkPoints()
    for point in ((0, 0, 0), (40, 0, 0), (0, 40, 0), (0, 0, 40), (20, 20, 20)):
        first.InsertNextPoint(*point)
        second.InsertNextPoint(point[0], point[1], point[2] + (4 if point == (20, 20, 20) else 0))
    spline.SetSourceLandmarks(first)
    spline.SetTargetLandmarks(second)
    spline.SetBasisToR()
    bend = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bend")
    bend.SetAndObserveTransformToParent(spline)
    volume.SetAndObserveTransformNodeID(bend.GetID())
    why.host.process_events()
    assert not why.ui.whyErfButton.enabled and "non-linear" in why.ui.whyErfButton.toolTip
    assert why.ui.whyMaskButton.enabled  # the masks need no scan
    why.parameters.set(harden=True)
    why.host.process_events()
    assert why.ui.whyErfButton.enabled
    why.parameters.set(harden=False)


@pytest.fixture
def without_masks(why, weights_folder):
    """Weights of a network whose kernels are not masked, chosen in the panel; gone afterwards."""
    from dataclasses import replace

    import torch
    from rep3d.networks import create_network
    from rep3d.weights import SHIPPED_FOLDER, read_meta, save_weights

    torch.manual_seed(0)
    args = {"in_channels": 1, "out_channels": 3}
    network = create_network("uxnet-tiny", **args)
    meta = read_meta(SHIPPED_FOLDER / f"{TASK}.safetensors")
    path: Path = weights_folder / f"{TASK}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = replace(meta, id="plain", network={"name": "uxnet-tiny", "args": args}, patch=(32, 32, 32))
    save_weights(path, network.state_dict(), meta)
    why.widget.panels.load_catalog()
    why.host.wait_until(lambda: not why.state.loading, 60)
    why.parameters.set(weights=str(path))
    yield path
    why.parameters.set(weights="")
    path.unlink()
    why.widget.panels.load_catalog()
    why.host.wait_until(lambda: not why.state.loading, 60)


def test_weights_without_masks_have_fields_and_no_masks(why, without_masks, made_up):
    from Rep3DSegmentationLib.why import folder

    why.host.click(why.ui.whyMaskButton)
    why.wait_idle()
    assert "plain have no masks" in why.message and folder.kept() == []
    why.volume(made_up)
    add_point(why, np.eye(4), (18, 20, 16))
    explain(why)
    assert len(folder.kept(folder.ERF, "volume")) == 1


def test_a_structure_that_the_network_lacks(why, made_up):
    from Rep3DSegmentationLib.errors import WorkerError
    from Rep3DSegmentationLib.why.points import Point
    from Rep3DSegmentationLib.why.runs import ErfOptions, ErfRun

    client = why.widget.context.client()
    run = ErfRun(client, why.volume(made_up), Point("P", (5.0, 6.0, 7.0)), ErfOptions(task=TASK, class_index=9))
    run.start()
    with pytest.raises(WorkerError, match="class 9 does not exist") as error:
        run.wait()
    assert error.value.code == "bad_input" and run.state == "failed"
