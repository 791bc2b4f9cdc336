"""The real worker with the shipped weights on real scans, and pictures of what it found."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
from Rep3DSegmentationLib.client import WorkerClient
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.logic import Rep3DLogic
from Rep3DSegmentationLib.replacing import tag
from Rep3DSegmentationLib.run import SegmentOptions
from Rep3DSegmentationLib.segmentations import show_3d

sys.path.insert(0, str(Path(__file__).parent))
from geometries import rotation

HIPPOCAMPUS = "msd-hippocampus"


@pytest.fixture(scope="module")
def real_client():
    client = WorkerClient(environment={"OMP_NUM_THREADS": "1"})
    yield client
    client.stop()


@pytest.fixture(scope="module")
def hippocampus() -> tuple[Path, Path]:
    """Image and truth of a test case that was never trained on."""
    if not os.environ.get("REP3D_DATA"):
        pytest.skip("REP3D_DATA is not set: no real scans")
    folder = Path(os.environ["REP3D_DATA"]) / "open" / "hippocampus"
    image = sorted((folder / "images").iterdir())[4]
    return image, folder / "labels" / image.name


@pytest.fixture
def scan(core, scene, hippocampus):
    """The case as a volume node, loaded by Slicer's own reader."""
    return core.logics["volumes"].AddArchetypeVolume(str(hippocampus[0]), "hippocampus")


def truth_XYZ(hippocampus) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(hippocampus[1]))).transpose(2, 1, 0)


def labels_on(volume, node) -> np.ndarray:
    labels = np.zeros(volume.GetImageData().GetDimensions(), np.uint8)
    for index in range(node.GetSegmentation().GetNumberOfSegments()):
        segment_id = node.GetSegmentation().GetNthSegmentID(index)
        labels[slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).transpose(2, 1, 0) > 0] = index + 1
    return labels


def dice(a, b) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_hippocampus_is_found_where_it_is(real_client, scan, hippocampus):
    seen = []
    logic = Rep3DLogic(real_client)
    node = logic.segment(scan, task=HIPPOCAMPUS, progress=lambda *values: seen.append(values))
    labels, truth = labels_on(scan, node), truth_XYZ(hippocampus)
    assert dice(labels == 1, truth == 1) > 0.8 and dice(labels == 2, truth == 2) > 0.8
    segment = node.GetSegmentation().GetNthSegment(0)
    assert segment.GetName() == "Anterior hippocampus" and "255549009" in tag(segment, "TerminologyEntry")
    stats = logic.lastResult.stats
    assert [row["voxels"] for row in stats] == [(labels == 1).sum(), (labels == 2).sum()]
    intensities = slicer.util.arrayFromVolume(scan).transpose(2, 1, 0)
    assert stats[0]["mean"] == pytest.approx(intensities[labels == 1].mean(), rel=1e-6)
    assert "cpu" in logic.lastResult.device.lower() and seen[-1][0] == pytest.approx(1.0)


def test_result_does_not_depend_on_a_turned_parent_transform_and_a_left_handed_grid(
    real_client, scan, hippocampus, make_transform, make_volume
):
    """The same scan stored mirrored and placed by transforms: the same voxels must come out."""
    logic = Rep3DLogic(real_client)
    plain = labels_on(scan, logic.segment(scan, task=HIPPOCAMPUS))
    from Rep3DSegmentationLib.grids import Grid

    array = slicer.util.arrayFromVolume(scan).transpose(2, 1, 0)
    affine = Grid.of(scan).affine
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = array.shape[0] - 1
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = rotation((0.5, -0.4, 2.0)), (30, -50, 12)
    # the grid is turned by the inverse, the transforms turn it back: in the world it is where it was
    other = make_volume(
        array[::-1].copy(), np.linalg.inv(turn) @ affine @ flip, parent=make_transform(turn), name="mirrored"
    )
    node = logic.segment(other, task=HIPPOCAMPUS)
    found = labels_on(other, node)[::-1]
    assert dice(found == 1, plain == 1) > 0.99 and dice(found == 2, plain == 2) > 0.99


