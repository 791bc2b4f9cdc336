"""Receptive fields in the world: under every linear transform where the plain matrices put them, and not elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from geometries import affines, rigids
from Rep3DSegmentationLib.click.geometry import ijk_to_world
from Rep3DSegmentationLib.grids import as_array
from Rep3DSegmentationLib.volumes import export_volume, voxels, world_affine
from Rep3DSegmentationLib.why import folder, overlay, tables
from Rep3DSegmentationLib.why.erf import inside_scan, show_erf
from Rep3DSegmentationLib.why.points import Point
from Rep3DSegmentationLib.why.surfaces import level_holding, smoothed, surface_at
from why_cases import Paper, answer, gaussian, node_ids

QUIET = settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SIZE = (10, 12, 9)


def field_over(scan_affine, ratio=(0.8, 1.25, 1.0)):
    """A window of the network's grid around the scan: the same axes, other voxels. Returns its affine and size."""
    size = tuple(int(np.ceil(n / r)) + 4 for n, r in zip(SIZE, ratio))
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = np.diag(ratio), [-2 * r for r in ratio]
    return scan_affine @ step, size


def in_world(model) -> np.ndarray:
    """Points of a model node, parent transforms included."""
    points = vtk_to_numpy(model.GetPolyData().GetPoints().GetData())
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(model.GetParentTransformNode(), None, matrix)
    placed = as_array(matrix)
    return points @ placed[:3, :3].T + placed[:3, 3]


@QUIET
@given(
    grid=affines(),
    parent=rigids(),
    later=rigids(),
    stretch=st.floats(0.5, 2.0),
    scan_at=st.tuples(*[st.integers(2, 6)] * 3),
)
def test_field_lies_where_the_matrices_say(scene, make_volume, make_transform, grid, parent, later, stretch, scan_at):
    scene.Clear(0)
    parent = parent @ np.diag([stretch, stretch, stretch, 1.0])
    scan = make_volume(np.zeros(SIZE, np.int16), grid, parent=make_transform(parent))
    exported = export_volume(scan, Paper())
    affine, size = field_over(parent @ grid)
    world = parent @ grid @ [*scan_at, 1.0]
    peak = np.linalg.inv(affine) @ world
    nearest = tuple(int(np.floor(v + 0.5)) for v in peak[:3])
    nodes = show_erf(gaussian(size, nearest, 1.5), answer(affine), exported, scan, Point("P", tuple(world[:3])))
    node = nodes.volume
    assert node.GetParentTransformNode() is scan.GetParentTransformNode()
    scale = np.abs(affine[:3, :3]).max() * max(size)
    assert np.allclose(world_affine(node), affine, atol=1e-7 * scale + 1e-6 * np.abs(affine).max())
    found = np.unravel_index(voxels(node).argmax(), size)
    assert found == nearest  # the voxel that was asked about is the strongest, and lies there in the world
    half_voxel = 0.5 * np.abs(affine[:3, :3]).sum(1)
    assert (np.abs(ijk_to_world(node, found) - world[:3]) <= half_voxel + 1e-3).all()
    for model in nodes.surfaces.values():
        middle = in_world(model).mean(0)
        assert np.linalg.norm(middle - ijk_to_world(node, found)) < 0.35 * np.linalg.norm(affine[:3, :3] @ size)
    # moved with the scan: the transform changes underneath
    before, points = world_affine(node), in_world(nodes.surfaces[50])
    scan.GetParentTransformNode().SetMatrixTransformToParent(_matrix(later))
    move = later @ np.linalg.inv(parent)
    assert np.allclose(world_affine(node), move @ before, atol=1e-4 * (1 + np.abs(move @ before).max()))
    expected = points @ move[:3, :3].T + move[:3, 3]
    assert np.allclose(in_world(nodes.surfaces[50]), expected, atol=1e-4 * (1 + np.abs(expected).max()))


def _matrix(array):
    from Rep3DSegmentationLib.grids import as_matrix

    return as_matrix(array)


