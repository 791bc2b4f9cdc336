"""Batches, windows of one value and too little memory change how windows are computed, never what comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rep3d.data.volume import Volume
from rep3d.errors import BadInput, Cancelled, OutOfMemory, Rep3DError
from rep3d.inference.feeder import Feeder, check_batch, is_constant
from rep3d.inference.pipeline import segment_volume
from rep3d.inference.windows import iterate_slabs
from torch import nn

PATCH = (8, 8, 8)


class Blur(nn.Module):
    """Three classes by convolutions that look around and at the border, and count what they were asked."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.InstanceNorm3d(6), nn.Conv3d(6, 3, 5, padding=2))
        self.batches: list[int] = []

    def forward(self, x_BCDHW):
        self.batches.append(len(x_BCDHW))
        return self.net(x_BCDHW)


@pytest.fixture
def blur() -> Blur:
    return Blur().eval()


def sums(feeder, x, overlap=0.5, axis=0):
    with torch.no_grad():
        return torch.cat([s.clone() for _, s in iterate_slabs(feeder, x, PATCH, overlap, axis=axis)], dim=1)


@st.composite
def volumes(draw):
    """A small volume [1, X, Y, Z] of noise, mostly emptied: in blocks, of one or of two values."""
    size = draw(st.tuples(*[st.integers(3, 30)] * 3))
    x = torch.rand(1, *size, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    for value in (0.0, 1.0)[: draw(st.integers(1, 2))]:
        low = [draw(st.integers(0, n - 1)) for n in size]
        high = [draw(st.integers(a + 1, n)) for a, n in zip(low, size)]
        x[(0, *(slice(a, b) for a, b in zip(low, high)))] = value
    return x


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(volumes(), st.sampled_from([0.0, 0.5, 0.7]), st.integers(0, 2))
def test_skipping_changes_no_bit(blur, x, overlap, axis):
    plain, skipping = Feeder(blur), Feeder(blur, skip_constant=True)
    blur.batches.clear()
    expected = sums(plain, x, overlap, axis)
    every = len(blur.batches)
    blur.batches.clear()
    assert torch.equal(sums(skipping, x, overlap, axis), expected)
    assert plain.skipped == 0 and plain.windows == skipping.windows == every
    assert len(blur.batches) == every - skipping.skipped


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(volumes(), st.integers(1, 9), st.booleans(), st.integers(0, 2))
def test_the_batch_changes_nothing_but_rounding(blur, x, batch, skip, axis):
    feeder = Feeder(blur, batch=batch, skip_constant=skip)
    blur.batches.clear()
    found = sums(feeder, x, axis=axis)
    assert max(blur.batches) <= batch and sum(blur.batches) == feeder.windows - feeder.skipped
    torch.testing.assert_close(found, sums(Feeder(blur), x, axis=axis), atol=1e-5, rtol=1e-5)


def test_what_counts_as_constant():
    x = torch.zeros(1, 4, 4, 4)
    assert is_constant(x) and is_constant(x + 0.3)
    for voxel in ((0, 0, 0, 0), (0, 3, 3, 3), (0, 1, 0, 2)):
        other = x.clone()
        other[voxel] = 1e-7  # however little: noise in the air of an MR is no air that can be left out
        assert not is_constant(other)
    assert not is_constant(torch.full((1, 2, 2, 2), torch.nan))
    assert not is_constant(torch.stack([torch.zeros(2, 2, 2), torch.ones(2, 2, 2)]))  # two channels


def test_air_in_a_scan_is_computed_once(scan, small_task, blur):
    """An L-shaped body: cropping to its box leaves air in a corner. Labels are the same, and the counts are told."""
    array = np.full((60, 60, 16), -1000.0, np.float32)
    rng = np.random.default_rng(0)
    array[:12], array[:, :12] = rng.uniform(0, 100, (12, 60, 16)), rng.uniform(0, 100, (60, 12, 16))
    volume, task = Volume(array, np.eye(4)), replace(small_task, patch=PATCH)
    plain = segment_volume(volume, blur, task, device="cpu", batch=1, skip_empty=False)
    skipped = segment_volume(volume, blur, task, device="cpu", batch=1)
    np.testing.assert_array_equal(plain.labelmap, skipped.labelmap)
    assert plain.settings["windows_skipped"] == 0
    assert skipped.settings["windows"] == plain.settings["windows"]
    assert skipped.settings["windows_skipped"] > 0.4 * skipped.settings["windows"]
    assert skipped.settings["batch"] == 1


@pytest.mark.parametrize(("patch", "size"), [((48, 48, 48), 2), ((48, 48, 49), 1)])
def test_auto_takes_two_small_windows_on_a_processor(patch, size):
    cpu = torch.device("cpu")
    assert Feeder(nn.Identity(), cpu, "auto", patch=patch).size == size
    assert Feeder(nn.Identity(), cpu, 5, patch=patch).size == 5
    assert Feeder(nn.Identity(), torch.device("mps"), "auto", patch=patch).size == 1


@pytest.mark.parametrize("axes", [(), (0, 2)])
def test_views_of_a_batch(scan, small_task, blur, axes):
    options = {"tta": True, "mirror_axes": axes, "device": "cpu"}
    one, many = (segment_volume(scan, blur, small_task, batch=n, **options) for n in (1, "3"))
    assert many.settings["batch"] == 3
    assert (one.labelmap != many.labelmap).mean() < 1e-3  # ties alone


@pytest.mark.parametrize(
    "failure", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory")]
)
def test_too_large_a_batch_is_halved_and_told(scan, small_task, blur, failure):
    def tight(x_BCDHW):
        if len(x_BCDHW) > 2:
            raise failure
        return blur(x_BCDHW)

    result = segment_volume(scan, tight, small_task, device="cpu", batch=8)
    plain = segment_volume(scan, blur, small_task, device="cpu")
    assert result.settings["batch"] == 2
    assert any("8 windows at once did not fit the memory of cpu: 2 were run" in w for w in result.warnings)
    assert (result.labelmap != plain.labelmap).mean() < 1e-3
    assert max(blur.batches) == 2


def test_one_window_that_does_not_fit_is_an_error(scan, small_task):
    def none(x_BCDHW):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(OutOfMemory):
        segment_volume(scan, none, small_task, device="cpu", batch=4)


@pytest.mark.parametrize("value", [0, -1, "0", "many", 1.5, "1.5", True, None])
def test_unusable_batches(scan, small_task, threshold, value):
    with pytest.raises(BadInput, match="at once"):
        check_batch(value)
    with pytest.raises(BadInput, match="at once"):
        segment_volume(scan, threshold, small_task, device="cpu", batch=value)
    assert threshold.windows == 0


def test_cancelling_waits_for_one_batch(scan, small_task, threshold):
    with pytest.raises(Cancelled):
        segment_volume(scan, threshold, small_task, device="cpu", batch=4, cancelled=lambda: threshold.windows >= 1)
    assert threshold.windows == 1


def test_the_last_batch_is_checked_too():
    def net(x_BCDHW):
        return torch.where(x_BCDHW > 0.5, torch.nan, x_BCDHW)

    x = torch.rand(1, 8, 8, 20, generator=torch.Generator().manual_seed(0)) / 2
    x[0, 4, 4, 19] = 1.0
    with pytest.raises(Rep3DError, match="not finite"):
        sums(Feeder(net, batch=2), x)
