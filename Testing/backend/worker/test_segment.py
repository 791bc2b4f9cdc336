"""``segment``, ``estimate`` and ``segment_files`` through the pipe give what the pipeline gives, or stop cleanly."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.volume import Geometry, Volume, to_sitk
from rep3d.inference.pipeline import segment_with_weights
from rep3d.inference.region import Region
from rep3d.runtime import packages
from rep3d.weights import find_weights, load_weights

from .conftest import BACKEND, Driver

TASK = "msd-hippocampus"


@pytest.fixture(scope="module")
def weights():
    return load_weights(find_weights(TASK))


@pytest.fixture(autouse=True)
def same_algorithm(monkeypatch):
    monkeypatch.setenv("REP3D_CONV_ALGORITHM", "fft")  # as in the worker, so that not one voxel may differ


def oblique() -> np.ndarray:
    """Left-handed, turned, 1.1 x 0.9 x 1.3 mm."""
    c, s = np.cos(0.3), np.sin(0.3)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, -c, -s], [1, 0, 0], [0, -s, c]]) @ np.diag([-1.1, 0.9, 1.3])
    affine[:3, 3] = 12, -30, 7
    return affine


def test_the_same_voxels_as_without_a_worker(worker, head, weights):
    volume = worker.put(head, affine=oblique())
    events = []
    message = worker.end(worker.send("segment", volume=volume, task=TASK, overlap=0.25), events)
    result = message["result"]
    labels = worker.take(result["labels"])
    direct = segment_with_weights(Volume(head, oblique()), weights, overlap=0.25)
    np.testing.assert_array_equal(labels, direct.labelmap)
    assert labels.dtype == np.uint8 and labels.flags.f_contiguous and labels.any()
    assert [s["voxels"] for s in result["stats"]] == [s.voxels for s in direct.stats]
    assert [s["mean"] for s in result["stats"]] == [s.mean for s in direct.stats]
    assert result["settings"]["overlap"] == 0.25 and result["settings"]["device"].startswith("cpu")
    assert result["weights"]["sha256"] == weights.sha256 and result["task"] == TASK
    assert [label["value"] for label in result["label_info"]] == [1, 2]
    events = [e for e in events if e["event"] == "progress"]
    fractions = [e["fraction"] for e in events]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    total = int(next(e["stage"] for e in events if "window" in e["stage"]).split(" of ")[1].rstrip(")"))
    assert total > 1 and sum("window" in e["stage"] for e in events) >= total - 1
    assert worker.files() == {"input.npy"}


def test_segmenting_takes_the_core_packages_alone(head, weights, tmp_path):
    """As in 3D Slicer: every package of the extras is blocked, MONAI first of all."""
    blocked = {packages.MODULES.get(name, name) for item in packages.PURPOSES.values() for name in item.packages}
    assert {"monai", "matplotlib", "openvino"} <= blocked
    site = tmp_path / "site" / "sitecustomize.py"
    site.parent.mkdir()
    site.write_text(f"import sys\nsys.modules.update(dict.fromkeys({sorted(blocked)!r}))\n", encoding="utf-8")
    worker = Driver(tmp_path, env={"PYTHONPATH": os.pathsep.join([str(site.parent), str(BACKEND)])})
    try:
        small = np.asfortranarray(head[:30, :40, :30])
        result = worker.call("segment", volume=worker.put(small, affine=oblique()), task=TASK, overlap=0.0)
        labels = worker.take(result["labels"])
    finally:
        worker.close()
    direct = segment_with_weights(Volume(small, oblique()), weights, overlap=0.0)
    np.testing.assert_array_equal(labels, direct.labelmap)
    assert labels.any()


@pytest.mark.skipif(not os.environ.get("REP3D_DATA"), reason="REP3D_DATA is not set")
def test_a_real_hippocampus(worker):
    """The first two test cases of the data set, drawn by an expert: Dice of both parts."""
    root = Path(os.environ["REP3D_DATA"]) / "open" / "hippocampus"
    images = sorted((root / "images").glob("*.nii*"))
    labels = sorted((root / "labels").glob("*.nii*"))
    for i in (4, 9):  # every fifth was never trained on
        image = sitk.ReadImage(str(images[i]))
        array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
        volume = worker.put(array, affine=Geometry.from_sitk(image).affine_ras)
        found = worker.take(worker.call("segment", volume=volume, task=TASK)["labels"])
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(labels[i]))).transpose(2, 1, 0)
        for value in (1, 2):
            a, b = found == value, truth == value
            assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.75


def test_the_model_stays_warm(worker, small):
    volume = worker.put(small)
    worker.call("unload")
    runs = []
    for task in (TASK, TASK, None):  # by task, again, and by file
        path = None if task else str(find_weights(TASK))
        runs.append(worker.call("segment", volume=volume, task=task, weights=path))
        worker.take(runs[-1]["labels"])
    assert [run["cached"] for run in runs] == [False, True, True]
    assert runs[1]["timings_s"]["load"] < runs[0]["timings_s"]["load"] / 3
    worker.call("unload")
    assert not worker.call("segment", volume=volume, task=TASK)["cached"]


def test_options_reach_the_run(worker, head, weights):
    volume = worker.put(head)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]
    turn[:3, 3] = 25, 30, 25
    roi = {"matrix": turn.tolist(), "size_mm": [30, 20, 24]}
    keys = ["posterior-hippocampus"]
    result = worker.call("segment", volume=volume, task=TASK, roi=roi, structures=keys, tta=True, overlap=0)
    direct = segment_with_weights(
        Volume(head, np.eye(4)), weights, roi=Region.from_box(turn, (30, 20, 24)), structures=keys, tta=True, overlap=0
    )
    np.testing.assert_array_equal(worker.take(result["labels"]), direct.labelmap)
    assert result["settings"]["roi_mm_ras"] == roi and result["settings"]["tta"] == "shift"
    assert [s["key"] for s in result["stats"]] == keys == [label["key"] for label in result["label_info"]]


def test_not_finite_voxels_are_told(worker, small):
    holes = small.copy()
    holes[3:5, 4, 5] = np.nan, np.inf
    result = worker.call("segment", volume=worker.put(holes), task=TASK, overlap=0)
    assert any("2 voxels" in warning for warning in result["warnings"])


def test_integers_in_c_order(worker, small):
    whole = np.ascontiguousarray(small.astype(">i2"))
    result = worker.call("segment", volume=worker.put(whole), task=TASK, overlap=0)
    assert worker.take(result["labels"]).shape == whole.shape


@pytest.mark.skipif(sys.platform != "linux", reason="maps of another process can be read on Linux only")
def test_inputs_are_let_go_before_the_end_is_told(worker, small):
    """Windows cannot delete a file that is mapped, and the program deletes its inputs when it hears of the end."""

    def mapped() -> bool:
        with open(f"/proc/{worker.process.pid}/maps", encoding="utf-8") as maps:
            return "input.npy" in maps.read()

    volume = worker.put(small)
    worker.call("segment", volume=volume, task=TASK)
    assert not mapped()
    worker.call("erf", volume=volume, task=TASK, at_ijk=[9, 9, 9])
    assert not mapped()
    worker.fails("segment", "bad_input", volume=volume, task=TASK, overlap=7)
    assert not mapped()
    id = worker.send("segment", many_windows(worker, small))
    while "window" not in worker.read().get("stage", ""):
        pass
    assert mapped()
    cancel = worker.send("cancel", target=id)
    ends = set()
    while len(ends) < 2:
        message = worker.read()
        if "event" not in message:
            ends.add(message["id"])
            if message["id"] == id:
                assert not mapped()
    assert ends == {id, cancel}


def many_windows(worker, head):
    return {"volume": worker.put(np.tile(head, (3, 2, 2))), "task": TASK, "overlap": 0.6}


def test_cancel_stops_within_a_window_and_leaves_nothing(worker, head):
    id = worker.send("segment", many_windows(worker, head))
    while "window 2 of" not in worker.read().get("stage", ""):
        pass
    cancel = worker.send("cancel", target=id)
    after = []
    while "error" not in (message := worker.read()):
        after.append(message)
    assert message["id"] == id and message["error"]["code"] == "cancelled"
    assert {"id": cancel, "result": {"cancelled": True}} in after
    assert sum("event" in m for m in after) <= 2
    assert worker.files() == {"input.npy"}
    assert worker.call("segment", volume=worker.put(head), task=TASK, overlap=0)["cached"]


def test_ping_is_answered_while_a_job_runs_and_waiting_jobs_can_be_cancelled(worker, head):
    first = worker.send("segment", many_windows(worker, head))
    second = worker.send("hello")
    third = worker.send("hello")
    ping = worker.send("ping")
    cancels = [worker.send("cancel", target=third), worker.send("cancel", target=first)]
    ends = worker.ends(6)
    order = list(ends)
    assert order.index(ping) < order.index(first) < order.index(second)
    assert ends[first]["error"]["code"] == ends[third]["error"]["code"] == "cancelled"
    assert all(ends[c]["result"] == {"cancelled": True} for c in cancels)
    assert "result" in ends[second]


def test_an_id_cannot_be_used_twice_at_once(worker, head):
    first = worker.send("segment", many_windows(worker, head))
    worker.raw(b'{"id": %d, "method": "hello"}\n' % first)
    while "error" not in (message := worker.read()):
        pass
    assert message["id"] == first and message["error"]["code"] == "bad_request"
    cancel = worker.send("cancel", target=first)
    ends = worker.ends(2)
    assert ends[first]["error"]["code"] == "cancelled" and ends[cancel]["result"]["cancelled"]


def test_estimate(worker, head):
    grid = {"shape": [300, 260, 280], "affine": oblique().tolist()}
    whole = worker.call("estimate", volume=grid, task=TASK)
    assert whole["windows"] > 100 and whole["seconds"] > 1 and whole["device"] == "cpu"
    assert "window" in whole["basis"] and whole["memory_free_bytes"] > 0 and whole["device_memory_bytes"] is None
    box = oblique()
    box[:3, 3] = (oblique() @ [150, 130, 140, 1])[:3]
    part = worker.call("estimate", volume=grid, task=TASK, roi={"matrix": box.tolist(), "size_mm": [40, 40, 40]})
    assert part["windows"] < whole["windows"] / 10 and part["memory_bytes"] < whole["memory_bytes"]
    views = worker.call("estimate", volume=grid, task=TASK, tta=True)
    assert views["views"] == 3 and views["seconds"] > 1.5 * whole["seconds"]
    less = worker.call("estimate", volume=grid, task=TASK, overlap=0)
    assert less["windows"] < whole["windows"] / 3 and less["memory_bytes"] == whole["memory_bytes"]
    volume = worker.put(head)
    small = worker.call("estimate", volume={"shape": list(head.shape), "affine": volume["affine"]}, task=TASK)
    run = worker.call("segment", volume=volume, task=TASK)
    assert run["cached"]  # the estimate has warmed it
    worker.take(run["labels"])
    assert small["windows"] == 4 and 0.1 < run["timings_s"]["network"] / small["seconds"] < 10


def test_a_volume_too_large_is_refused_before_it_is_touched(worker):
    shape = (7000, 7000, 7000)
    np.lib.format.open_memmap(worker.folder / "input.npy", mode="w+", dtype=np.uint8, shape=shape)  # a hole of 343 GB
    volume = {"array": "input.npy", "affine": np.eye(4).tolist(), "name": "head"}
    error = worker.fails("segment", "out_of_memory", volume=volume, task=TASK)
    assert "head" in error["message"] and "ROI" in error["hint"] and "no memory" in error["hint"]
    estimate = worker.call("estimate", volume={"shape": list(shape), "affine": volume["affine"]}, task=TASK)
    assert estimate["memory_bytes"] > estimate["memory_free_bytes"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process can be set on Linux only")
def test_an_allocation_that_fails_is_out_of_memory(worker, head):
    import resource

    pid = worker.process.pid
    volume = worker.put(np.tile(head, (8, 6, 6)))  # 170 MB as float32
    with open(f"/proc/{pid}/statm", encoding="ascii") as stream:
        in_use = int(stream.read().split()[0]) * resource.getpagesize()
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (in_use + (250 << 20), before[1]))
    try:
        error = worker.fails("segment", "out_of_memory", volume=volume, task=TASK)
        assert "memory" in error["message"] and "ROI" in error["hint"]
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
    assert worker.files() == {"input.npy"}
    assert worker.call("segment", volume=worker.put(head[:48, :, :48]), task=TASK)["stats"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process can be set on Linux only")
def test_a_full_disk_is_output_failed(worker, small):
    import resource

    volume = worker.put(small)
    before = resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (20_000, before[1]))  # bytes a file
    try:
        error = worker.fails("segment", "output_failed", volume=volume, task=TASK, overlap=0)
    finally:
        resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, before)
    assert str(worker.folder) in error["message"] and "free" in error["hint"]
    assert worker.files() == {"input.npy"}


@pytest.fixture
def scans(tmp_path, head):
    folder = tmp_path / "scans ü"
    folder.mkdir()
    for name in ("a", "b"):
        sitk.WriteImage(to_sitk(head, Geometry.from_affine(oblique(), head.shape)), str(folder / f"{name}.nrrd"))
    (folder / "broken.nii").write_bytes(b"no image")
    return folder


def test_a_folder_of_scans(worker, scans, tmp_path, head, weights):
    ask = {"inputs": [str(scans)], "output": str(tmp_path / "out"), "format": "nrrd", "task": TASK, "overlap": 0}
    events = []
    message = worker.end(worker.send("segment_files", ask), events)
    outcomes = {o["source"][len(str(scans)) + 1 :]: o for o in message["result"]["outcomes"]}
    assert {name: o["status"] for name, o in outcomes.items()} == {
        "a.nrrd": "done", "b.nrrd": "done", "broken.nii": "failed",
    }  # fmt: skip
    assert outcomes["broken.nii"]["error"]["code"] == "bad_input"
    logs = [e for e in events if e["event"] == "log"]
    assert [e["level"] for e in logs] == ["info", "info", "warning"] and "broken.nii" in logs[2]["message"]
    fractions = [e["fraction"] for e in events if e["event"] == "progress"]
    assert fractions == sorted(fractions) and any("scan 2 of 3, b.nrrd" in e.get("stage", "") for e in events)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(outcomes["a.nrrd"]["labels"])).transpose(2, 1, 0)
    direct = segment_with_weights(Volume(head, oblique()), weights, overlap=0)
    np.testing.assert_array_equal(labels, direct.labelmap)
    assert outcomes["a.nrrd"]["stats"][0]["voxels"] == direct.stats[0].voxels
    again = worker.call("segment_files", ask)["outcomes"]
    assert [o["status"] for o in again] == ["skipped", "skipped", "failed"]


def test_cancelling_a_folder_keeps_what_is_finished(worker, scans, tmp_path):
    out = tmp_path / "out"
    ask = {"inputs": [str(scans)], "output": str(out), "task": TASK, "overlap": 0.8}
    id = worker.send("segment_files", ask)
    while "scan 2 of 3, b.nrrd: segmenting" not in json.dumps(worker.read()):
        pass
    cancel = worker.send("cancel", target=id)
    ends = worker.ends(2)
    assert ends[cancel]["result"]["cancelled"] and ends[id]["error"]["code"] == "cancelled"
    assert {p.name for p in out.iterdir()} == {"a_seg.nii.gz", "a_seg.json", "a_seg.csv"}


def test_a_gpu_that_fails_in_a_batch(scans, tmp_path, monkeypatch):
    """Every scan after it is told so, what is finished is reported, and the server hears that it must end."""
    from rep3d.worker import params, protocol, segment_files
    from rep3d.worker.job import Job
    from rep3d.worker.warm import WarmModels

    def fail(volume, *_, **__):
        raise RuntimeError("CUDA error: device-side assert triggered\nmore")

    monkeypatch.setattr(segment_files, "segment_with_weights", fail)
    ask = {"inputs": [str(scans)], "output": str(tmp_path / "out"), "task": TASK}
    sent = []
    job = Job(protocol.Request(1, "segment_files", params.check("segment_files", ask)), tmp_path, sent.append)
    outcomes = segment_files.segment_files(job, WarmModels())["outcomes"]
    assert [o["error"]["code"] for o in outcomes] == ["device_unavailable", "device_unavailable", "bad_input"]
    assert "device-side assert" in outcomes[0]["error"]["message"] and job.device_lost


def test_folders_that_cannot_be_used(worker, scans, tmp_path):
    ask = {"inputs": [str(scans)], "output": str(scans / "a.nrrd"), "task": TASK}
    assert "no folder" in worker.fails("segment_files", "bad_input", ask)["message"]
    ask["output"] = str(tmp_path / "out.nrrd")
    assert "no folder" in worker.fails("segment_files", "bad_input", ask)["message"]
    ask |= {"output": str(tmp_path / "out"), "format": "jpg"}
    assert "jpg" in worker.fails("segment_files", "bad_input", ask)["message"]
    ask |= {"format": "nrrd", "inputs": [str(tmp_path / "nothing")]}
    assert "nothing" in worker.fails("segment_files", "bad_input", ask)["message"]
    ask["inputs"] = ["relative"]
    worker.fails("segment_files", "bad_request", ask)
