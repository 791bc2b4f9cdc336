"""From the mouse to the voxels with nothing known beforehand: the real worker, shipped weights, real scans."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import slicer

from .world import Bench, add_transform, add_volume, component

TASK = "msd-hippocampus"
MINUTES = 300.0


@pytest.fixture
def real_session(registered, monkeypatch):
    """A worker of its own for the whole file's session and client, on the CPU."""
    import Rep3DSegmentationLib.click.session as session_module
    import Rep3DSegmentationLib.session as client_module
    import SegmentEditorRep3DLib.catalog as catalog_module
    from Rep3DSegmentationLib.client import WorkerClient

    client = WorkerClient(environment={"OMP_NUM_THREADS": "2"})
    monkeypatch.setattr(client_module, "_client", client)
    monkeypatch.setattr(session_module, "_session", None)
    monkeypatch.setattr(catalog_module, "_store", None)
    yield client
    session_module.close_session()
    client.stop()


@pytest.fixture
def scan() -> tuple[np.ndarray, np.ndarray]:
    """A test case of the Decathlon's hippocampus: image [X, Y, Z] and 4x4 to RAS."""
    data = os.environ.get("REP3D_DATA")
    if not data:
        pytest.skip("set REP3D_DATA to the folder of scans")
    import SimpleITK as sitk

    folder = Path(data) / "open" / "hippocampus" / "images"
    image = sitk.ReadImage(str(sorted(folder.glob("*.nii.gz"))[4]))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@pytest.fixture
def constant_weights(tmp_path) -> tuple[Path, float]:
    """A network whose answer is known: everywhere its first structure, with the same probability; file and that."""
    from dataclasses import replace

    import torch
    from rep3d.networks import create_network
    from rep3d.tasks import Intensity, load_task
    from rep3d.weights import WeightsMeta, save_weights

    base = load_task("openkbp")
    task = replace(
        base, labels=base.labels[:2], spacing_mm=(1.0,) * 3, patch=(32,) * 3, intensity=Intensity((0, 100), None)
    )
    net = create_network("rep3d-tiny", in_channels=1, out_channels=3, deployed=True)
    logits = torch.tensor([0.0, 1.5, -1.0])
    tensors = {name: torch.zeros_like(value) for name, value in net.state_dict().items()}
    tensors["decoder.out.conv.conv.bias"] = logits
    meta = WeightsMeta(
        id="constant",
        task=task,
        network=net.spec,
        patch=task.patch,
        spacing_mm=task.spacing_mm,
        intensity=task.intensity,
        training={},
        data_sha256="",
        created="2026-01-01T00:00:00+00:00",
        rep3d_version="0.1.0",
        licence="CC0-1.0",
    )
    path = tmp_path / "constant ä.safetensors"
    save_weights(path, tensors, meta)
    return path, float(torch.softmax(logits, 0)[1])


def make(host, new_editor, array, affine, transform=None) -> Bench:
    editor, node = new_editor()
    volume = add_volume(array, affine, transform)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    bench = Bench(host, editor, node, volume, segmentation, None, np.zeros(array.shape, np.uint8), affine)
    bench.add_segment()
    editor.setActiveEffectByName("Rep3D")
    bench.effect = editor.activeEffect().self()
    editor.activeEffect().setParameter("Task", TASK)
    editor.activeEffect().setParameter("Device", "cpu")
    return bench