def test_roi_limits_the_result(real_client, scan, scene):
    logic = Rep3DLogic(real_client)
    everything = labels_on(scan, logic.segment(scan, task=HIPPOCAMPUS))
    bounds = [0.0] * 6
    scan.GetRASBounds(bounds)
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "half")
    middle = [(bounds[2 * a] + bounds[2 * a + 1]) / 2 for a in range(3)]
    size = [bounds[2 * a + 1] - bounds[2 * a] + 20 for a in range(3)]
    roi.SetCenter(middle[0], middle[1] + size[1] / 2, middle[2])  # the front half
    roi.SetSize(*size)
    part = labels_on(scan, logic.segment(scan, task=HIPPOCAMPUS, roiNode=roi))
    assert 0 < (part > 0).sum() < (everything > 0).sum()
    from Rep3DSegmentationLib.grids import Grid

    where = np.argwhere(part > 0) @ Grid.of(scan).affine[:3, :3].T + Grid.of(scan).affine[:3, 3]
    assert where[:, 1].min() >= middle[1] - 1e-3


def test_cancel_the_real_worker_and_go_on(real_client, scan, scene):
    logic, errors = Rep3DLogic(real_client), []
    run = logic.start(scan, SegmentOptions(task=HIPPOCAMPUS, tta=True, overlap=0.9), on_error=errors.append)
    run.cancel()
    end = time.monotonic() + 30
    while run.running and time.monotonic() < end:
        real_client.poll()
        time.sleep(0.01)
    assert run.state == "cancelled" and errors[0].code == "cancelled"
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert [path.name for path in real_client.folder.iterdir()] == []


def test_errors_of_the_real_worker_have_codes_and_hints(real_client, scan, tmp_path):
    logic = Rep3DLogic(real_client)
    with pytest.raises(WorkerError) as error:
        logic.segment(scan, task="openkbp", weights=logic_weights(logic, HIPPOCAMPUS))
    assert error.value.code == "weights_invalid" and error.value.hint
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not weights")
    with pytest.raises(WorkerError) as error:
        logic.segment(scan, task=HIPPOCAMPUS, weights=str(damaged))
    assert error.value.code == "weights_invalid" and "damaged" in error.value.message
    with pytest.raises(WorkerError) as error:
        logic.segment(scan, task=HIPPOCAMPUS, device="cuda:7")
    assert error.value.code == "device_unavailable"
    with pytest.raises(WorkerError) as error:
        logic.segment(scan, task="no-such-task")
    assert error.value.code == "bad_input" and "no-such-task" in error.value.message
    assert real_client.is_running()


def logic_weights(logic, task: str) -> str:
    return next(row["path"] for row in logic.models()["weights"] if row["task"] == task)


def test_estimate_takes_what_the_layer_sends(real_client, scan):
    estimate = Rep3DLogic(real_client).estimate(scan, SegmentOptions(task=HIPPOCAMPUS))
    assert estimate["windows"] == 1 and estimate["memory_bytes"] > 0


def test_pictures_show_the_result(real_client, core, scan):
    from slicerhost.views import render_3d, render_slice, rendering_problem

    if rendering_problem():
        pytest.skip(rendering_problem())
    node = Rep3DLogic(real_client).segment(scan, task=HIPPOCAMPUS)
    orange, blue = (238, 122, 60), (80, 150, 230)
    plain, over = render_slice(core, scan, None, "Sagittal"), render_slice(core, scan, node, "Sagittal")
    assert plain.shape == over.shape == (512, 512, 3)
    assert np.array_equal(plain[..., 0], plain[..., 2]) and plain.max() > 100  # grey, and not black
    coloured = np.abs(over.astype(int) - plain).max(axis=2) > 20
    assert 0.005 < coloured.mean() < 0.4
    show_3d(node, True)
    picture = render_3d(core, node, background=(1, 1, 1)).astype(float)
    for colour in (orange, blue):  # shaded, so that only the hue is compared
        unit = np.array(colour) / np.linalg.norm(colour)
        cosine = picture @ unit / np.maximum(np.linalg.norm(picture, axis=2), 1)
        assert (cosine > 0.985).mean() > 0.01