@pytest.mark.parametrize("flip", [1.0, -1.0], ids=["right-handed", "left-handed"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_surface_encloses_the_share_it_names(share, flip):
    rng = np.random.default_rng(2)
    field = gaussian((26, 24, 22), (13, 11, 10), 4.0) * rng.gamma(1.0, 1.0, (26, 24, 22)).astype(np.float32)
    affine = np.diag([1.5 * flip, 1.0, 2.0, 1.0])
    affine[:3, 3] = (-20, 5, 7)
    order = smoothed(field)
    surface = surface_at(order, level_holding(field, share, order), affine)
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(surface)
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    assert edges.GetOutput().GetNumberOfCells() == 0  # closed
    index = np.argwhere(np.ones(field.shape, bool))
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(index @ affine[:3, :3].T + affine[:3, 3], deep=True))
    cloud = vtk.vtkPolyData()
    cloud.SetPoints(points)
    enclosed = vtk.vtkSelectEnclosedPoints()
    enclosed.SetInputData(cloud)
    enclosed.SetSurfaceData(surface)
    enclosed.Update()
    inside = vtk_to_numpy(enclosed.GetOutput().GetPointData().GetArray("SelectedPoints")).astype(bool)
    held = field.reshape(-1)[inside].sum() / field.sum()
    assert held == pytest.approx(share, abs=0.01)
    mass = vtk.vtkMassProperties()
    mass.SetInputData(surface)
    assert mass.GetVolume() == pytest.approx(inside.sum() * 3.0, rel=0.15)  # 1.5 x 1 x 2 mm, normals outwards or not


def test_surface_is_closed_where_the_field_reaches_the_rim():
    order = np.ones((4, 4, 4))
    surface = surface_at(order, 0.5, np.eye(4))
    bounds = np.array(surface.GetBounds()).reshape(3, 2)
    assert np.allclose(bounds, [[-0.5, 3.5]] * 3)


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.floats(0, 100, allow_subnormal=False), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_level_is_the_highest_that_holds_the_share(values, share):
    array = np.array(values).reshape(-1, 1, 1)
    if array.sum() == 0:
        with pytest.raises(ValueError, match="zero everywhere"):
            level_holding(array, share)
        return
    level = level_holding(array, share)
    assert array[array >= level].sum() >= share * array.sum() * (1 - 1e-9)
    assert array[array > level].sum() < share * array.sum() * (1 + 1e-9)


def test_smoothing_keeps_the_sum_and_the_place():
    field = np.zeros((15, 16, 17))
    field[7, 8, 9] = 4.0
    made = smoothed(field, 1.5)
    assert made.sum() == pytest.approx(4.0) and np.unravel_index(made.argmax(), made.shape) == (7, 8, 9)
    spread = []
    for axis, (count, centre) in enumerate(zip(field.shape, (7, 8, 9))):
        along = made.sum(axis=tuple(other for other in range(3) if other != axis)) / 4
        spread.append((along * (np.arange(count) - centre) ** 2).sum())
    assert np.allclose(np.sqrt(spread), 1.5, atol=0.05)


def test_what_lies_outside_of_the_scan_is_left_out_and_told(scene, make_volume):
    scan = make_volume(np.zeros((4, 5, 6), np.int16), np.diag([2.0, 2, 2, 1]))
    exported = export_volume(scan, Paper())
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -4  # two voxels more on every side
    inside, outside = inside_scan(np.ones((8, 9, 10), np.float32), affine, exported)
    assert inside.sum() == 4 * 5 * 6 and (inside[2:6, 2:7, 2:8] == 1).all()
    assert outside == pytest.approx(1 - 120 / 720)
    field = gaussian((8, 9, 10), (3, 4, 4), 1.0)
    nodes = show_erf(field, answer(affine), exported, scan, Point("P", (2, 4, 4)))
    assert voxels(nodes.volume)[:2].max() == 0
    (row,) = tables.rows_of(nodes.table)
    left_out = 1 - inside_scan(field, affine, exported)[0].sum() / field.sum()
    assert float(row["Outside the scan (%)"]) == pytest.approx(100 * left_out, abs=1e-3)


@pytest.fixture
def scan(make_volume, make_transform):
    turn = np.eye(4)
    turn[:3, 3] = (10, 0, -5)
    return make_volume(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), parent=make_transform(turn))


def put(scan, point="P1", name="Liver", at=(4, 5, 6)):
    exported, field = export_volume(scan, Paper()), gaussian((10, 10, 10), at)
    return show_erf(field, answer(exported.affine, name), exported, scan, Point(point, (1.0, 2.0, 3.0)))


