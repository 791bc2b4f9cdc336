"""``open``, ``prepare``, ``window``, ``forget``: called as the server calls them, without the process around."""

from __future__ import annotations

import numpy as np
import pytest
from rep3d.errors import BadInput, Cancelled
from rep3d.probability_map import ProbabilityMap
from rep3d.worker import click, params, protocol, segment
from rep3d.worker.job import Job
from rep3d.worker.protocol import ProtocolError
from rep3d.worker.warm import WarmModels

from ..fused_weights import checkpoint, weights_file

__all__ = ["checkpoint", "weights_file"]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "rep3d-1-abc"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(scope="module")
def models():
    return WarmModels()


@pytest.fixture
def call(folder, models):
    """call(function, method, cancel_after=n, **params) -> result."""

    def run(function, method, cancel_after=None, **values):
        messages = []
        job = Job(protocol.Request(1, method, params.check(method, values)), folder, messages.append)
        if cancel_after is not None:
            calls = []
            job.cancelled = lambda: len(calls) >= cancel_after or calls.append(1)
        try:
            return function(job, models)
        except BaseException:
            job.drop_outputs()
            raise

    return run


@pytest.fixture
def spec(folder):
    """A left-handed, anisotropic volume [i, j, k] in the folder."""
    rng = np.random.default_rng(0)
    array = np.asfortranarray(rng.normal(100, 30, (40, 34, 52)).astype(np.int16))
    np.save(folder / "in1.npy", array)
    affine = [[0, 1.1, 0, 5], [0.8, 0, 0, -7], [0, 0, 0.9, 3], [0, 0, 0, 1]]
    return {"array": "in1.npy", "affine": affine}


@pytest.fixture
def opened(call, spec, weights_file):
    return call(click.open_volume, "open", volume=spec, task="msd-hippocampus", weights=str(weights_file))


def test_prepare_gives_what_segment_gives_and_its_probabilities(call, folder, spec, opened, weights_file):
    whole = call(click.prepare, "prepare", key=opened["key"])
    plain = call(segment.segment, "segment", volume=spec, weights=str(weights_file))
    labels = np.load(folder / whole["labels"])
    np.testing.assert_array_equal(labels, np.load(folder / plain["labels"]))
    assert labels.any() and opened["shape"] == [40, 34, 52] and whole["cached"] in (True, False)
    assert whole["stats"] == plain["stats"] and [d["value"] for d in opened["label_info"]] == [1, 2]
    found = ProbabilityMap(folder / whole["probabilities"])
    dense = np.zeros((3, *labels.shape))
    for c in found.classes:
        values, first = found.read(c)
        dense[(c, *(slice(f, f + n) for f, n in zip(first, values.shape)))] = values / 255
    dense[0] = 1 - dense[1:].sum(0)
    chosen = np.take_along_axis(dense, labels[None].astype(int), 0)[0]
    assert (chosen >= dense.max(0) - 3 / 255).all()


def test_a_window_answers_around_its_voxel_and_needs_no_preparing(call, folder, opened):
    part = call(click.window, "window", key=opened["key"], at_ijk=[20, 17, 26])
    assert "labels" not in part and part["settings"]["network_box"] != part["settings"]["network_grid"]
    found = ProbabilityMap(folder / part["probabilities"])
    assert found.shape == (40, 34, 52)
    with pytest.raises(BadInput, match="outside"):
        call(click.window, "window", key=opened["key"], at_ijk=[40, 0, 0])


def test_forget_removes_the_files_and_the_key(call, folder, models, opened):
    call(click.prepare, "prepare", key=opened["key"])
    call(click.window, "window", key=opened["key"], at_ijk=[1, 2, 3])
    call(click.forget, "forget", key=opened["key"])
    call(click.forget, "forget", key=opened["key"])
    assert [p.name for p in folder.iterdir()] == ["in1.npy"]
    with pytest.raises(ProtocolError, match="no volume is open"):
        call(click.prepare, "prepare", key=opened["key"])


def test_only_a_few_volumes_stay_open(call, spec, weights_file, opened):
    keys = [call(click.open_volume, "open", volume=spec, weights=str(weights_file))["key"] for _ in range(4)]
    with pytest.raises(ProtocolError, match="no volume is open"):
        call(click.window, "window", key=opened["key"], at_ijk=[1, 2, 3])
    assert call(click.window, "window", key=keys[0], at_ijk=[1, 2, 3])["probabilities"]


def test_only_the_newest_patches_stay(call, folder, models, opened):
    """Many clicks in local mode must not fill the disk; the whole volume's files are not touched."""
    from rep3d.worker.open_volumes import MOST_PATCHES

    whole = call(click.prepare, "prepare", key=opened["key"])
    names = [
        call(click.window, "window", key=opened["key"], at_ijk=[20, 17, 20 + n])["probabilities"]
        for n in range(MOST_PATCHES + 2)
    ]
    left = {p.name for p in folder.iterdir()}
    assert [name in left for name in names] == [False, False, *[True] * MOST_PATCHES]
    assert [f"{name}.json" in left for name in names] == [name in left for name in names]
    assert whole["labels"] in left and whole["probabilities"] in left
    call(click.forget, "forget", key=opened["key"])
    assert [p.name for p in folder.iterdir()] == ["in1.npy"]


def test_cancelling_leaves_no_files(call, folder, opened):
    before = sorted(p.name for p in folder.iterdir())
    with pytest.raises(Cancelled):
        call(click.prepare, "prepare", cancel_after=4, key=opened["key"])
    assert sorted(p.name for p in folder.iterdir()) == before


def test_changed_weights_need_the_volume_opened_again(call, tmp_path, spec, weights_file):
    import os
    import shutil

    own = tmp_path / "own.safetensors"
    shutil.copy(weights_file, own)
    key = call(click.open_volume, "open", volume=spec, weights=str(own))["key"]
    from rep3d.weights import load_weights, save_weights

    weights = load_weights(own)
    changed = {name: tensor * 1.01 for name, tensor in weights.tensors.items()}
    save_weights(own, changed, weights.meta)
    os.utime(own, ns=(1, 1))
    with pytest.raises(ProtocolError, match="weights have changed"):
        call(click.window, "window", key=key, at_ijk=[1, 2, 3])
