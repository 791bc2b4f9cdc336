"""Volumes for the worker: voxels and their place in the world, what is refused, ROIs and tables."""

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
from Rep3DSegmentationLib.grids import as_matrix
from Rep3DSegmentationLib.rois import roi_param
from Rep3DSegmentationLib.statistics import table
from Rep3DSegmentationLib.volumes import check_volume, export_volume, geometry
from vtk.util.numpy_support import vtk_to_numpy

sys.path.insert(0, str(Path(__file__).parent))
from geometries import LPS, affines, rigids, rotation

RANDOM = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


class Folder:
    """A client that only keeps arrays."""

    def __init__(self):
        self.arrays = {}

    def write_array(self, array):
        name = f"in{len(self.arrays)}.npy"
        self.arrays[name] = np.array(array, order="K")
        return name


@RANDOM
@given(affine=affines(), outer=rigids(), inner=rigids(), depth=st.integers(0, 2), seed=st.integers(0, 999))
def test_every_voxel_is_where_simpleitk_reads_it_from_the_saved_volume(
    make_volume, make_transform, tmp_path, affine, outer, inner, depth, seed
):
    import SimpleITK as sitk

    slicer.mrmlScene.Clear(0)
    parent = make_transform(outer) if depth else None
    parent = make_transform(inner, parent) if depth == 2 else parent
    array = np.random.default_rng(seed).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    node = make_volume(array, affine, parent=parent)
    client = Folder()
    exported = export_volume(node, client)
    sent = client.arrays[exported.array]
    assert np.array_equal(sent, array) and sent.dtype == np.int16 and sent.flags.f_contiguous
    assert exported.shape == array.shape and not exported.warnings
    node.HardenTransform()
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "saved.nrrd"))
    assert storage.WriteData(node)
    image = sitk.ReadImage(str(tmp_path / "saved.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), sent)
    for index in ((0, 0, 0), (3, 4, 5), (1, 0, 2)):
        world = np.array(exported.affine) @ (*index, 1)
        assert np.allclose((LPS @ world)[:3], image.TransformIndexToPhysicalPoint(index), atol=1e-3)
    assert np.allclose(geometry(node)[1], exported.affine)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.float32, np.float64])
def test_scalar_types_pass_unchanged(make_volume, dtype):
    array = (np.arange(24) % 100).reshape(2, 3, 4).astype(dtype)
    client = Folder()
    sent = client.arrays[export_volume(make_volume(array), client).array]
    assert sent.dtype == dtype and np.array_equal(sent, array)


def refused(node, text, harden=False):
    with pytest.raises(InputError) as error:
        check_volume(node, harden)
    assert text in error.value.message and error.value.hint and error.value.code == "bad_input"
    client = Folder()
    with pytest.raises(InputError):
        export_volume(node, client, harden=harden)
    assert not client.arrays


