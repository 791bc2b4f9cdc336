"""A prepared volume: segmented again without preparing, one patch around a voxel, and probabilities beside labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rep3d.data.volume import Volume
from rep3d.errors import BadInput, Cancelled
from rep3d.inference.pipeline import segment_prepared, segment_volume
from rep3d.inference.prepared import prepare
from rep3d.inference.run import Run
from rep3d.probability_map import ProbabilityMap

from .test_pipeline import grids

PATCH = (16, 16, 16)


def ready(volume, task):
    return prepare(volume, task, patch=PATCH, spacing_mm=(1.0, 1.0, 1.0), intensity=task.intensity)


def test_segmented_again_without_preparing(scan, small_task, threshold):
    prepared = ready(scan, small_task)
    whole = segment_volume(scan, threshold, small_task, device="cpu").labelmap
    for _ in range(2):
        run = Run()
        again = segment_prepared(prepared, threshold, small_task, patch=PATCH, device="cpu", run=run)
        np.testing.assert_array_equal(again.labelmap, whole)
        assert "prepare" not in run.timings


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grids(), st.data())
def test_one_window_answers_for_the_voxel_it_is_made_around(small_task, threshold, grid, data):
    """On any grid the window holds the voxel, and its labels there are those of the whole volume."""
    affine, size = grid
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    volume = Volume(rng.choice([-1000.0, 60.0, 95.0], size).astype(np.float32), affine)
    prepared = ready(volume, small_task)
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in size)
    threshold.windows = 0
    part = segment_prepared(prepared.around(voxel, PATCH), threshold, small_task, patch=PATCH, device="cpu")
    assert threshold.windows == 1
    whole = segment_prepared(prepared, threshold, small_task, patch=PATCH, device="cpu")
    # The threshold network looks at one voxel at a time, so one window knows as much as all of them.
    # Its own border rows are interpolated without their neighbours; 5 mm around the voxel are well inside.
    near = [np.abs(np.arange(n) - v) * s < 5 for n, v, s in zip(size, voxel, volume.spacing_mm)]
    np.testing.assert_array_equal(part.labelmap[np.ix_(*near)], whole.labelmap[np.ix_(*near)])


def test_voxels_outside_the_volume_are_refused(scan, small_task):
    prepared = ready(scan, small_task)
    for voxel in ((-1, 0, 0), (24, 0, 0), (0, 0, 20)):
        with pytest.raises(BadInput, match="outside the volume"):
            prepared.around(voxel, PATCH)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grids(), st.integers(0, 999))
def test_probabilities_lie_where_the_labels_lie(tmp_path_factory, small_task, threshold, grid, seed):
    """On any grid, flipped axes included: the largest probability at a voxel is that of its label."""
    affine, size = grid
    rng = np.random.default_rng(seed)
    volume = Volume(rng.choice([-1000.0, 20.0, 60.0, 95.0], size).astype(np.float32), affine)
    path = tmp_path_factory.mktemp("p") / "p.bin"
    result = segment_volume(volume, threshold, small_task, device="cpu", probabilities=path)
    plain = segment_volume(volume, threshold, small_task, device="cpu")
    read = ProbabilityMap(path)
    dense = np.zeros((3, *size))
    for c in read.classes:
        values, first = read.read(c)
        dense[(c, *(slice(f, f + n) for f, n in zip(first, values.shape)))] = values / 255
    dense[0] = 1 - dense[1:].sum(0)
    chosen, other = (np.take_along_axis(dense, r.labelmap[None].astype(int), 0)[0] for r in (result, plain))
    assert (chosen >= dense.max(0) - 3 / 255).all()
    differs = result.labelmap != plain.labelmap  # only where two classes tie to the last bits of a float
    assert differs.mean() < 1e-3 and (np.abs(chosen - other)[differs] <= 3 / 255).all()


def test_a_cancelled_run_leaves_no_probabilities(tmp_path, scan, small_task, threshold):
    calls = []
    with pytest.raises(Cancelled):
        segment_volume(
            scan,
            threshold,
            small_task,
            device="cpu",
            probabilities=tmp_path / "p",
            cancelled=lambda: len(calls) > 3 or calls.append(1),
        )
    assert list(tmp_path.iterdir()) == []
