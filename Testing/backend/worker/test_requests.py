"""Bad requests get an error that says what is wrong, and the worker goes on."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import rep3d
from rep3d.worker import params, protocol

from . import fuzz_lines

IDENTITY = np.eye(4).tolist()


def test_hello(worker):
    hello = worker.call("hello")
    assert hello["protocol"] == protocol.PROTOCOL and hello["rep3d"] == rep3d.__version__
    assert hello["pid"] == worker.process.pid and hello["python"].startswith(f"{sys.version_info[0]}.")
    assert hello["methods"] == list(params.METHODS)
    cpu = hello["devices"][0]
    assert cpu["name"] == "cpu" and 0 < cpu["memory_free"] < cpu["memory_total"]
    assert hello["default_device"] in [device["name"] for device in hello["devices"]]
    assert all(hello[name].count(".") >= 1 for name in ("torch", "numpy"))


def test_every_method_that_is_announced_exists(worker):
    from rep3d.worker.methods import FUNCTIONS

    assert set(params.METHODS) == set(FUNCTIONS) | {"ping", "cancel", "shutdown"}


def test_tasks(worker):
    rows = {row["key"]: row for row in worker.call("tasks")["tasks"]}
    task = rows["msd-hippocampus"]
    assert [label["key"] for label in task["labels"]] == ["anterior-hippocampus", "posterior-hippocampus"]
    assert task["labels"][0]["type"] == ["5366008", "SCT", "Hippocampus"] and len(task["labels"][0]["color"]) == 3
    assert task["modality"] == "MR" and task["patch"] and task["spacing_mm"] and task["purpose"]
    assert task["weights"]["origin"] == "shipped" and os.path.isabs(task["weights"]["path"])
    assert task["weights"]["error"] is None and task["licence"]
    assert rows["kits"]["weights"] is None


def test_malformed_lines(worker):
    for line in (b"\n", b"not json\n", b"\xff\xfe\xfd\n", b"[]\n", b"[" * 50_000 + b"\n", b'{"id": NaN}\n'):
        worker.raw(line)
        message = worker.read()
        assert message["id"] is None and message["error"]["code"] == "bad_request", message
    worker.raw(b'{"id": "me", "method": 3}\n')
    assert worker.read()["id"] == "me"


def test_oversized_lines(worker):
    for size in (protocol.MAX_LINE, protocol.MAX_LINE + 1, 5 * protocol.MAX_LINE + 17):
        worker.raw(b'{"id": 1, "method": "ping", "x": "' + b"a" * size + b'"}\n')
        message = worker.read()
        assert message["id"] is None and "longer" in message["error"]["message"]
    padding = protocol.MAX_LINE - len(b'{"id":5,"method":"ping"}\n')
    worker.raw(b'{"id":5,"method":"ping"' + b" " * padding + b"}\n")
    assert worker.read() == {"id": 5, "result": {}}


VOLUME = {"array": "input.npy", "affine": IDENTITY}
SEGMENT = {"volume": VOLUME, "task": "msd-hippocampus"}


@pytest.mark.parametrize(
    ("method", "given", "word"),
    [
        ("reboot", {}, "no method"),
        ("__class__", {}, "no method"),
        ("hello", {"x": 1}, "unknown parameter x"),
        ("cancel", {}, "target is missing"),
        ("segment", {}, "volume is missing"),
        ("segment", {"volume": VOLUME}, "task or a weights"),
        ("segment", {**SEGMENT, "volume": []}, "volume must be an object"),
        ("segment", {**SEGMENT, "volume": {"array": "input.npy"}}, "volume.affine is missing"),
        ("segment", {**SEGMENT, "volume": {**VOLUME, "spacing": 1}}, "unknown parameter volume.spacing"),
        ("segment", {**SEGMENT, "volume": {**VOLUME, "affine": [[1, 0, 0, 0]]}}, "volume.affine must be a list of 4"),
        ("segment", {**SEGMENT, "volume": {**VOLUME, "affine": [[1, 0, 0, "0"]] * 4}}, "must be a number"),
        ("segment", {**SEGMENT, "overlap": "0.5"}, "overlap must be a number"),
        ("segment", {**SEGMENT, "overlap": True}, "overlap must be a number"),
        ("segment", {**SEGMENT, "batch": "8"}, "batch must be a whole number"),
        ("segment", {**SEGMENT, "tta": 1}, "tta must be true or false"),
        ("segment", {**SEGMENT, "device": None}, "device must be text"),
        ("segment", {**SEGMENT, "structures": []}, "structures must be a list"),
        ("segment", {**SEGMENT, "structures": [1]}, "must be text"),
        ("segment", {**SEGMENT, "weights": "relative.safetensors"}, "absolute path"),
        ("segment", {**SEGMENT, "roi": [0, 1, 0, 1, 0, 1]}, "roi must be an object"),
        ("segment", {**SEGMENT, "roi": {"matrix": IDENTITY, "size_mm": [1, 2]}}, "list of 3"),
        ("inspect", {"path": "/a\0b"}, "must be text"),
        ("erf", {"volume": VOLUME, "task": "kits", "at_ijk": [0, 0, 0.5]}, "whole number"),
        ("erf", {"volume": VOLUME, "task": "kits", "at_ijk": [0, 0, 1 << 40]}, "whole number"),
    ],
)
def test_wrong_params(worker, method, given, word):
    assert word in worker.fails(method, "bad_request", given)["message"]


@pytest.mark.parametrize(
    "name",
    ["../secret.npy", "/etc/passwd", "..", ".", "a/b.npy", "a\\b.npy", "C:x.npy", "input.txt", ".hidden.npy", "x.npy\n",
     "missing.npy", "link.npy", "folder.npy", "con.npy:stream", "é.npy", "a" * 200 + ".npy"],
)  # fmt: skip
def test_nothing_outside_the_folder_is_read(worker, tmp_path, name):
    np.save(tmp_path / "secret.npy", np.zeros((4, 4, 4)))
    np.save(worker.folder.parent / "secret.npy", np.zeros((4, 4, 4)))
    link, folder = worker.folder / "link.npy", worker.folder / "folder.npy"
    link.symlink_to(tmp_path / "secret.npy")
    folder.mkdir()
    try:
        error = worker.fails("segment", "bad_request", {**SEGMENT, "volume": {**VOLUME, "array": name}})
    finally:
        folder.rmdir()
    assert "secret" not in error["message"] or name == "../secret.npy"


def test_damaged_arrays(worker):
    path = worker.folder / "input.npy"
    np.save(path, np.zeros((20, 20, 20)))
    whole = path.read_bytes()
    for data in (b"", b"\x93NUMPY", whole[:-8], b"PK\x03\x04" + whole, b"not an array"):
        path.write_bytes(data)
        assert "input.npy" in worker.fails("segment", "bad_request", SEGMENT)["message"]
    np.save(path, np.array([[[{}]]], dtype=object), allow_pickle=True)
    assert "mapped" in worker.fails("segment", "bad_request", SEGMENT)["message"]


@pytest.mark.parametrize(
    ("array", "affine", "word"),
    [
        (np.zeros((20, 20)), np.eye(4), "2 dimensions"),
        (np.zeros((20, 20, 20, 3)), np.eye(4), "4 dimensions"),
        (np.zeros((20, 20, 1)), np.eye(4), "single slice"),
        (np.zeros((20, 20, 20), complex), np.eye(4), "real numbers"),
        (np.zeros((20, 20, 20), [("a", "u1")]), np.eye(4), "real numbers"),
        (np.zeros((20, 20, 20)), np.eye(4), "every voxel is 0"),
        (np.full((20, 20, 20), np.nan), np.eye(4), "finite"),
        (np.ones((20, 20, 20)), np.diag([1.0, 1, 0, 1]), "voxel size"),
        (np.ones((20, 20, 20)), np.diag([1.0, 1, 1, 2]), "last row"),
        (np.ones((20, 20, 20)), np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "right angles"),
    ],
)
def test_volumes_that_cannot_be_segmented(worker, array, affine, word):
    volume = worker.put(array, affine=affine)
    error = worker.fails("segment", "bad_input", {**SEGMENT, "volume": volume})
    assert "head" in error["message"] and word in error["message"]


@pytest.mark.parametrize(
    ("given", "code", "word"),
    [
        ({"task": "spleens"}, "bad_input", "no task"),
        ({"task": "../../etc/x"}, "bad_input", "not the key"),
        ({"task": "kits"}, "weights_missing", "kits"),
        ({"task": None, "weights": os.path.abspath("nothing.safetensors")}, "weights_missing", "nothing"),
        ({"task": None, "weights": os.path.abspath(__file__)}, "weights_invalid", "test_requests"),
        ({"overlap": 0.95}, "bad_input", "overlap"),
        ({"batch": 0}, "bad_input", "at once"),
        ({"device": "abacus"}, "bad_input", "abacus"),
        ({"device": "cuda:97"}, "device_unavailable", "cuda:97"),
        ({"precision": "float3"}, "bad_input", "float3"),
        ({"structures": ["liver"]}, "bad_input", "liver"),
        ({"roi": {"matrix": IDENTITY, "size_mm": [1, 0, 1]}}, "bad_input", "empty"),
        ({"roi": {"matrix": np.diag([0.0, 1, 1, 1]).tolist(), "size_mm": [1, 1, 1]}}, "bad_input", "inverted"),
        (
            {"roi": {"matrix": (np.eye(4) + np.eye(4, k=3) * 900).tolist(), "size_mm": [9, 9, 9]}},
            "bad_input",
            "outside",
        ),
    ],
)
def test_options_that_do_not_fit(worker, head, given, code, word):
    worker.put(head)
    error = worker.fails("segment", code, {**SEGMENT, **given})
    assert word in error["message"]
    assert "--" not in error["hint"]  # the reader has a panel, no command line
    assert worker.files() == {"input.npy"}


def test_weights_of_another_task(worker, head):
    worker.put(head)
    path = next(row["path"] for row in worker.call("models")["weights"] if row["task"] == "openkbp")
    error = worker.fails("segment", "weights_invalid", {**SEGMENT, "weights": path})
    assert "openkbp" in error["message"] and "msd-hippocampus" in error["message"]


def test_cancelling_nothing(worker):
    assert worker.call("cancel", target="no such request") == {"cancelled": False}


def test_lines_at_random(worker):
    """Each gets one answer, none is a fault of ours, and the worker goes on."""
    for line in fuzz_lines.lines(seed=7, count=60):
        worker.raw(line)
        message = worker.end_of_any()
        assert message.get("error", {}).get("code") != "internal", (line[:300], message)
    assert worker.call("tasks")["tasks"]


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices in folders are POSIX")
def test_what_is_no_file_is_bad_input(worker, tmp_path):
    pipe, long = tmp_path / "a.nii.gz", "/" + "x" * 300 + ".nii.gz"
    os.mkfifo(pipe)
    for path in (str(pipe), "/dev/zero", long):
        error = worker.fails("segment_files", "bad_input", inputs=[path], output=str(tmp_path), task="msd-hippocampus")
        assert path in error["message"]
        worker.fails("inspect", "bad_input", path=path)
