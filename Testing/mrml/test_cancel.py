"""A cancel counts from the moment it is given, even when the answer is under way; and the time left of frames."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
from Rep3DSegmentationLib.run import SegmentationRun, SegmentOptions


def block() -> np.ndarray:
    """Something for the fake worker to find."""
    array = np.zeros((8, 9, 10), np.int16)
    array[1:4, 2:5, 3:7] = 500
    return array


@pytest.fixture
def frames(scene, make_volume):
    """The volume that a browser of three frames plays."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cardiac")
    for index in range(3):
        volume = make_volume(block(), name="frame")
        sequence.SetDataNodeAtValue(volume, str(index))
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser.GetProxyNode(sequence)


def poll(client, condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        client.poll()
        time.sleep(0.005)


@pytest.mark.parametrize("several", [False, True])
def test_cancel_while_the_result_is_under_way(fake_client, make_volume, frames, scene, several):
    client, done, errors = fake_client(), [], []
    volume = frames if several else make_volume(block())
    nodes = scene.GetNumberOfNodes()
    options = SegmentOptions(task="fake", frames="all" if several else "current")
    run = SegmentationRun(client, volume, options, None, done.append, errors.append)
    run.start()
    end = time.monotonic() + 20
    while not list(client.folder.glob("out*.npy")):  # finished, and nobody has looked yet
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.1)
    run.cancel()
    poll(client, lambda: not run.running)
    assert run.state == "cancelled" and [error.code for error in errors] == ["cancelled"] and not done
    poll(client, lambda: not client.busy)
    assert scene.GetNumberOfNodes() == nodes and [path.name for path in client.folder.iterdir()] == []


def test_time_left_counts_all_frames_from_the_first_one(fake_client, frames):
    client, left = fake_client(), []
    run = SegmentationRun(
        client,
        frames,
        SegmentOptions(task="fake", frames="all"),
        lambda fraction, stage, eta_s: left.append((fraction, eta_s)),
    )
    run.start()
    poll(client, lambda: not run.running)
    seen = 0
    for fraction, eta_s in left:
        frame, step = divmod(round(fraction * 18), 6)  # three frames of six steps each
        own = 5.0 - step  # what the fake says of its frame, in seconds
        assert own * (3 - frame) <= eta_s <= own * (3 - frame) + 20
        seen += frame == 0 and own > 0
    assert seen
