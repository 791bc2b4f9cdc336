"""Asking for masks and fields: what is refused, what is sent, and a scene that changes underneath."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from geometries import rotation
from Rep3DSegmentationLib.errors import InputError, WorkerError
from Rep3DSegmentationLib.volumes import voxels, world_affine
from Rep3DSegmentationLib.why import folder, points
from Rep3DSegmentationLib.why.points import Point
from Rep3DSegmentationLib.why.runs import ErfOptions, ErfRun, MasksRun
from why_cases import node_ids

FAKE = ErfOptions(task="fake", class_index=1)


@pytest.fixture
def scan(make_volume, make_transform):
    """An oblique, left-handed scan below a turned transform."""
    affine, turn = np.eye(4), np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation((0.3, -0.2, 0.9)) @ np.diag([1.0, 2.0, -3.0]), (5, 6, 7)
    turn[:3, :3], turn[:3, 3] = rotation((1.0, 0.5, -0.7)), (40, -20, 3)
    return make_volume(np.arange(720, dtype=np.int16).reshape(8, 9, 10), affine, "scan", make_transform(turn))


class Watch:
    """The callbacks of a run."""

    def __init__(self):
        self.progress, self.done, self.errors = [], [], []

    def callbacks(self) -> dict:
        return {
            "on_progress": lambda *values: self.progress.append(values),
            "on_done": self.done.append,
            "on_error": self.errors.append,
        }


def until(client, condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        client.poll()
        time.sleep(0.005)


def files(client) -> list[str]:
    return sorted(path.name for path in client.folder.iterdir()) if client.folder else []


def test_field_of_a_point_from_end_to_end(fake_client, scan):
    client, watch = fake_client(), Watch()
    world = world_affine(scan) @ [3, 4, 5, 1]
    run = ErfRun(client, scan, Point("P", tuple(world[:3] + 0.2)), FAKE, **watch.callbacks())
    run.start()
    nodes = run.wait()
    assert watch.done == [nodes] and run.state == "done" and not watch.errors and watch.progress
    assert np.allclose(world_affine(nodes.volume), world_affine(scan), atol=1e-9)
    assert np.unravel_index(voxels(nodes.volume).argmax(), (8, 9, 10)) == (3, 4, 5)
    assert nodes.warnings == ("a smaller patch",) and files(client) == []
    with pytest.raises(InputError, match="started already"):
        run.start()


@pytest.mark.parametrize(
    ("index", "inside"),
    [((-0.49, 0, 0), (0, 0, 0)), ((7.49, 8.49, 9.49), (7, 8, 9)), ((-0.51, 0, 0), None), ((0, 0, 9.6), None)],
)
def test_point_at_the_rim(fake_client, scan, index, inside):
    client = fake_client()
    point = Point("P", tuple((world_affine(scan) @ [*index, 1])[:3]))
    run = ErfRun(client, scan, point, FAKE)
    if inside is None:
        with pytest.raises(InputError, match="outside of scan") as error:
            run.start()
        assert "inside" in error.value.hint and not run.running and not client.busy
    else:
        run.start()
        field = voxels(run.wait().volume)
        assert np.unravel_index(field.argmax(), field.shape) == inside
    assert files(client) == []


def test_what_is_wrong_at_once_is_raised_and_nothing_runs(fake_client, scene, scan, make_volume, make_bend):
    client, ids = fake_client(), node_ids(scene)
    point = Point("P", tuple((world_affine(scan) @ [3, 4, 5, 1])[:3]))
    bent = make_volume(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), name="bent", parent=make_bend())
    added = node_ids(scene) - ids
    for node, options, text in (
        (None, FAKE, "No volume"),
        (scan, ErfOptions(), "No task"),
        (bent, FAKE, "non-linear"),
        (scene.GetFirstNodeByClass("vtkMRMLCrosshairNode"), FAKE, "not a volume"),
    ):
        run = ErfRun(client, node, point, options)
        with pytest.raises(InputError, match=text):
            run.start()
        assert run.state == "ready" and not client.busy
    with pytest.raises(InputError, match="No task"):
        MasksRun(client, None).start()
    assert files(client) == [] and node_ids(scene) == ids | added


def test_bent_scan_is_explained_hardened_when_allowed(fake_client, make_volume, make_bend):
    bent = make_volume(np.zeros((30, 30, 30), np.int16), np.diag([2.0, 2, 2, 1]), "bent", make_bend())
    run = ErfRun(fake_client(), bent, Point("P", (20.0, 22.0, 24.0)), ErfOptions(task="fake", harden=True))
    run.start()
    nodes = run.wait()
    assert nodes.volume.GetParentTransformNode() is None  # the copy lies in the world, not below the transform
    field = voxels(nodes.volume)
    peak = world_affine(nodes.volume) @ [*np.unravel_index(field.argmax(), field.shape), 1]
    assert np.abs(peak[:3] - (20, 22, 24)).max() <= 1.0


@pytest.mark.parametrize("how", ["scan deleted", "scene closed", "cancelled"])
def test_given_up(fake_client, scene, scan, how):
    client, watch = fake_client("slow"), Watch()
    point = Point("P", tuple((world_affine(scan) @ [3, 4, 5, 1])[:3]))
    run = ErfRun(client, scan, point, FAKE, **watch.callbacks())
    run.start()
    until(client, lambda: watch.progress)
    if how == "scan deleted":
        scene.RemoveNode(scan)
    elif how == "scene closed":
        scene.Clear(0)
    else:
        run.cancel()
        run.cancel()
    until(client, lambda: not client.busy)
    assert run.state == "cancelled" and len(watch.errors) == 1 and watch.errors[0].code == "cancelled"
    assert not watch.done and folder.kept() == [] and files(client) == []
    text = {"scan deleted": "scan was deleted", "scene closed": "scene was closed", "cancelled": "cancelled"}[how]
    assert text in watch.errors[0].message
    run.cancel()


def test_transform_changed_during_the_run_is_followed(fake_client, scan, make_transform):
    client = fake_client()
    run = ErfRun(client, scan, Point("P", tuple((world_affine(scan) @ [3, 4, 5, 1])[:3])), FAKE)
    run.start()
    scan.SetAndObserveTransformNodeID(make_transform(np.diag([1.0, -1, 1, 1])).GetID())
    assert np.allclose(world_affine(run.wait().volume), world_affine(scan), atol=1e-9)


def test_failure_while_the_answer_is_taken_in_ends_the_run(fake_client, scan, monkeypatch, caplog):
    from Rep3DSegmentationLib.why import runs

    monkeypatch.setattr(runs, "show_erf", lambda *_a: 1 / 0)
    run = ErfRun(fake_client(), scan, Point("P", tuple((world_affine(scan) @ [3, 4, 5, 1])[:3])), FAKE)
    run.start()
    with pytest.raises(WorkerError, match="division") as error:
        run.wait()
    assert error.value.code == "internal" and run.state == "failed" and "division" in caplog.text


def test_masks_are_read_and_weights_without_them_are_told(fake_client, scene):
    client = fake_client()
    run = MasksRun(client, "fake")
    run.start()
    made = run.wait()
    assert [b.name for b in made.blocks] == ["stage1.block1"] and made.blocks[0].kernel_CKKK.shape == (1, 3, 3, 3)
    assert files(client) == [] and made.task == "fake"
    bare = MasksRun(fake_client("no masks"), "fake")
    bare.start()
    with pytest.raises(InputError, match="fake have no masks"):
        bare.wait()


def test_points_are_in_the_world_and_only_placed_ones_count(scene, make_transform):
    move = np.eye(4)
    move[:3, 3] = (10, 20, 30)
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    markups.SetAndObserveTransformNodeID(make_transform(move).GetID())
    markups.AddControlPoint(1, 2, 3, "first")
    markups.AddControlPoint(4, 5, 6, "second")
    markups.SetNthControlPointPositionMissing(0)
    assert points.points_of(markups) == [Point("second", (14.0, 25.0, 36.0))]
    assert points.points_of(None) == []
    scene.GetFirstNodeByClass("vtkMRMLCrosshairNode").SetCrosshairRAS(7, 8, 9)
    assert points.crosshair().ras == (7.0, 8.0, 9.0)


def test_place_a_point(scene):
    selection = scene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    interaction = scene.GetFirstNodeByClass("vtkMRMLInteractionNode")
    markups = points.place_point()
    assert selection.GetActivePlaceNodeID() == markups.GetID()
    assert interaction.GetCurrentInteractionMode() == slicer.vtkMRMLInteractionNode.Place
    assert points.place_point(markups) is markups
    interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)


def test_from_the_console(fake_client, scene, scan):
    from Rep3DSegmentationLib.logic import Rep3DLogic

    logic, before = Rep3DLogic(fake_client()), node_ids(scene)
    world = (world_affine(scan) @ [3, 4, 5, 1])[:3]
    nodes = logic.explainVoxel(scan, world, task="fake", classIndex=2, name="tumour")
    assert "tumour" in nodes.volume.GetName() and nodes.radius90_mm == 2.0
    masks = logic.showMasks("fake")
    assert voxels(masks.volumes["mask"]).shape == (3, 3, 3)
    with pytest.raises(InputError, match="no block"):
        logic.showMasks("fake", block="stage7.block1")
    with pytest.raises(InputError, match="outside"):
        logic.explainVoxel(scan, (1e4, 0, 0), task="fake")
    assert logic.removeExplanations() > 10 and node_ids(scene) == before
