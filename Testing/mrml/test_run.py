"""Runs on a worker that fails in every way, with the scene changing underneath."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
from Rep3DSegmentationLib.errors import InputError, WorkerError
from Rep3DSegmentationLib.logic import Rep3DLogic
from Rep3DSegmentationLib.run import SegmentationRun, SegmentOptions, active_run

sys.path.insert(0, str(Path(__file__).parent))
from geometries import rotation

FAKE = SegmentOptions(task="fake")


def two_blocks(shape=(8, 9, 10)) -> np.ndarray:
    """Label 1 of the fake worker is above 100, label 2 below -100."""
    array = np.zeros(shape, np.int16)
    array[1:4, 2:5, 3:7], array[5:7, 5:8, 1:9] = 500, -500
    return array


@pytest.fixture
def affine() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation((0.3, -0.2, 0.9)) @ np.diag([1.0, 2.0, -3.0]), (5, 6, 7)
    return matrix


class Watch:
    """The callbacks of a run, recorded."""

    def __init__(self, client, volume, options=FAKE):
        self.client, self.progress, self.done, self.errors = client, [], [], []
        self.run = SegmentationRun(
            client, volume, options, lambda *values: self.progress.append(values), self.done.append, self.errors.append
        )

    def start(self):
        self.run.start()
        return self

    def until(self, condition, seconds=20.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            self.client.poll()
            time.sleep(0.005)

    def finish(self):
        self.until(lambda: not self.run.running)
        return self


def arrays_left(client) -> list[str]:
    return sorted(path.name for path in client.folder.iterdir()) if client.folder else []


def voxels(node, index, volume) -> np.ndarray:
    segment_id = node.GetSegmentation().GetNthSegmentID(index)
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).transpose(2, 1, 0) > 0


def test_run_from_volume_to_segments_table_and_settings(fake_client, make_volume, make_transform, affine, scene):
    client = fake_client()
    array = two_blocks()
    turned = np.eye(4)
    turned[:3, :3] = rotation((1.0, 0.5, -0.7))
    volume = make_volume(array, affine, parent=make_transform(turned))
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    roi.SetCenter(1, 2, 3)
    roi.SetSize(10, 20, 30)
    options = SegmentOptions(
        task="fake", device="cpu", overlap=0.25, tta=True, roi_node=roi, structures=("liver", "left-kidney")
    )
    watch = Watch(client, volume, options).start()
    assert watch.run.running and active_run(client) is watch.run and not watch.done
    watch.finish()
    (result,) = watch.done
    assert watch.run.state == "done" and watch.run.result is result and not watch.errors and active_run(client) is None
    sent = result.settings["params"]
    assert sent["overlap"] == 0.25 and sent["tta"] is True and sent["device"] == "cpu"
    assert sent["roi"]["size_mm"] == [10, 20, 30] and sent["structures"] == ["liver", "left-kidney"]
    assert np.allclose(sent["volume"]["affine"], turned @ affine) and sent["volume"]["name"] == "scan"
    fractions = [fraction for fraction, _stage, _eta in watch.progress]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(5 / 6, abs=1e-3)
    assert watch.progress[-1][1] == "segmenting (window 5 of 5)" and watch.progress[-1][2] == 0.0
    assert np.array_equal(voxels(result.segmentation_node, 0, volume), array > 100)
    assert np.array_equal(voxels(result.segmentation_node, 1, volume), array < -100)
    assert result.segmentation_node.GetName() == "scan fake" and "a warning of the worker" in result.warnings
    assert result.device == "cpu (fake)" and result.task == "fake"
    table = result.table_node
    assert table.GetCellText(0, 0) == "Liver" and table.GetTable().GetColumn(2).GetValue(0) == (array > 100).sum()
    assert arrays_left(client) == []


def test_only_the_chosen_structures_come(fake_client, make_volume):
    options = SegmentOptions(task="fake", structures=("left-kidney",), make_table=False)
    watch = Watch(fake_client(), make_volume(two_blocks()), options).start().finish()
    segmentation = watch.done[0].segmentation_node.GetSegmentation()
    names = [segmentation.GetNthSegment(i).GetName() for i in range(segmentation.GetNumberOfSegments())]
    assert names == ["Left kidney"] and watch.done[0].table_node is None


def test_what_is_wrong_at_once_is_raised_and_nothing_runs(fake_client, make_volume, scene):
    client = fake_client()
    volume = make_volume(two_blocks())
    wrong = [
        (None, FAKE, "No volume"),
        (volume, SegmentOptions(), "No task"),
        (volume, SegmentOptions(task="fake", structures=()), "No structure"),
        (volume, SegmentOptions(task="fake", frames="some"), "Frames"),
        (volume, SegmentOptions(task="fake", frames="all"), "not shown by a sequence"),
        (volume, SegmentOptions(task="fake", roi_node=scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")), "empty"),
        (volume, SegmentOptions(task="fake", segmentation_node=volume), "not a segmentation"),
    ]
    nodes = scene.GetNumberOfNodes()
    for node, options, text in wrong:
        watch = Watch(client, node, options)
        with pytest.raises(InputError, match=text):
            watch.start()
        assert watch.run.state == "ready" and active_run(client) is None
    assert not client.busy and arrays_left(client) == [] and scene.GetNumberOfNodes() == nodes


def test_second_start_is_refused_while_one_runs(fake_client, make_volume):
    client = fake_client("slow")
    volume = make_volume(two_blocks())
    first = Watch(client, volume).start()
    with pytest.raises(InputError, match="is running"):
        Watch(client, volume).start()
    with pytest.raises(InputError, match="started already"):
        first.run.start()
    assert first.run.running
    first.run.cancel()
    first.finish()


def test_cancel_twice_ends_once_and_leaves_nothing(fake_client, make_volume, scene):
    client = fake_client("slow")
    volume = make_volume(two_blocks())
    watch = Watch(client, volume).start()
    watch.until(lambda: watch.progress)
    watch.run.cancel()
    watch.run.cancel()
    watch.finish()
    assert watch.run.state == "cancelled" and [e.code for e in watch.errors] == ["cancelled"] and not watch.done
    watch.run.cancel()
    assert arrays_left(client) == [] and scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    again = Watch(client, volume).start()  # the next one is not refused
    again.run.cancel()
    again.finish()


def test_error_of_the_worker_arrives_with_its_hint_and_the_worker_stays(fake_client, make_volume):
    client = fake_client("error")
    watch = Watch(client, make_volume(two_blocks())).start().finish()
    (error,) = watch.errors
    assert (error.code, error.hint) == ("out_of_memory", "Use a ROI.") and watch.run.state == "failed"
    assert client.is_running() and arrays_left(client) == []


@pytest.mark.parametrize("how", ["crash", "kill"])
def test_death_of_the_worker_is_told_and_the_next_run_works(fake_client, make_volume, monkeypatch, how):
    client = fake_client("crash" if how == "crash" else "slow")
    volume = make_volume(two_blocks())
    watch = Watch(client, volume).start()
    if how == "kill":
        watch.until(lambda: watch.progress)
        os.kill(client.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    watch.finish()
    assert watch.errors[0].code == "worker_died" and watch.run.state == "failed" and not client.is_running()
    client._environment["REP3D_FAKE"] = ""
    assert Watch(client, volume).start().finish().run.state == "done"


def test_volume_deleted_during_the_run(fake_client, make_volume, scene):
    client = fake_client("slow")
    volume = make_volume(two_blocks(), name="brain")
    watch = Watch(client, volume).start()
    watch.until(lambda: watch.progress)
    scene.RemoveNode(volume)
    assert watch.run.state == "cancelled" and "brain was deleted" in watch.errors[0].message
    watch.until(lambda: not client.busy)  # the worker was told
    assert len(watch.errors) == 1 and arrays_left(client) == []
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_scene_closed_during_the_run(fake_client, make_volume, scene):
    client = fake_client("slow")
    watch = Watch(client, make_volume(two_blocks())).start()
    watch.until(lambda: watch.progress)
    scene.Clear(0)
    assert watch.run.state == "cancelled" and "scene was closed" in watch.errors[0].message and len(watch.errors) == 1
    client._environment["REP3D_FAKE"] = ""
    client.stop()
    assert Watch(client, make_volume(two_blocks())).start().finish().run.state == "done"


def test_output_node_deleted_during_the_run_gives_a_new_one(fake_client, make_volume, scene):
    client = fake_client()
    output = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    watch = Watch(client, make_volume(two_blocks()), SegmentOptions(task="fake", segmentation_node=output)).start()
    scene.RemoveNode(output)
    (result,) = watch.finish().done
    assert result.segmentation_node is not output and result.segmentation_node.GetScene() is scene
    assert any("deleted during the run" in text for text in result.warnings)


def test_existing_output_is_filled_and_kept(fake_client, make_volume, scene):
    client = fake_client()
    output = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    volume = make_volume(two_blocks())
    for _ in range(2):
        watch = Watch(client, volume, SegmentOptions(task="fake", segmentation_node=output)).start().finish()
        assert watch.done[0].segmentation_node is output
    assert output.GetName() == "mine" and output.GetSegmentation().GetNumberOfSegments() == 2


def test_volume_changed_during_the_run_is_not_given_labels_that_do_not_fit(fake_client, make_volume, scene):
    client = fake_client()
    volume = make_volume(two_blocks())
    watch = Watch(client, volume).start()
    volume.SetSpacing(3, 3, 3)
    watch.finish()
    assert watch.errors[0].code == "bad_input" and "changed during the run" in watch.errors[0].message
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_transform_of_the_volume_changed_during_the_run_is_followed(fake_client, make_volume, make_transform):
    client = fake_client()
    volume = make_volume(two_blocks())
    watch = Watch(client, volume).start()
    parent = make_transform(np.diag([1.0, -1, 1, 1]))
    volume.SetAndObserveTransformNodeID(parent.GetID())
    (result,) = watch.finish().done
    assert result.segmentation_node.GetParentTransformNode() is parent
    assert np.array_equal(voxels(result.segmentation_node, 0, volume), two_blocks() > 100)


def test_result_of_another_shape_is_refused_not_shown(fake_client, make_volume, scene):
    watch = Watch(fake_client("shape"), make_volume(two_blocks())).start().finish()
    assert watch.errors[0].code == "bad_input" and "voxels" in watch.errors[0].message
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_full_disk_while_the_volume_is_written(fake_client, make_volume, monkeypatch):
    client = fake_client()
    client.start()
    with monkeypatch.context() as patch:
        patch.setattr(np, "save", lambda *_a, **_k: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        watch = Watch(client, make_volume(two_blocks()))
        with pytest.raises(WorkerError, match="No space left") as error:
            watch.start()
    assert error.value.code == "output_failed" and not watch.run.running and arrays_left(client) == []
    assert ("TEMP" if os.name == "nt" else "TMPDIR") in error.value.hint, (
        "Slicer's own setting of a temporary folder is not Python's"
    )
    assert Watch(client, make_volume(two_blocks())).start().finish().run.state == "done"


def test_unexpected_error_while_taking_the_result_ends_the_run(fake_client, make_volume, monkeypatch, caplog):
    from Rep3DSegmentationLib import outputs

    monkeypatch.setattr(outputs, "import_labels", lambda *_a, **_k: 1 / 0)
    watch = Watch(fake_client(), make_volume(two_blocks())).start().finish()
    assert watch.errors[0].code == "internal" and watch.run.state == "failed" and "division" in caplog.text


def test_unexpected_error_while_the_volume_is_read_is_told(fake_client, make_volume, monkeypatch, caplog):
    from Rep3DSegmentationLib import outputs

    monkeypatch.setattr(outputs, "export_volume", lambda *_a, **_k: 1 / 0)
    watch = Watch(fake_client(), make_volume(two_blocks()))
    with pytest.raises(WorkerError, match="division") as error:
        watch.start()
    assert error.value.code == "internal" and not watch.run.running and "division" in caplog.text


def test_bent_volume_is_segmented_hardened_when_allowed(fake_client, make_volume, make_bend, scene):
    volume = make_volume(two_blocks((30, 30, 30)), np.diag([2.0, 2, 2, 1]), parent=make_bend())
    with pytest.raises(InputError, match="non-linear"):
        Watch(fake_client(), volume).start()
    (result,) = Watch(fake_client(), volume, SegmentOptions(task="fake", harden=True)).start().finish().done
    node = result.segmentation_node
    assert node.GetParentTransformNode() is None
    numbers = node.GetSegmentation().GetConversionParameter("Reference image geometry").strip(";").split(";")
    assert [float(n) for n in numbers[:11:5]] == [2, 2, 2] and numbers[16::2] == ["0"] * 3  # the copy's grid
    assert any("hardened copy" in text for text in result.warnings)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_worker_stopped_by_the_application_ends_the_run(fake_client, make_volume):
    client = fake_client("slow")
    watch = Watch(client, make_volume(two_blocks())).start()
    watch.until(lambda: watch.progress)
    client.stop(timeout_s=0.5)
    assert watch.run.state == "cancelled" and "stopped" in watch.errors[0].message and len(watch.errors) == 1


def test_console_call_waits_returns_the_node_and_raises_errors(fake_client, make_volume, caplog):
    logic = Rep3DLogic(fake_client())
    volume, seen = make_volume(two_blocks()), []
    node = logic.segment(volume, task="fake", progress=lambda *values: seen.append(values))
    assert np.array_equal(voxels(node, 0, volume), two_blocks() > 100) and len(seen) >= 1
    assert logic.lastResult.segmentation_node is node and "a warning of the worker" in caplog.text
    assert logic.tasks()[0]["key"] == "fake" and logic.activeRun() is None
    with pytest.raises(InputError, match="No task"):
        logic.segment(volume)
    with pytest.raises(WorkerError, match="ran out of memory"):
        Rep3DLogic(fake_client("error")).segment(volume, task="fake")


def test_console_call_interrupted_cancels_the_run(fake_client, make_volume):
    logic = Rep3DLogic(fake_client("slow"))

    def stop(*_values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        logic.segment(make_volume(two_blocks()), task="fake", progress=stop)
    run, end = logic.activeRun(), time.monotonic() + 10
    while run.running and time.monotonic() < end:
        logic.client.poll()
        time.sleep(0.01)
    assert run.state == "cancelled"


def test_two_clients_do_not_touch_each_others_folders(fake_client, make_volume):
    one, two = fake_client("slow"), fake_client()
    first = Watch(one, make_volume(two_blocks())).start()
    first.until(lambda: first.progress)
    assert Watch(two, make_volume(two_blocks())).start().finish().run.state == "done"
    assert one.folder != two.folder and one.folder.is_dir() and first.run.running
    two.stop()
    assert one.folder.is_dir()
    first.run.cancel()
    first.finish()
