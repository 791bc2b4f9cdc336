"""Choices in the parameter node: stored, read back, saved with a scene, and safe against what a scene may hold."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
sys.path.insert(0, str(Path(__file__).parents[3] / "Rep3DSegmentation"))

from Rep3DSegmentationLib.parameters import (  # noqa: E402
    QUALITIES,
    ROI,
    SEGMENTATION,
    VOLUME,
    Choices,
    Parameters,
)


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


@pytest.fixture
def parameters(scene):
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetName("Rep3DSegmentation")
    scene.AddNode(node)
    return Parameters(node)


CHANGED = Choices(
    task="openkbp",
    weights="/données/my weights,v2.safetensors",
    device="cuda:1",
    overlap=0.65,
    tta=True,
    structures=("openkbp", ("mandible", "brainstem")),
    harden=True,
    all_frames=True,
    batch_input="/in put",
    batch_output="/out",
    batch_format="seg.nrrd",
    batch_overwrite=True,
)


def test_an_empty_node_gives_the_defaults_and_keeps_them(parameters):
    assert parameters.choices == Choices()
    parameters.set_defaults()
    assert parameters.choices == Choices()
    assert parameters.node.GetParameter("overlap") == "0.5"
    assert parameters.node.GetParameter("tta") == "false"
    parameters.set(overlap=0.25)
    parameters.set_defaults()
    assert parameters.choices.overlap == 0.25, "defaults must not overwrite a choice"


def test_every_choice_comes_back_from_a_saved_scene(scene, parameters, tmp_path):
    volume, roi, segmentation = (
        scene.AddNewNodeByClass(name)
        for name in ("vtkMRMLScalarVolumeNode", "vtkMRMLMarkupsROINode", "vtkMRMLSegmentationNode")
    )
    parameters.set(**CHANGED.__dict__)
    for role, node in ((VOLUME, volume), (ROI, roi), (SEGMENTATION, segmentation)):
        parameters.set_reference(role, node)
    assert parameters.choices == CHANGED

    path = tmp_path / "scène.mrml"
    scene.SetURL(str(path))
    scene.SetRootDirectory(str(tmp_path))
    assert scene.Commit()
    loaded = slicer.vtkMRMLScene()
    for name in ("vtkMRMLScriptedModuleNode", "vtkMRMLMarkupsROINode", "vtkMRMLSegmentationNode"):
        loaded.RegisterNodeClass(getattr(slicer, name)())
    loaded.SetURL(str(path))
    loaded.Import()
    again = Parameters(loaded.GetFirstNodeByClass("vtkMRMLScriptedModuleNode"))
    assert again.choices == CHANGED
    assert again.node.GetNodeReferenceID(VOLUME) == volume.GetID()
    assert again.node.GetNodeReferenceID(ROI) == roi.GetID()
    assert again.node.GetNodeReferenceID(SEGMENTATION) == segmentation.GetID()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("overlap", "much", 0.5),
        ("overlap", "nan", 0.5),
        ("overlap", "7", 0.9),
        ("overlap", "-1", 0.0),
        ("tta", "maybe", False),
        ("structures", "{broken", None),
        ("structures", '["liver"]', None),
        ("structures", '{"task": "a", "keys": [1, "b"]}', ("a", ("b",))),
        ("batch_format", "exe", "nii.gz"),
    ],
)
def test_values_nobody_can_use_give_way_to_defaults(parameters, name, text, expected):
    parameters.node.SetParameter(name, text)
    assert getattr(parameters.choices, name) == expected


def test_one_change_is_reported_once_and_only_when_there_is_one(parameters):
    parameters.set_defaults()
    events = []
    parameters.node.AddObserver("ModifiedEvent", lambda *_: events.append(1))
    parameters.set(overlap=0.3, tta=True, device="cpu")
    assert len(events) == 1
    parameters.set(overlap=0.3, tta=True, device="cpu")
    assert len(events) == 1
    parameters.set_reference(VOLUME, None)
    assert len(events) == 1


def test_an_unknown_choice_is_refused(parameters):
    with pytest.raises(KeyError):
        parameters.set(overlapp=0.3)


@pytest.mark.parametrize("quality", QUALITIES, ids=lambda quality: quality.key)
def test_a_preset_is_recognised_by_its_values(parameters, quality):
    parameters.use_quality(quality.key)
    assert (parameters.choices.overlap, parameters.choices.tta) == (quality.overlap, quality.tta)
    assert parameters.choices.quality == quality.key
    parameters.set(overlap=0.33)
    assert parameters.choices.quality == "custom"
    parameters.use_quality("custom")
    assert parameters.choices.overlap == 0.33


def test_structures_belong_to_their_task(parameters):
    known = ("a", "b", "c")
    parameters.want("first", ("a", "c"), known)
    assert parameters.choices.wanted("first") == ("a", "c")
    assert parameters.choices.wanted("second") is None
    parameters.want("first", known, known)
    assert parameters.choices.structures is None
    parameters.want("first", (), known)
    assert parameters.choices.wanted("first") == ()


def test_a_deleted_node_is_no_longer_referred_to(scene, parameters):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.set_reference(VOLUME, volume)
    assert parameters.reference(VOLUME) is volume
    scene.RemoveNode(volume)
    assert parameters.reference(VOLUME) is None