def test_what_is_not_one_scalar_volume_is_refused_by_name(make_volume, scene):
    refused(None, "No volume")
    refused(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing"), "nothing has no voxels")
    empty = make_volume(np.zeros((2, 2, 2), np.int16), name="emptied")
    empty.SetAndObserveImageData(vtk.vtkImageData())
    refused(empty, "emptied has no voxels")
    colour = np.zeros((2, 3, 4, 3), np.uint8)
    refused(make_volume(colour, name="rgb", class_name="vtkMRMLVectorVolumeNode"), "rgb is a vector volume")
    refused(make_volume(colour, name="three"), "three has 3 values per voxel")
    labels = make_volume(np.zeros((2, 3, 4), np.uint8), name="labels", class_name="vtkMRMLLabelMapVolumeNode")
    refused(labels, "labels is a label map")
    refused(make_volume(colour, name="dwi", class_name="vtkMRMLDiffusionWeightedVolumeNode"), "diffusion-weighted")
    refused(make_volume(colour, name="dti", class_name="vtkMRMLDiffusionTensorVolumeNode"), "tensor volume")
    refused(scene.AddNewNodeByClass("vtkMRMLModelNode", "bone"), "bone is not a volume")
    flat = np.diag([1.0, 1, 0, 1])
    refused(make_volume(np.zeros((2, 3, 4), np.int16), flat, name="flat"), "degenerate")


def test_multi_volume_is_refused_with_the_way_out():
    class MultiVolume:
        """The class comes with an extension of its own; what is asked of it is this."""

        def IsA(self, name):
            return name in ("vtkMRMLMultiVolumeNode", "vtkMRMLScalarVolumeNode", "vtkMRMLVolumeNode")

        def GetName(self):
            return "perfusion"

    with pytest.raises(InputError, match="perfusion is a multi-volume") as error:
        check_volume(MultiVolume())
    assert "sequence" in error.value.hint


def test_non_linear_transform_is_refused_or_hardened_on_a_copy(make_volume, make_bend, scene):
    array = np.zeros((30, 30, 30), np.int16)
    array[13:17, 13:17, 13:17] = 1000
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -29
    bend = make_bend()
    node = make_volume(array, affine, name="bent", parent=bend)
    refused(node, "bent is under a non-linear transform")
    nodes = scene.GetNumberOfNodes()
    client = Folder()
    exported = export_volume(node, client, harden=True)
    assert exported.hardened and "hardened copy" in exported.warnings[0]
    assert scene.GetNumberOfNodes() == nodes and node.GetParentTransformNode() is bend
    assert np.array_equal(slicer.util.arrayFromVolume(node).transpose(2, 1, 0), array)  # the original is as it was
    sent = client.arrays[exported.array]
    where = np.argwhere(sent > 500).mean(axis=0)
    world = (np.array(exported.affine) @ (*where, 1))[:3]
    expected = np.zeros(3)
    bend.GetTransformToParent().TransformPoint((0.0, 0.0, 0.0), expected)
    assert expected[2] == pytest.approx(12, abs=0.1)
    assert np.abs(world - expected).max() < 1.5  # where the bend takes the bright cube


@pytest.fixture
def make_roi(scene):
    def make(centre=(1, 2, 3), size=(10, 20, 30), name="R"):
        roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
        roi.SetCenter(*centre)
        roi.SetSize(*size)
        return roi

    return make


@RANDOM
@given(turn=rigids(), outer=rigids(), scale=st.tuples(*[st.floats(0.5, 2.0)] * 3), shear=st.sampled_from([0.0, 0.4]))
def test_roi_is_the_box_that_slicer_shows(make_roi, make_transform, turn, outer, scale, shear):
    slicer.mrmlScene.Clear(0)
    roi = make_roi((0, 0, 0))
    roi.SetAndObserveObjectToNodeMatrix(as_matrix(turn))
    parent = outer @ np.diag([*scale, 1])
    parent[0, 1] += shear
    roi.SetAndObserveTransformNodeID(make_transform(parent).GetID())
    param = roi_param(roi)
    matrix, size = np.array(param["matrix"]), np.array(param["size_mm"])
    assert np.allclose(matrix[:3, :3].T @ matrix[:3, :3], np.eye(3), atol=1e-6)
    drawn = vtk_to_numpy(roi.CreateROIBoxPolyDataWorld().GetPoints().GetData())
    corners = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1).T * size @ matrix[:3, :3].T + matrix[:3, 3]
    for corner in corners:
        assert np.linalg.norm(drawn - corner, axis=1).min() < 1e-3


def test_rois_that_are_no_box_are_refused(make_roi, make_bend, scene):
    cases = [(scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "new"), "new is empty")]
    inside_out = make_roi(name="io")
    inside_out.SetInsideOut(True)
    cases.append((inside_out, "inside out"))
    bent = make_roi(name="b")
    bent.SetAndObserveTransformNodeID(make_bend().GetID())
    cases.append((bent, "non-linear"))
    cases.append((scene.AddNewNodeByClass("vtkMRMLMarkupsPlaneNode", "plane"), "plane is not a ROI"))
    for node, text in cases:
        with pytest.raises(InputError, match=text) as error:
            roi_param(node)
        assert error.value.hint


def test_unequal_scale_along_the_axes_of_a_roi_is_kept(make_roi, make_transform):
    roi = make_roi((1, 2, 3), (10, 20, 30))
    turned = np.eye(4)
    turned[:3, :3] = rotation((0.3, -0.5, 1.0)) @ np.diag([2.0, 1.0, 0.5])
    roi.SetAndObserveTransformNodeID(make_transform(turned).GetID())
    param = roi_param(roi)
    assert np.allclose(param["size_mm"], [20, 20, 15])
    assert np.allclose(np.array(param["matrix"])[:3, 3], turned[:3, :3] @ (1, 2, 3))


def test_table_of_statistics(scene):
    stats = [
        {
            "value": 1,
            "key": "liver",
            "name": "Liver",
            "voxels": 3_000_000_000,
            "volume_ml": 1.5,
            "mean": 55.0,
            "sd": 7.25,
        },
        {"value": 2, "key": "none", "name": "Spleen", "voxels": 0, "volume_ml": 0.0, "mean": None, "sd": None},
    ]
    node = table(stats, "T")
    assert [node.GetColumnName(i) for i in range(node.GetNumberOfColumns())] == [
        "Structure",
        "Volume (mL)",
        "Voxels",
        "Mean",
        "SD",
    ]
    assert node.GetNumberOfRows() == 2 and node.GetCellText(0, 0) == "Liver"
    columns = [node.GetTable().GetColumn(i) for i in range(5)]
    assert columns[2].GetValue(0) == 3_000_000_000 and columns[1].GetValue(0) == 1.5 and columns[4].GetValue(0) == 7.25
    assert np.isnan(columns[3].GetValue(1))
    assert node.GetColumnUnitLabel("Volume (mL)") == "mL"
    again = table(stats[:1], "T", table_node=node)
    assert again is node and node.GetNumberOfRows() == 1 and node.GetNumberOfColumns() == 5
    frames = table([{"frame": "0.5", **stats[0]}], "F")
    assert frames.GetColumnName(0) == "Frame" and frames.GetCellText(0, 0) == "0.5"