def test_a_click_in_a_real_scan(slicer_host, real_session, new_editor, scan):
    from Rep3DSegmentationLib.click.session import get_session

    array, affine = scan
    turned = add_transform([[0.8, -0.6, 0, 12], [0.6, 0.8, 0, -7], [0, 0, 1, 30], [0, 0, 0, 1]])
    bench = make(slicer_host, new_editor, array, affine, turned)
    middle = tuple(n // 2 for n in array.shape)
    bench.host.click_slice("Red", bench.ras(middle))
    slicer_host.wait_until(lambda: bench.effect.controller.preparation.progress is None, MINUTES)
    assert bench.effect.panel.task_combo.currentText != "", "the tasks came from the worker"
    known = get_session().prepared(bench.volume, bench.effect.controller.settings.options)
    bench.labels = np.array(np.load(known._labels))
    voxel = tuple(np.argwhere(bench.labels == 1).mean(0).round().astype(int))
    if bench.labels[voxel] != 1:
        voxel = tuple(np.argwhere(bench.labels == 1)[0])
    bench.editor.undo()
    bench.effect.scriptedEffect.setParameter("AllOfClass", 0)
    bench.host.click_slice("Green", bench.ras(voxel))
    taken = bench.mask()
    assert taken[voxel] and bench.segment().GetName() == "Anterior hippocampus"
    agreement = 2 * (taken & (bench.labels == 1)).sum() / (taken.sum() + component(bench.labels, voxel).sum())
    assert agreement > 0.95, "at a threshold of 0.5 the click takes nearly what the label map has"
    bench.host.hover_slice("Green", bench.ras(voxel))
    assert bench.effect.label.text.startswith("Anterior hippocampus")
    bench.effect.fillAll()
    assert bench.segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_an_answer_that_is_known_beforehand_from_end_to_end(slicer_host, real_session, new_editor, constant_weights):
    """An oblique, left-handed volume of odd size: every voxel to its corners, with the network's own probability."""
    path, probability = constant_weights
    affine = np.array([[-0.8, 0.5, 0.1, 20], [0.6, 0.9, 0.0, -30], [0.0, 0.1, -2.1, 11], [0, 0, 0, 1.0]])
    affine[:3, :3] = np.linalg.qr(affine[:3, :3])[0] * (1.1, 0.9, 2.2) * (1, -1, 1)
    array = np.random.default_rng(0).integers(0, 100, (23, 31, 12)).astype(np.int16)
    moved = add_transform([[0.8, 0, -0.6, 12], [0, 1, 0, -7], [0.6, 0, 0.8, 30], [0, 0, 0, 1]])
    bench = make(slicer_host, new_editor, array, affine, moved)
    bench.editor.activeEffect().setParameter("Task", "openkbp")
    bench.editor.activeEffect().setParameter("Weights", str(path))
    corner = (0, 30, 0)
    text = bench.effect.clickAt(bench.ras(corner))
    assert bench.mask().all(), text
    for voxel in (corner, (22, 0, 11), (11, 15, 6)):
        assert bench.effect.hoverAt(bench.ras(voxel))[1] == pytest.approx(probability, abs=1 / 255)
    bench.editor.activeEffect().setParameter("Threshold", round(probability, 2) + 0.02)
    assert bench.effect.hoverAt(bench.ras(corner)) is None
    assert "less than the threshold" in bench.effect.clickAt(bench.ras(corner))


def test_local_mode_and_the_death_of_the_worker(slicer_host, real_session, new_editor):
    """Without scans: noise with a bright block; only what happens around the answer is checked."""
    rng = np.random.default_rng(0)
    array = rng.normal(100, 20, (24, 26, 22)).astype(np.int16)
    bench = make(slicer_host, new_editor, array, np.diag([-1.0, 1.0, 1.2, 1.0]))
    bench.editor.activeEffect().setParameter("Mode", "local")
    text = bench.effect.clickAt(bench.ras((12, 13, 11)), "add")
    assert any(words in text for words in ("Background", "less than the threshold", "voxels")), text
    assert not bench.effect.controller.preparation.busy
    bench.editor.activeEffect().setParameter("Mode", "volume")
    bench.effect.clickAt(bench.ras((12, 13, 11)), "add", wait=False)
    slicer_host.wait_until(lambda: bench.effect.controller.preparation.running, MINUTES)
    process = real_session._child.process
    process.kill()
    slicer_host.wait_until(lambda: not bench.effect.controller.preparation.running, MINUTES)
    assert "unexpectedly" in bench.effect.statusText()
    assert bench.effect.controller.state == "none" and not bench.effect.panel.fill_button.enabled
