"""One volume through the pipeline: the right voxels, on exactly the input's grid, or a clear error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rep3d.data.volume import Volume
from rep3d.errors import BadInput, Cancelled, DeviceUnavailable, OutOfMemory, WeightsInvalid
from rep3d.inference import pipeline
from rep3d.inference.pipeline import segment_volume
from rep3d.tasks import Intensity
from scipy.spatial.transform import Rotation


@st.composite
def grids(draw):
    """Affine and size of a volume of some 30 to 60 mm in any orientation, oblique up to 35 degrees about each axis."""
    size = draw(st.tuples(*[st.integers(8, 40)] * 3))
    spacing = [draw(st.floats(30, 60)) / n for n in size]
    permutation = np.eye(3)[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    rotation = Rotation.from_rotvec(draw(st.tuples(*[st.floats(-0.6, 0.6)] * 3))).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ permutation * spacing
    affine[:3, 3] = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    return affine, size


def world(affine, size):
    index = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grids(), st.tuples(*[st.floats(0.8, 2.5)] * 3), st.floats(0, 0.5))
def test_ball_is_found_on_any_grid(small_task, threshold, grid, spacing_mm, overlap):
    """A ball with a soft edge, off centre: every voxel away from the edge gets the right label."""
    affine, size = grid
    points = world(affine, size)
    centre = affine[:3, :3] @ (np.array(size) * [0.4, 0.55, 0.5]) + affine[:3, 3]
    outside = np.linalg.norm(points - centre, axis=-1) - 9.0
    ramp = 100 * (0.5 - outside / 40)  # linear in the distance, so that 50 HU is the surface
    volume = Volume(ramp.astype(np.float32), affine)
    result = segment_volume(volume, threshold, small_task, spacing_mm=spacing_mm, overlap=overlap, device="cpu")
    assert result.labelmap.shape == size and result.labelmap.dtype == np.uint8
    slack = 0.75 * np.linalg.norm(np.maximum(spacing_mm, np.sort(volume.spacing_mm)[-1]))
    found = result.labelmap == 1
    assert np.all(
        found[(outside < -slack) & (outside > -9)] | (result.labelmap[(outside < -slack) & (outside > -9)] == 2)
    )
    assert not np.any(result.labelmap[outside > slack])


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grids(), st.sampled_from([0, 1, 2]), st.sampled_from([-1, 1]))
def test_network_sees_right_anterior_superior(small_task, grid, axis, sign):
    """Intensity grows towards one direction of the patient; the network says along which of its axes, and which way."""
    affine, size = grid
    task = replace(small_task, labels=tuple(replace(small_task.labels[0], value=i, key=f"k{i}") for i in range(1, 7)))
    volume = Volume((sign * world(affine, size)[..., axis]).astype(np.float32), affine)

    def net(x_BCDHW):
        x = x_BCDHW[0, 0]
        slopes = [torch.diff(x, dim=d).sum() for d in range(3)]
        scores = torch.stack([torch.zeros(()), *[s * w for s in slopes for w in (1, -1)]])
        return scores.view(1, 7, 1, 1, 1).expand(1, 7, *x.shape)

    result = segment_volume(volume, net, task, intensity=Intensity(None, (0, 100)), device="cpu")
    assert set(np.unique(result.labelmap)) == {1 + 2 * axis + (sign < 0)}


def test_exact_without_resampling(scan, small_task, threshold):
    result = segment_volume(scan, threshold, small_task, device="cpu")
    expected = np.select([scan.array > 80, scan.array > 50], [2, 1], 0)
    np.testing.assert_array_equal(result.labelmap, expected)
    one, two = result.stats
    assert (one.voxels, two.voxels) == ((expected == 1).sum(), (expected == 2).sum())
    assert one.volume_ml == pytest.approx(one.voxels / 1000)
    assert (one.mean, one.sd) == (pytest.approx(60), pytest.approx(0, abs=1e-6))
    assert two.mean == pytest.approx(95)
    assert set(result.timings_s) == {"prepare", "engine", "network", "map back", "measure"}


def test_air_is_cropped_off(small_task, threshold):
    array = np.full((120, 40, 40), -1000.0, np.float32)
    array[70:80, 15:25, 15:25] = 60
    result = segment_volume(Volume(array, np.eye(4)), threshold, small_task, device="cpu")
    np.testing.assert_array_equal(result.labelmap, array > 0)
    (low, high), *_ = result.settings["network_box"]
    assert low <= 70 and high >= 80 and high - low < 40
    assert threshold.windows < 40


@pytest.mark.parametrize("size", [(5, 40, 9), (2, 3, 4), (17, 16, 15)])
def test_smaller_than_the_patch(small_task, threshold, size):
    array = np.random.default_rng(0).uniform(0, 100, size).astype(np.float32)
    result = segment_volume(Volume(array, np.eye(4)), threshold, small_task, device="cpu")
    np.testing.assert_array_equal(result.labelmap > 0, array > 50)


def test_roi(scan, small_task, threshold):
    roi = (10.0, 14.5, -100.0, 100.0, 6.0, 12.0)
    whole = segment_volume(scan, threshold, small_task, device="cpu").labelmap
    part = segment_volume(scan, threshold, small_task, roi=roi, device="cpu").labelmap
    inside = np.zeros(scan.shape, bool)
    inside[10:15, :, 6:13] = True
    np.testing.assert_array_equal(part, np.where(inside, whole, 0))
    with pytest.raises(BadInput, match="outside the volume"):
        segment_volume(scan, threshold, small_task, roi=(500, 600, 0, 10, 0, 10), device="cpu")
    with pytest.raises(BadInput, match="empty"):
        segment_volume(scan, threshold, small_task, roi=(10, 5, 0, 10, 0, 10), device="cpu")


def test_structures(scan, small_task, threshold):
    key = small_task.labels[1].key
    result = segment_volume(scan, threshold, small_task, structures=(key,), device="cpu")
    assert set(np.unique(result.labelmap)) == {0, 2}
    assert [s.key for s in result.stats] == [key]
    with pytest.raises(BadInput, match="no structure nonsense"):
        segment_volume(scan, threshold, small_task, structures=("nonsense",), device="cpu")


def test_averaging_views_keeps_a_pointwise_answer(scan, small_task, threshold):
    """Shifted and mirrored views agree for a network that looks at single voxels."""
    plain = segment_volume(scan, threshold, small_task, device="cpu").labelmap
    for axes in [(), (0,), (0, 1, 2)]:
        threshold.windows = 0
        result = segment_volume(scan, threshold, small_task, tta=True, mirror_axes=axes, device="cpu")
        np.testing.assert_array_equal(result.labelmap, plain)
        assert result.settings["tta"] == ("mirror" if axes else "shift")


def test_mirroring_is_undone_along_the_right_axis():
    from rep3d.inference.tta import mirrored, shifted

    def net(x_BCDHW):  # the slope along x: odd under mirroring, so that it must average to zero
        return torch.diff(x_BCDHW, dim=2, append=x_BCDHW[:, :, -1:])

    x = torch.arange(16.0).view(1, 1, 16, 1, 1).expand(1, 1, 16, 16, 16)
    assert mirrored(net, (0,))(x)[0, 0, 5, 5, 5] == 0
    assert mirrored(net, (1, 2))(x)[0, 0, 5, 5, 5] == 1
    assert shifted(net)(x)[0, 0, 8, 8, 8] == 1


def test_progress_is_monotone_and_ends_at_one(scan, small_task, threshold):
    seen = []
    segment_volume(scan, threshold, small_task, device="cpu", progress=lambda f, stage: seen.append((f, stage)))
    fractions = [f for f, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert any("window 1 of" in stage for _, stage in seen)


def test_cancelling_stops_between_windows(scan, small_task, threshold):
    with pytest.raises(Cancelled):
        segment_volume(scan, threshold, small_task, device="cpu", cancelled=lambda: threshold.windows >= 3)
    assert threshold.windows == 3


def test_nothing_found_is_told(scan, small_task):
    def nothing(x):
        return torch.cat([torch.ones_like(x), -torch.ones_like(x), -torch.ones_like(x)], 1)

    result = segment_volume(scan, nothing, small_task, device="cpu")
    assert not result.labelmap.any() and [s.voxels for s in result.stats] == [0, 0]
    assert any("Nothing was found" in w for w in result.warnings)
    assert result.stats[0].mean is None


def test_wrong_number_of_classes(scan, small_task):
    with pytest.raises(WeightsInvalid, match="2 classes"):
        segment_volume(scan, lambda x: torch.cat([x, x], 1), small_task, device="cpu")


def test_devices(scan, small_task, threshold):
    if not torch.cuda.is_available():
        with pytest.raises(DeviceUnavailable, match="cuda:0"):
            segment_volume(scan, threshold, small_task, device="cuda:0")
    with pytest.raises(BadInput, match="abacus"):
        segment_volume(scan, threshold, small_task, device="abacus")
    with pytest.raises(BadInput, match="float99"):
        segment_volume(scan, threshold, small_task, precision="float99", device="cpu")
    result = segment_volume(scan, threshold, small_task, device="cpu", precision="bfloat16")
    assert result.settings["precision"] == "bfloat16" and result.settings["device"].startswith("cpu")


def test_more_gpus_than_there_are(monkeypatch, scan, small_task, threshold):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceUnavailable, match="only 1 GPU"):
        segment_volume(scan, threshold, small_task, device="cuda:3")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")],
)
def test_running_out_of_memory(scan, small_task, error):
    def net(x):
        raise error

    with pytest.raises(OutOfMemory) as raised:
        segment_volume(scan, net, small_task, device="cpu")
    assert raised.value.hint


def test_huge_volumes_are_refused_before_work(small_task, threshold):
    """Metre-sized voxels on a 1 mm grid would need terabytes: the estimate says so at once."""
    array = np.random.default_rng(0).uniform(0, 100, (30, 30, 30)).astype(np.float32)
    volume = Volume(array, np.diag([1000.0, 1000, 1000, 1]))
    with pytest.raises(OutOfMemory, match="GiB"):
        segment_volume(volume, threshold, small_task, device="cpu")
    assert threshold.windows == 0


def test_other_errors_are_not_hidden(scan, small_task):
    def net(x):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        segment_volume(scan, net, small_task, device="cpu")


def modality_words(task, array):
    return " ".join(pipeline.checks.modality_warnings(Volume(array, np.eye(4)), task))


def test_modality_warnings(small_task):
    rng = np.random.default_rng(0)
    hu = rng.uniform(-1000, 1200, (40, 40, 40)).astype(np.float32)
    assert modality_words(small_task, hu) == ""
    assert "no voxel is below 0" in modality_words(small_task, hu + 1024)
    assert "another modality" in modality_words(small_task, hu / 2000)
    mr = replace(small_task, modality="MR")
    assert "look like CT" in modality_words(mr, hu)
    assert modality_words(mr, hu + 1024) == ""


def test_a_field_of_view_that_no_patient_has_is_told():
    thin, usual = (Volume(np.zeros(shape, np.float32), np.eye(4)) for shape in ((3, 40, 40), (40, 40, 40)))
    assert "measures 3 x 40 x 40 mm: check the voxel size" in pipeline.checks.size_warnings(thin)[0]
    assert pipeline.checks.size_warnings(usual) == []


def test_network_is_left_in_evaluation_mode_and_float32(scan, small_task):
    seen = []

    class Net(torch.nn.Module):
        def forward(self, x):
            seen.append((self.training, x.dtype, torch.is_grad_enabled()))
            return torch.cat([x, -x, -x], 1)

    segment_volume(scan, Net().train(), small_task, device="cpu")
    assert set(seen) == {(False, torch.float32, False)}
