"""Volume sequences: the current frame with a warning, or all frames into a sequence of segmentations."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
import slicer.util
from Rep3DSegmentationLib.errors import InputError
from Rep3DSegmentationLib.grids import as_matrix
from Rep3DSegmentationLib.run import SegmentationRun, SegmentOptions
from Rep3DSegmentationLib.sequences import frame_of

AFFINE = np.array([[0, -2.0, 0, 3], [1.5, 0, 0, 4], [0, 0, 3.0, 5], [0, 0, 0, 1]])


def frame_array(index: int) -> np.ndarray:
    """A block that moves with the frame; in the last frame there is nothing."""
    array = np.zeros((8, 9, 10), np.int16)
    if index < 2:
        array[1 + index : 4 + index, 2:5, 3:7] = 500
        array[5:7, 5:8, 1 + index : 9] = -500
    return array


@pytest.fixture
def browser(scene, make_volume):
    """A browser that plays three frames; its proxy volume is ``browser.GetProxyNode(...)``."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cardiac")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for index in range(3):
        volume = make_volume(frame_array(index), AFFINE, name="frame")
        sequence.SetDataNodeAtValue(volume, f"{index * 0.5}")
        scene.RemoveNode(volume)
    node = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    node.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(node)
    return node


def finish(client, volume, **options):
    outcome, progress = [], []
    run = SegmentationRun(
        client,
        volume,
        SegmentOptions(task="fake", **options),
        lambda *values: progress.append(values),
        outcome.append,
        outcome.append,
    )
    run.start()
    end = time.monotonic() + 20
    while run.running:
        assert time.monotonic() < end
        client.poll()
        time.sleep(0.005)
    return run, outcome[0], progress


def show(browser, index: int) -> None:
    browser.SetSelectedItemNumber(index)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def has_voxels(node, name: str, volume, expected) -> bool:
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
    return np.array_equal(array.transpose(2, 1, 0) > 0, expected)


def test_frame_of_a_proxy_and_of_a_plain_volume(browser, make_volume):
    proxy = browser.GetProxyNode(browser.GetMasterSequenceNode())
    show(browser, 1)
    frame = frame_of(proxy)
    assert (frame.index, frame.count) == (1, 3) and frame.browser_node is browser
    assert frame_of(make_volume(frame_array(0))) is None


def test_current_frame_is_segmented_and_the_warning_says_which(fake_client, browser):
    proxy = browser.GetProxyNode(browser.GetMasterSequenceNode())
    show(browser, 1)
    run, result, _progress = finish(fake_client(), proxy)
    assert run.state == "done"
    assert any("current frame (2 of 3)" in text for text in result.warnings)
    assert has_voxels(result.segmentation_node, "Liver", proxy, frame_array(1) > 100)


def test_all_frames_become_a_sequence_in_the_same_browser(fake_client, browser, make_transform, scene):
    source = browser.GetMasterSequenceNode()
    proxy = browser.GetProxyNode(source)
    turn = make_transform(np.array([[0, -1.0, 0, 9], [1, 0, 0, 8], [0, 0, 1, 7], [0, 0, 0, 1]]))
    proxy.SetAndObserveTransformNodeID(turn.GetID())
    show(browser, 2)
    client = fake_client()
    run, result, progress = finish(client, proxy, frames="all")
    assert run.state == "done", result
    node = result.segmentation_node
    sequence = browser.GetSequenceNode(node)
    assert sequence is not None and sequence is not source
    assert sequence.GetNumberOfDataNodes() == 3 and sequence.GetIndexUnit() == "s"
    assert [sequence.GetNthIndexValue(i) for i in range(3)] == [source.GetNthIndexValue(i) for i in range(3)]
    assert node.GetParentTransformNode() is turn
    for index in (0, 1, 2, 0):
        show(browser, index)
        assert has_voxels(node, "Liver", proxy, frame_array(index) > 100)
        assert has_voxels(node, "Left kidney", proxy, frame_array(index) < -100)
    fractions = [fraction for fraction, _stage, _eta in progress]
    assert fractions == sorted(fractions) and any("frame 3 of 3" in stage for _f, stage, _e in progress)
    assert "Frame 3: Not found: Liver, Left kidney." in result.warnings
    assert result.table_node.GetNumberOfRows() == 6 and result.table_node.GetCellText(2, 0) == "0.5"
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationDisplayNode") == 1
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert [path.name for path in client.folder.iterdir()] == []


def test_all_frames_cancelled_or_failed_leave_nothing(fake_client, browser, scene):
    proxy = browser.GetProxyNode(browser.GetMasterSequenceNode())
    nodes = scene.GetNumberOfNodes()
    run, error, _progress = finish(fake_client("error"), proxy, frames="all")
    assert run.state == "failed" and error.code == "out_of_memory"
    assert scene.GetNumberOfNodes() == nodes and browser.GetNumberOfSynchronizedSequenceNodes() == 0


def test_all_frames_into_an_existing_segmentation_is_refused(fake_client, browser, scene):
    proxy = browser.GetProxyNode(browser.GetMasterSequenceNode())
    output = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    with pytest.raises(InputError, match="one existing segmentation"):
        finish(fake_client(), proxy, frames="all", segmentation_node=output)


def test_frames_with_grids_of_their_own(fake_client, browser):
    source = browser.GetMasterSequenceNode()
    moved = AFFINE.copy()
    moved[:3, 3] += (10, 0, -4)
    source.GetNthDataNode(1).SetIJKToRASMatrix(as_matrix(moved))
    proxy = browser.GetProxyNode(source)
    _run, result, _progress = finish(fake_client(), proxy, frames="all")
    show(browser, 1)
    assert has_voxels(result.segmentation_node, "Liver", proxy, frame_array(1) > 100)
