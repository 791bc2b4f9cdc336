"""The session on the real worker: prepared once, shared, dropped as soon as it might be wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest

from .scenes import add_transform, add_volume

TASK = "msd-hippocampus"


@pytest.fixture(scope="module")
def client(core):
    from Rep3DSegmentationLib.client import WorkerClient

    client = WorkerClient(environment={"OMP_NUM_THREADS": "2"})
    yield client
    client.stop()


@pytest.fixture
def session(scene, client):
    from Rep3DSegmentationLib.click.session import ClickSession

    session = ClickSession(lambda: client)
    yield session
    session.close()
    client.poll()


@pytest.fixture
def options():
    from Rep3DSegmentationLib.click.entries import ClickOptions

    return ClickOptions(task=TASK, device="cpu", overlap=0.1)


@pytest.fixture
def volume(scene):
    """Noise with a bright blob in the middle, left-handed and anisotropic, at about the size of the task's images."""
    rng = np.random.default_rng(0)
    array = rng.normal(100, 20, (34, 40, 30)).astype(np.int16)
    array[12:22, 14:26, 10:20] += 150
    return add_volume(array, np.diag([-1.0, 1.0, 1.2, 1.0]))


class Outcome:
    def __init__(self):
        self.ready, self.errors, self.fractions = [], [], []

    def callbacks(self):
        return (
            lambda fraction, stage, eta: self.fractions.append(fraction),
            lambda prepared, warnings: self.ready.append(prepared),
            self.errors.append,
        )

    @property
    def ended(self):
        return bool(self.ready or self.errors)


