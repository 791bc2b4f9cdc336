"""Label maps into the scene, compared voxel by voxel in the world with what SimpleITK reads from the saved file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from Rep3DSegmentationLib.errors import InputError
from Rep3DSegmentationLib.grids import Grid, matrix_between
from Rep3DSegmentationLib.replacing import STRUCTURE_TAG, tag
from Rep3DSegmentationLib.segmentations import CLOSED_SURFACE, import_labels, is_shown_3d, show_3d
from vtk.util.numpy_support import vtk_to_numpy

sys.path.insert(0, str(Path(__file__).parent))
from geometries import LABELS, affines, assert_same_points, label_maps, points_of, rigids, saved_points

RANDOM = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
OBLIQUE = np.array([[0.9, -0.6, 0.1, 5.0], [0.5, 1.1, -0.2, -7.0], [-0.1, 0.3, 2.9, 11.0], [0, 0, 0, 1.0]])
OBLIQUE[:3, :3] = np.linalg.qr(OBLIQUE[:3, :3])[0] @ np.diag([0.8, 1.3, 3.0])


def some_labels(shape=(6, 7, 8)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[1:3, 1:4, 2:5], labels[3:5, 2:6, 1:7], labels[5, 6, 7] = 1, 2, 5
    return labels


def save(node, folder) -> Path:
    path = Path(folder) / "saved.seg.nrrd"
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1
    return path


def world_points(node) -> dict[int, np.ndarray]:
    """{label value: world RAS of the voxels}, read from the segments themselves."""
    to_world = matrix_between(node.GetParentTransformNode(), None)
    found = {}
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        image = segment.GetRepresentation("Binary labelmap")
        if image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
            continue
        i, j, k = image.GetDimensions()
        values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i).transpose(2, 1, 0)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
        shift = np.eye(4)
        shift[:3, 3] = image.GetExtent()[0::2]
        mine = np.where(values == segment.GetLabelValue(), values, 0)
        found |= points_of(mine, to_world @ affine @ shift)
    return found


@RANDOM
@given(labels=label_maps(), affine=affines(), outer=rigids(), inner=rigids(), depth=st.integers(0, 2))
def test_saved_file_has_each_voxel_where_the_volume_has_it(
    make_volume, make_transform, tmp_path, labels, affine, outer, inner, depth
):
    slicer.mrmlScene.Clear(0)
    parent = make_transform(outer) if depth else None
    parent = make_transform(inner, parent) if depth == 2 else parent
    volume = make_volume(np.zeros(labels.shape, np.int16), affine, parent=parent)
    imported = import_labels(labels, LABELS, volume, task="t")
    node = imported.segmentation_node
    to_world = [np.eye(4), outer, outer @ inner][depth]
    expected = points_of(labels, to_world @ affine)
    assert_same_points(world_points(node), expected)
    assert_same_points(saved_points(save(node, tmp_path), to_world), expected)
    assert node.GetParentTransformNode() is parent
    assert not [w for w in imported.warnings if "transform" in w]


def test_slicers_own_reading_on_the_volumes_grid_is_the_label_map(make_volume, make_transform):
    labels = some_labels()
    volume = make_volume(np.zeros(labels.shape, np.int16), OBLIQUE, parent=make_transform(np.diag([1.0, 1, -1, 1])))
    node = import_labels(labels, LABELS, volume).segmentation_node
    for label in LABELS:
        segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(label["name"])
        array_KJI = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
        assert np.array_equal(array_KJI.transpose(2, 1, 0) > 0, labels == label["value"])


def test_image_whose_extent_does_not_start_at_zero(make_volume):
    labels = some_labels()
    volume = make_volume(np.zeros(labels.shape, np.int16), OBLIQUE)
    volume.GetImageData().SetExtent(3, 8, -2, 4, 10, 17)
    assert Grid.of(volume).shape == labels.shape
    node = import_labels(labels, LABELS, volume).segmentation_node
    assert_same_points(world_points(node), points_of(labels, OBLIQUE @ _shifted(3, -2, 10)))


def _shifted(*shift) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return matrix


def test_names_colours_codes_and_one_shared_label_map(make_volume, core):
    labels = some_labels()
    labels[labels == 5] = 0
    imported = import_labels(labels, LABELS, make_volume(np.zeros(labels.shape, np.int16)), task="t")
    segmentation = imported.segmentation_node.GetSegmentation()
    segments = [segmentation.GetNthSegment(i) for i in range(segmentation.GetNumberOfSegments())]
    assert [s.GetName() for s in segments] == ["Liver", "Left kidney", "Tumour"]
    assert [tuple(round(c * 255) for c in s.GetColor()) for s in segments] == [tuple(x["color"]) for x in LABELS]
    assert [tag(s, STRUCTURE_TAG) for s in segments] == ["liver", "left-kidney", "tumour"]
    assert segmentation.GetNumberOfLayers() == 1
    assert imported.warnings == ("Not found: Tumour.",)
    entry = slicer.vtkSlicerTerminologyEntry()
    assert core.logics["terminologies"].DeserializeTerminologyEntry(tag(segments[1], "TerminologyEntry"), entry)
    found = [
        (part.GetCodeValue(), part.GetCodingSchemeDesignator(), part.GetCodeMeaning())
        for part in (entry.GetCategoryObject(), entry.GetTypeObject(), entry.GetTypeModifierObject())
    ]
    assert [list(part) for part in found] == [LABELS[1][key] for key in ("category", "type", "modifier")]
    assert entry.GetAnatomicRegionObject().GetCodeValue() in (None, "")


def test_nothing_found_gives_empty_segments_that_can_be_drawn_into(make_volume):
    volume = make_volume(np.zeros((4, 5, 6), np.int16))
    imported = import_labels(np.zeros((4, 5, 6), np.uint8), LABELS, volume)
    assert imported.segmentation_node.GetSegmentation().GetNumberOfSegments() == 3
    assert imported.warnings == ("Not found: Liver, Left kidney, Tumour.",)
    node, drawn = imported.segmentation_node, np.zeros((6, 5, 4), np.uint8)
    drawn[2, 1, 3] = 1
    segment_id = node.GetSegmentation().GetNthSegmentID(1)
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segment_id, volume)
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume), drawn)


def test_reference_geometry_is_the_volumes_also_below_a_transform(make_volume, make_transform, scene):
    labels = some_labels()
    parent = make_transform(np.array([[0, -1.0, 0, 9], [1, 0, 0, 8], [0, 0, 1, 7], [0, 0, 0, 1]]))
    volume = make_volume(np.zeros(labels.shape, np.int16), OBLIQUE, parent=parent)
    node = import_labels(labels, LABELS, volume).segmentation_node
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    text = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    numbers = [float(part) for part in text.strip(";").split(";")]
    assert np.allclose(np.reshape(numbers[:16], (4, 4)), OBLIQUE, atol=1e-6)
    assert numbers[16:] == [0, 5, 0, 6, 0, 7]


def test_labels_of_another_shape_or_a_changed_volume_are_refused(make_volume):
    volume = make_volume(np.zeros((6, 7, 8), np.int16))
    with pytest.raises(InputError, match="voxels"):
        import_labels(some_labels()[:-1], LABELS, volume)
    grid = Grid.of(volume)
    volume.SetSpacing(2, 2, 2)
    with pytest.raises(InputError, match="changed during the run"):
        import_labels(some_labels(), LABELS, volume, grid=grid)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_uint16_labels_above_255(make_volume):
    labels = np.zeros((4, 4, 4), np.uint16)
    labels[1, 2, 3] = 700
    volume = make_volume(np.zeros(labels.shape, np.int16), OBLIQUE)
    node = import_labels(labels, [{**LABELS[0], "value": 700}], volume).segmentation_node
    assert_same_points(world_points(node), points_of(labels, OBLIQUE))


def test_second_run_replaces_its_own_segments_and_leaves_others(make_volume):
    labels = some_labels()
    volume = make_volume(np.zeros(labels.shape, np.int16), OBLIQUE)
    node = import_labels(labels, LABELS, volume, task="t").segmentation_node
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    liver = segmentation.GetSegmentIdBySegmentName("Liver")
    segmentation.GetSegment(liver).SetName("My liver")
    display.SetSegmentVisibility(liver, False)
    display.SetSegmentOpacity3D(liver, 0.25)
    # another task's liver, and one of the user's that shares the label map, as the Segment Editor makes them
    import_labels(labels, LABELS[:1], volume, task="another", segmentation_node=node)
    mine = slicer.vtkSegment()
    mine.SetName("Drawn")
    shared = segmentation.GetSegment(liver).GetRepresentation("Binary labelmap")
    mine.SetLabelValue(5)
    mine.AddRepresentation("Binary labelmap", shared)
    segmentation.AddSegment(mine, "drawn")
    moved = np.roll(labels, 1, axis=1)
    moved[moved == 5] = 0
    import_labels(moved, LABELS[:2], volume, task="t", segmentation_node=node)
    names = [segmentation.GetNthSegment(i).GetName() for i in range(segmentation.GetNumberOfSegments())]
    assert names == ["My liver", "Left kidney", "Tumour", "Liver", "Drawn"]
    assert segmentation.GetSegmentIdBySegmentName("My liver") == liver
    assert not display.GetSegmentVisibility(liver) and display.GetSegmentOpacity3D(liver) == 0.25

    def voxels(name):
        segment_id = segmentation.GetSegmentIdBySegmentName(name)
        return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).transpose(2, 1, 0) > 0

    assert np.array_equal(voxels("My liver"), moved == 1)
    assert np.array_equal(voxels("Left kidney"), moved == 2)
    assert np.array_equal(voxels("Liver"), labels == 1)
    assert np.array_equal(voxels("Drawn"), labels == 5) and np.array_equal(voxels("Tumour"), labels == 5)


@RANDOM
@given(labels=label_maps(), affine=affines(), of_volume=rigids(), of_output=rigids())
def test_output_below_another_rigid_transform_is_exact_in_the_world(
    make_volume, make_transform, labels, affine, of_volume, of_output
):
    slicer.mrmlScene.Clear(0)
    volume = make_volume(np.zeros(labels.shape, np.int16), affine, parent=make_transform(of_volume))
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "output")
    output.GetSegmentation().AddEmptySegment("foreign", "foreign")
    other = make_transform(of_output)
    output.SetAndObserveTransformNodeID(other.GetID())
    imported = import_labels(labels, LABELS, volume, segmentation_node=output)
    assert imported.segmentation_node is output and output.GetParentTransformNode() is other
    assert output.GetSegmentation().GetNumberOfSegments() == 4
    assert_same_points(world_points(output), points_of(labels, of_volume @ affine))
    assert not [w for w in imported.warnings if "resampled" in w]


def test_output_below_a_bent_or_sheared_transform_is_resampled_and_says_so(make_volume, make_transform, make_bend):
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[8:22, 8:22, 8:22] = 1
    affine = _shifted(-30, -30, -30) @ np.diag([2.0, 2, 2, 1])
    volume = make_volume(np.zeros(labels.shape, np.int16), affine)
    shear = np.eye(4)
    shear[0, 1] = 0.4
    for parent in (make_bend(), make_transform(shear)):
        output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "output")
        output.GetSegmentation().AddEmptySegment("foreign", "foreign")
        output.SetAndObserveTransformNodeID(parent.GetID())
        imported = import_labels(labels, LABELS[:1], volume, segmentation_node=output)
        assert [w for w in imported.warnings if "resampled" in w]
        general = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(parent, None, general)
        local = _local_points(output, "Liver")
        world = np.array([general.TransformPoint(point) for point in local])
        low, high = affine[:3, 3] + 2 * 7.0, affine[:3, 3] + 2 * 22.0
        assert len(world) > 1000
        assert ((world > low) & (world < high)).all()  # in the cube, to a voxel
        assert abs(world.mean(axis=0) - (low + high) / 2).max() < 1.0


def _local_points(node, name) -> np.ndarray:
    segmentation = node.GetSegmentation()
    segment = segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName(name))
    image = segment.GetRepresentation("Binary labelmap")
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    extent = image.GetExtent()
    i, j, k = image.GetDimensions()
    index = np.argwhere(values.reshape(k, j, i).transpose(2, 1, 0) == segment.GetLabelValue()) + extent[0::2]
    affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    return index @ affine[:3, :3].T + affine[:3, 3]


def test_empty_output_takes_the_volumes_transform(make_volume, make_transform):
    labels, parent = some_labels(), make_transform(_shifted(1, 2, 3))
    volume = make_volume(np.zeros(labels.shape, np.int16), OBLIQUE, parent=parent)
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "made by the selector")
    import_labels(labels, LABELS, volume, segmentation_node=output)
    assert output.GetParentTransformNode() is parent and output.GetName() == "made by the selector"
    assert_same_points(world_points(output), points_of(labels, _shifted(1, 2, 3) @ OBLIQUE))


def test_surface_segmentation_as_output_is_refused(make_volume):
    volume = make_volume(np.zeros((6, 7, 8), np.int16))
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    output.SetSourceRepresentationToClosedSurface()
    output.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "ball")
    with pytest.raises(InputError, match="surfaces"):
        import_labels(some_labels(), LABELS, volume, segmentation_node=output)
    assert output.GetSegmentation().GetNumberOfSegments() == 1


def test_surfaces_on_demand(make_volume):
    labels = some_labels((20, 20, 20))
    volume = make_volume(np.zeros(labels.shape, np.int16))
    node = import_labels(labels, LABELS, volume, task="t").segmentation_node
    assert not is_shown_3d(node)
    assert not node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE)
    show_3d(node, True)
    surface = node.GetClosedSurfaceInternalRepresentation(node.GetSegmentation().GetNthSegmentID(1))
    assert is_shown_3d(node) and surface.GetNumberOfPoints() > 20
    import_labels(np.roll(labels, 3, axis=2), LABELS, volume, task="t", segmentation_node=node)
    again = node.GetClosedSurfaceInternalRepresentation(node.GetSegmentation().GetNthSegmentID(1))
    assert again.GetBounds()[5] == pytest.approx(surface.GetBounds()[5] + 3, abs=0.2)  # they follow a second run
    show_3d(node, False)
    assert not is_shown_3d(node)


def test_result_is_beside_the_volume_in_the_subject_hierarchy(make_volume, scene):
    volume = make_volume(np.zeros((6, 7, 8), np.int16))
    hierarchy = scene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "A^B")
    study = hierarchy.CreateStudyItem(patient, "CT 2026")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    node = import_labels(some_labels(), LABELS, volume).segmentation_node
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_no_memory_for_the_label_map_leaves_no_empty_node(make_volume, scene, monkeypatch):
    from Rep3DSegmentationLib import segmentations

    def full(*_arguments):
        raise MemoryError

    volume = make_volume(some_labels(), OBLIQUE)
    nodes = scene.GetNumberOfNodes()
    monkeypatch.setattr(segmentations, "labelmap_image", full)
    with pytest.raises(MemoryError):
        import_labels(some_labels(), LABELS, volume)
    assert scene.GetNumberOfNodes() == nodes
