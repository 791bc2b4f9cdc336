"""Masks and kernels as nodes: taps about the origin, browsing, the chart, transfer functions, a layout of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from Rep3DSegmentationLib.errors import InputError
from Rep3DSegmentationLib.volumes import voxels, world_affine
from Rep3DSegmentationLib.why import folder, layout, tables
from Rep3DSegmentationLib.why.masks import PARTS, MaskSet, show_block, show_part
from Rep3DSegmentationLib.why.rendering import transfer_points
from why_cases import block, node_ids


@pytest.fixture
def masks():
    return MaskSet((block(), block("stage2.block1", channels=5, size=5, signed=False)), "liver-ct", "w")


def test_taps_are_voxels_of_a_millimetre_about_the_origin(scene, masks):
    nodes = show_block(masks, masks.blocks[0])
    for part in PARTS:
        node = nodes.volumes[part]
        affine = world_affine(node)
        assert np.allclose(affine[:3, :3], np.eye(3)) and np.allclose(affine @ [3, 3, 3, 1], [0, 0, 0, 1])
        assert not node.GetDisplayNode().GetInterpolate() and "liver-ct stage1.block1" in node.GetName()
    assert np.array_equal(voxels(nodes.volumes["mask"]), masks.blocks[0].mask_CKKK[0])
    assert np.array_equal(voxels(nodes.volumes["prior"]), masks.blocks[0].prior_KKK)
    rms = np.sqrt((masks.blocks[0].kernel_CKKK.astype(float) ** 2).mean(0))
    assert np.allclose(voxels(nodes.volumes["kernel"]), rms, atol=1e-6)


def test_browsing_changes_the_same_nodes(scene, masks):
    nodes = show_block(masks, masks.blocks[0])
    ids = node_ids(scene)
    one = show_block(masks, masks.blocks[0], 2)
    assert (
        one.volumes["kernel"] is nodes.volumes["kernel"]
        and node_ids(scene) - ids == {n.GetID() for n in folder.kept(folder.MASK, "colors signed")} - ids
    )
    assert np.array_equal(voxels(one.volumes["kernel"]), masks.blocks[0].kernel_CKKK[2])
    assert one.volumes["kernel"].GetName().endswith("channel 3 of 3")
    display = one.volumes["kernel"].GetDisplayNode()  # both signs: nothing is in the middle of the colours
    assert display.GetWindowLevelMin() == pytest.approx(-display.GetWindowLevelMax())
    other = show_block(masks, masks.blocks[1], 4)
    assert voxels(other.volumes["prior"]).shape == (5, 5, 5) and other.volumes["mask"] is nodes.volumes["mask"]
    assert other.chart is nodes.chart and other.table is nodes.table
    assert len(folder.kept(folder.MASK, "chart")) == 1 and len(folder.kept(folder.MASK, "mask")) == 1


@pytest.mark.parametrize("channel", [-1, 3, 99])
def test_channel_that_does_not_exist(scene, masks, channel):
    before = node_ids(scene)
    with pytest.raises(InputError, match="no channel"):
        show_block(masks, masks.blocks[0], channel)
    assert node_ids(scene) == before
    with pytest.raises(InputError, match="no block"):
        masks.index("stage9.block9")


def test_chart_draws_the_table(scene, masks):
    chart = show_block(masks, masks.blocks[0]).chart
    names = [chart.GetNthPlotSeriesNode(i).GetYColumnName() for i in range(chart.GetNumberOfPlotSeriesNodes())]
    assert names == ["Mask", "Mask, 10 %", "Mask, 90 %", "Prior"]
    series = chart.GetNthPlotSeriesNode(0)
    table = series.GetTableNode()
    assert series.GetXColumnName() == "Radius (taps)"
    assert vtk_to_numpy(table.GetTable().GetColumnByName("Mask")).tolist() == [1.0, 0.5, pytest.approx(1 / 3), 0.25]
    assert "0.250" in chart.GetTitle() and "stage1.block1" in chart.GetTitle()


def test_table_of_numbers(scene, masks):
    rows = {row["Quantity"]: row for row in tables.rows_of(show_block(masks, masks.blocks[0]).table)}
    assert rows["90 % within (taps)"]["Kernel"] == "3"
    exponent = rows["Learned exponent"]
    assert (exponent["Mask"], exponent["Prior"], exponent["Kernel"]) == ("nan", "0.25", "nan")
    assert rows["Tap pitch S (mm)"]["Kernel"] == "4" and rows["Channels"]["Kernel"] == "3"
    assert rows["Centre / edge"]["Mask"] == "nan"


def test_transfer_functions_show_the_strongest_taps(scene, masks):
    rng = np.random.default_rng(0)
    for values in (rng.random((9, 9, 9)), rng.standard_normal((9, 9, 9)), np.zeros((3, 3, 3)), np.full((3, 3, 3), 2.0)):
        points = transfer_points(values)
        at = [value for value, _alpha, _rgb in points]
        assert at == sorted(set(at))
    nodes = show_block(masks, masks.blocks[0], 0)
    values = masks.blocks[0].kernel_CKKK[0]
    made = nodes.renderings["kernel"].GetVolumePropertyNode().GetVolumeProperty()
    opacity, color = made.GetScalarOpacity(), made.GetRGBTransferFunction()
    top = float(np.abs(values).max())
    assert opacity.GetValue(top) == opacity.GetValue(-top) == pytest.approx(0.85) and opacity.GetValue(0.0) == 0
    assert color.GetColor(top)[0] > color.GetColor(top)[2] and color.GetColor(-top)[0] < color.GetColor(-top)[2]


def test_one_part_is_rendered(scene, masks):
    nodes = show_block(masks, masks.blocks[0])
    for part in PARTS:
        show_part(nodes, part)
        assert [name for name, r in nodes.renderings.items() if r.GetVisibility()] == [part]


def test_removed_together_with_all_that_serves_it(scene, masks, make_volume):
    scan = make_volume(np.ones((4, 4, 4), np.int16))
    hierarchy = scene.GetSubjectHierarchyNode()
    before, items = node_ids(scene), hierarchy.GetNumberOfItems()
    nodes = show_block(masks, masks.blocks[0], 1, scan)
    item = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes.table))
    assert hierarchy.GetItemName(item) == "Explain: scan"
    assert len(node_ids(scene) - before) > 15
    show_block(masks, masks.blocks[0])  # without a scan: the same nodes, in the scene's own folder
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes.table)) != item
    assert hierarchy.GetItemByName("Explain: scan") == hierarchy.GetInvalidItemID()
    folder.remove_all()
    assert node_ids(scene) == before and hierarchy.GetNumberOfItems() == items


@pytest.fixture
def layout_logic(scene, core):
    """Slicer's own logic of layouts, which makes the views that a description asks for; gone afterwards."""
    before = node_ids(scene)
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    yield logic
    logic.SetMRMLScene(None)
    for identifier in node_ids(scene) - before:
        node = scene.GetNodeByID(identifier)
        if node is not None and node.GetSingletonTag():  # views and layout: closing a scene leaves them
            scene.RemoveNode(node)