def wait(session, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        session.poll()
        assert time.monotonic() < end, "the worker does not answer"
        time.sleep(0.01)


def labels_of(prepared):
    """The label map again from single structures."""
    labels = np.zeros(prepared.shape, np.uint8)
    for value in prepared.label_info:
        pick = prepared.structure(value)
        where = tuple(slice(f, f + n) for f, n in zip(pick.first, pick.mask.shape))
        labels[where] += np.uint8(value) * pick.mask
    return labels


def test_a_volume_is_prepared_once_for_everybody(session, volume, options, client):
    """Two editors ask at once, one leaves: one run, the answer is the segmentation's, and the next ask finds it."""
    from Rep3DSegmentationLib.volumes import export_volume

    first, second, third = Outcome(), Outcome(), Outcome()
    assert session.state(volume, options) == "none" and not session.busy
    session.prepare(volume, options, *first.callbacks())
    leaving = session.prepare(volume, options, *second.callbacks())
    session.prepare(volume, options, *third.callbacks())
    assert session.state(volume, options) == "preparing" and session.busy
    leaving.cancel()
    assert [e.code for e in second.errors] == ["cancelled"] and not second.ready
    wait(session, lambda: first.ended)
    assert first.ready and first.ready == third.ready and not session.busy and first.fractions
    assert session.state(volume, options) == "ready" and session.prepared(volume, options) is first.ready[0]
    exported = export_volume(volume, client)
    params = {"volume": exported.params(), "task": TASK, "device": "cpu", "overlap": 0.1}
    direct = client.call("segment", params, timeout_s=120)
    client.discard_array(exported.array)
    np.testing.assert_array_equal(labels_of(first.ready[0]), client.read_array(direct["labels"]))


def test_a_click_takes_what_is_there_and_a_window_needs_no_whole_run(session, volume, options):
    outcome = Outcome()
    session.prepare(volume, options, *outcome.callbacks())
    wait(session, lambda: outcome.ended)
    prepared = outcome.ready[0]
    labels = labels_of(prepared)
    assert labels.any()
    voxel = tuple(int(v) for v in np.argwhere(labels)[len(np.argwhere(labels)) // 2])
    assert prepared.hit(voxel).value == labels[voxel]
    local = Outcome()
    session.window(volume, voxel, options, *local.callbacks())
    wait(session, lambda: local.ended)
    part = local.ready[0]
    assert not part.whole and part.pick(voxel, threshold=0.3).voxels > 0
    bad = Outcome()
    session.window(volume, (99, 0, 0), options, *bad.callbacks())
    wait(session, lambda: bad.ended)
    assert bad.errors[0].code == "bad_input" and "outside" in bad.errors[0].message


@pytest.mark.parametrize("change", ["voxels", "grid", "transform", "removed", "closed"])
def test_what_might_be_wrong_is_dropped(session, scene, volume, options, client, change):
    import slicer

    outcome, dropped = Outcome(), []
    session.window(volume, (3, 3, 3), options, *outcome.callbacks())
    wait(session, lambda: outcome.ended)
    entry = session._entry(volume, options)
    entry.whole[options] = outcome.ready[0]  # as if the whole of it had been prepared
    files = sorted(p.name for p in client.folder.iterdir())
    session.add_listener(lambda: dropped.append(1))
    assert session.state(volume, options) == "ready" and files
    if change == "voxels":
        slicer.util.arrayFromVolume(volume)[0, 0, 0] += 1
        slicer.util.arrayFromVolumeModified(volume)
    elif change == "grid":
        volume.SetSpacing(1, 1, 2)
    elif change == "transform":
        matrix = np.eye(4)
        matrix[0, 3] = 5
        volume.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    elif change == "removed":
        scene.RemoveNode(volume)
    else:
        scene.Clear(0)
    assert dropped == [1]
    if change not in ("removed", "closed"):
        assert session.state(volume, options) == "none"
    client.call("ping", timeout_s=10)
    wait(session, lambda: not list(client.folder.iterdir()))


def test_a_change_during_the_run_ends_it_with_a_reason(session, volume, options):
    outcome = Outcome()
    session.prepare(volume, options, *outcome.callbacks())
    volume.SetSpacing(1, 1, 2)
    wait(session, lambda: outcome.ended)
    assert outcome.errors[0].code == "cancelled" and "changed" in outcome.errors[0].message


def test_cancelling_the_last_one_ends_the_work(session, volume, options, client):
    outcome = Outcome()
    ticket = session.prepare(volume, options, *outcome.callbacks())
    ticket.cancel()
    assert outcome.errors[0].code == "cancelled" and session.state(volume, options) == "none"
    wait(session, lambda: not session.busy)
    again = Outcome()
    session.prepare(volume, options, *again.callbacks())
    wait(session, lambda: again.ended)
    assert again.ready


def test_a_volume_that_the_worker_forgot_is_opened_again(session, scene, volume, options, client):
    outcome = Outcome()
    session.window(volume, (3, 3, 3), options, *outcome.callbacks())
    wait(session, lambda: outcome.ended)
    client.call("unload", timeout_s=30)
    again = Outcome()
    session.window(volume, (3, 3, 3), options, *again.callbacks())
    wait(session, lambda: again.ended)
    assert again.ready and not again.errors


def test_bad_input_is_refused_at_once(session, volume, options):
    from Rep3DSegmentationLib.click.entries import ClickOptions
    from Rep3DSegmentationLib.errors import InputError

    with pytest.raises(InputError, match="No volume"):
        session.prepare(None, options)
    with pytest.raises(InputError, match="No task"):
        session.prepare(volume, ClickOptions())
    outcome = Outcome()
    session.prepare(volume, ClickOptions(task="no-such-task"), *outcome.callbacks())
    wait(session, lambda: outcome.ended)
    assert outcome.errors[0].code == "bad_input"


def test_the_end_of_the_worker_is_noticed_and_the_next_click_works(session, volume, options, client):
    import os
    import signal

    outcome, dropped = Outcome(), []
    session.window(volume, (3, 3, 3), options, *outcome.callbacks())
    wait(session, lambda: outcome.ended)
    session.add_listener(lambda: dropped.append(1))
    late = Outcome()
    session.prepare(volume, options, *late.callbacks())
    os.kill(client.pid, signal.SIGKILL)
    wait(session, lambda: late.ended and dropped)
    assert late.errors[0].code == "worker_died" and not session.busy
    again = Outcome()
    session.window(volume, (3, 3, 3), options, *again.callbacks())
    wait(session, lambda: again.ended)
    assert again.ready


def test_only_the_volumes_that_were_used_last_are_remembered(session, scene, options, client):
    """As many as the worker keeps open; nothing of the others is left in the private folder."""
    from Rep3DSegmentationLib.click.session import MOST

    rng = np.random.default_rng(1)
    volumes = [add_volume(rng.normal(100, 20, (12, 13, 14)).astype(np.int16), np.eye(4)) for _ in range(MOST + 1)]

    def click(volume):
        outcome = Outcome()
        session.window(volume, (3, 3, 3), options, *outcome.callbacks())
        wait(session, lambda: outcome.ended)
        assert outcome.ready

    for volume in [*volumes[:MOST], volumes[0], volumes[MOST]]:
        click(volume)
    known = [session._entry(volume, options) is not None for volume in volumes]
    assert known == [True, False, *[True] * (MOST - 1)]
    client.call("ping", timeout_s=10)
    inputs = {entry.exported.array for entry in session._entries.values()}
    answers = {p.name for p in client.folder.iterdir() if p.suffix == ".npy"}
    assert answers == inputs and len(inputs) == MOST