def test_numbers_are_rows_of_one_table(scan):
    put(scan)
    nodes = put(scan, "P2", "Spleen")
    rows = tables.rows_of(nodes.table)
    assert [row["ERF"] for row in rows] == ["ERF Liver at P1", "ERF Spleen at P2"]
    assert rows[0]["Structure"] == "Liver" and float(rows[0]["50 % within (mm)"]) == 6.0
    assert float(rows[0]["A (mm)"]) == 2.0 and float(rows[1]["Lowers the logit (%)"]) == 25.0
    assert 0 < float(rows[1]["50 % surface (mL)"]) < float(rows[1]["90 % surface (mL)"])
    again = put(scan)  # the same point and structure: replaced, not added
    assert [row["ERF"] for row in tables.rows_of(again.table)] == ["ERF Spleen at P2", "ERF Liver at P1"]
    assert again.table is nodes.table
    assert len(folder.kept(folder.ERF, "volume")) == 2 and len(folder.kept(folder.ERF, "surface 90")) == 2


def test_only_the_newest_is_shown_over_its_scan(scene, scan):
    composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetLayoutName("Red")
    mine = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    mine.SetLayoutName("Rep3DWhyAxial")
    slice_node = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    first, second = put(scan), put(scan, "P2")
    overlay.show_overlay(first.volume, scan)
    overlay.show_overlay(second.volume, scan, (7.0, 8.0, 9.0))
    assert composite.GetBackgroundVolumeID() == scan.GetID()
    assert composite.GetForegroundVolumeID() == second.volume.GetID() and composite.GetForegroundOpacity() > 0.3
    assert mine.GetForegroundVolumeID() is None
    assert [n.GetDisplayVisibility() for n in (*first.surfaces.values(), *second.surfaces.values())] == [0, 0, 1, 1]
    assert slice_node.GetSliceToRAS().GetElement(2, 3) == pytest.approx(9.0)
    overlay.clear_overlays()
    assert composite.GetForegroundVolumeID() is None and composite.GetForegroundOpacity() == 0
    assert composite.GetBackgroundVolumeID() == scan.GetID()
    for node in (composite, mine, slice_node):  # closing a scene leaves what views need
        scene.RemoveNode(node)


def test_display_shows_the_voxels_that_hold_most(scan):
    nodes = put(scan)
    display, values = nodes.volume.GetDisplayNode(), voxels(nodes.volume)
    assert display.GetApplyThreshold()
    shown = values[values >= display.GetLowerThreshold()].sum() / values.sum()
    assert 0.7 <= shown < 0.75
    assert display.GetWindowLevelMin() == 0 and 0 < display.GetWindowLevelMax() <= values.max()
    colors = display.GetColorNode().GetLookupTable()
    light = [sum(colors.GetTableValue(i)[:3]) for i in range(colors.GetNumberOfTableValues())]
    assert light == sorted(light) and light[-1] > 2 * light[0]  # brighter is stronger


def test_all_of_it_lies_in_one_folder_beside_the_scan_and_goes_with_it(scene, scan, make_volume):
    hierarchy = scene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Anna"), "2026")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(scan), study)
    other = make_volume(np.ones((10, 10, 10), np.int16), name="other")
    before, items = node_ids(scene), hierarchy.GetNumberOfItems()
    put(scan)
    put(other)
    put(scan, "P2")
    first = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(n)) for n in folder.kept(scan=scan)}
    second = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(n)) for n in folder.kept(scan=other)}
    assert len(first) == len(second) == 1 and first != second
    (item,) = first
    assert hierarchy.GetItemParent(item) == study and hierarchy.GetItemName(item) == "Explain: scan"
    assert len(folder.kept(scan=scan)) == 7  # two volumes, four surfaces, a table
    folder.remove_all(scan)
    assert folder.kept(scan=scan) == [] and len(folder.kept(scan=other)) == 4
    folder.remove_all()
    assert node_ids(scene) == before and hierarchy.GetNumberOfItems() == items


def test_the_folder_of_an_older_scene_is_used_and_removed(scene, scan):
    """It was called "Why" then: what counts is its mark."""
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(put(scan).volume))
    hierarchy.SetItemName(item, "Why: scan")
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(put(scan, "P2").volume)) == item
    folder.remove_all()
    assert hierarchy.GetItemByName("Why: scan") == hierarchy.GetInvalidItemID()


def test_folder_with_a_thing_of_the_user_stays(scene, scan):
    hierarchy = scene.GetSubjectHierarchyNode()
    nodes = put(scan)
    item = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes.volume))
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "mine")
    hierarchy.CreateItem(item, model)
    folder.remove_all()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(model)) == item and scene.IsNodePresent(model)