def test_layout_of_its_own(scene, masks, layout_logic):
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    nodes = show_block(masks, masks.blocks[0])
    show_part(nodes, "mask")
    assert layout.open_layout() and node.GetViewArrangement() == layout.LAYOUT_ID
    assert layout.open_layout()  # again: the way back is not forgotten
    views = layout_logic.GetViewNodes()
    tags = sorted(views.GetItemAsObject(i).GetSingletonTag() for i in range(views.GetNumberOfItems()))
    assert tags == sorted([*layout.SLICES, layout.VIEW_3D, layout.PLOT])
    for tag in [*layout.SLICES, "Red"]:  # what slice logics make
        composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        composite.SetLayoutName(tag)
    slices = {tag: scene.GetSingletonNode(tag, "vtkMRMLSliceNode") for tag in layout.SLICES}
    for made in slices.values():
        made.SetDimensions(300, 200, 1)
    layout.show_in_layout(nodes.volumes["mask"], nodes.renderings["mask"], nodes.chart, 7.0)
    for tag, orientation in layout.SLICES.items():
        made = slices[tag]
        assert made.GetOrientation() == orientation and made.GetFieldOfView()[1] == pytest.approx(8.75)
        assert made.GetFieldOfView()[0] == pytest.approx(8.75 * 1.5)  # square millimetres
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    shown = {composite.GetLayoutName(): composite.GetBackgroundVolumeID() for composite in composites}
    assert shown.pop("Red") is None and set(shown.values()) == {nodes.volumes["mask"].GetID()}
    view = scene.GetSingletonNode(layout.VIEW_3D, "vtkMRMLViewNode")
    assert nodes.renderings["mask"].GetViewNodeIDs() == (view.GetID(),)
    plot = scene.GetSingletonNode(layout.PLOT, "vtkMRMLPlotViewNode")
    assert plot.GetPlotChartNodeID() == nodes.chart.GetID()
    layout.close_layout()
    assert node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    layout.close_layout()  # another layout is left alone
    assert node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView


def test_layout_is_left_when_the_scene_is_closed(scene, masks, layout_logic):
    """Slicer shows the last layout again afterwards: of ours nothing would be left but empty views."""
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    layout.open_layout()
    scene.Clear(0)
    assert node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView


def test_a_scene_that_was_saved_with_the_layout_shows_its_views_in_a_new_slicer(
    scene, masks, layout_logic, tmp_path, monkeypatch
):
    scene.GetFirstNodeByClass("vtkMRMLLayoutNode").SetViewArrangement(6)
    layout.open_layout()
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Commit()
    fresh, logic = slicer.vtkMRMLScene(), slicer.vtkMRMLLayoutLogic()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(fresh)
    logic.SetMRMLScene(fresh)
    monkeypatch.setattr(slicer, "mrmlScene", fresh)
    layout.register_layout()  # as the module does when Slicer has started
    fresh.SetURL(str(tmp_path / "scene.mrml"))
    fresh.Connect()
    views = logic.GetViewNodes()
    tags = sorted(views.GetItemAsObject(i).GetSingletonTag() for i in range(views.GetNumberOfItems()))
    assert tags == sorted([*layout.SLICES, layout.VIEW_3D, layout.PLOT])
    logic.SetMRMLScene(None)


def test_without_a_layout_nothing_happens(scene, masks):
    nodes = show_block(masks, masks.blocks[0])
    assert not layout.open_layout()
    layout.show_in_layout(nodes.volumes["mask"], nodes.renderings["mask"], nodes.chart, 7.0)
    layout.close_layout()


def test_image_holds_its_own_copy(scene, masks):
    nodes = show_block(masks, masks.blocks[0])
    before = voxels(nodes.volumes["prior"]).copy()
    masks.blocks[0].prior_KKK[:] = 0
    assert np.array_equal(voxels(nodes.volumes["prior"]), before)
    assert nodes.volumes["prior"].GetImageData().GetScalarType() == vtk.VTK_FLOAT
