"""The weights methods through the pipe: what is installed, what a user adds, replaces, downloads and removes."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rep3d.weights import SHIPPED_FOLDER, load_weights, save_weights

from ..weights.published import serve

SHIPPED = SHIPPED_FOLDER / "msd-hippocampus.safetensors"


@pytest.fixture
def home(worker, worker_home):
    """The folders of the worker; the user's weights and the manifest are emptied afterwards."""
    yield worker_home
    shutil.rmtree(worker_home / "weights", ignore_errors=True)
    (worker_home / "manifest.json").write_text('{"version": 1, "weights": []}', encoding="utf-8")


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A user's own weights: two of the hippocampus, one of a task that Rep3D does not know. Tiny and untrained."""
    from rep3d.networks import create_network

    folder = tmp_path_factory.mktemp("mine")
    meta = load_weights(SHIPPED).meta
    own = replace(meta.task, key="my-own-task", title="My own task")
    for seed, (name, task) in enumerate({"better": meta.task, "other": meta.task, "own": own}.items()):
        torch.manual_seed(seed)
        network = create_network("rep3d-tiny", in_channels=1, out_channels=3, deployed=True)
        tiny = replace(meta, id=name, task=task, network=network.spec, patch=(48, 64, 48))
        save_weights(folder / f"{name}.safetensors", network.state_dict(), tiny)
    return folder


def test_what_is_installed(worker, home):
    models = worker.call("models")
    assert models["folder"] == str(home / "weights") and models["available"] == []
    row = next(row for row in models["weights"] if row["task"] == "msd-hippocampus")
    assert row["path"] == str(SHIPPED) and row["file"] == SHIPPED.name and row["origin"] == "shipped"
    assert row["task_title"] and row["licence"] and row["training"]["steps"] and row["error"] is None
    assert worker.call("inspect", path=str(SHIPPED)) == row


def test_files_that_are_no_weights(worker, home, tmp_path):
    damaged = tmp_path / "damaged ü.safetensors"
    damaged.write_bytes(SHIPPED.read_bytes()[:5000])
    for method in ("inspect", "import_weights"):
        assert "damaged ü" in worker.fails(method, "weights_invalid", path=str(damaged))["message"]
        worker.fails(method, "weights_missing", path=str(tmp_path / "none"))
        worker.fails(method, "bad_request", path="relative.safetensors")
    assert not (home / "weights").exists()


def test_import_use_replace_remove(worker, home, mine, small):
    volume = worker.put(small)
    row = worker.call("import_weights", path=str(mine / "better.safetensors"))
    assert row["origin"] == "user" and row["id"] == "better"
    assert row["path"] == str(home / "weights" / "msd-hippocampus.safetensors")
    task = next(t for t in worker.call("tasks")["tasks"] if t["key"] == "msd-hippocampus")
    marks = {"demo_only": False, "expected_region": "hippocampus"}
    assert task["weights"] == {"path": row["path"], "id": "better", "origin": "user", "error": None, **marks}
    run = worker.call("segment", volume=volume, task="msd-hippocampus")
    assert run["weights"]["id"] == "better" and not run["cached"]
    worker.take(run["labels"])
    run = worker.call("segment", volume=volume, task="msd-hippocampus")
    assert run["weights"]["id"] == "better" and run["cached"]
    worker.take(run["labels"])
    changed = Path(row["path"]).with_name("new")  # by another program, which the worker must notice
    shutil.copyfile(mine / "other.safetensors", changed)
    changed.replace(row["path"])
    run = worker.call("segment", volume=volume, task="msd-hippocampus")
    assert run["weights"]["id"] == "other" and not run["cached"]
    worker.take(run["labels"])
    shutil.copyfile(mine / "better.safetensors", changed)
    changed.replace(row["path"])
    worker.fails("import_weights", "bad_input", path=str(mine / "other.safetensors"))
    assert worker.call("import_weights", path=str(mine / "other.safetensors"), replace=True)["id"] == "other"
    run = worker.call("segment", volume=volume, task="msd-hippocampus")
    assert run["weights"]["id"] == "other" and run["weights"]["file"] == row["path"]
    worker.take(run["labels"])
    assert worker.call("remove_weights", path=row["path"]) == {}
    worker.fails("remove_weights", "weights_missing", path=row["path"])
    worker.fails("remove_weights", "bad_input", path=str(SHIPPED))
    assert not Path(row["path"]).exists() and SHIPPED.exists()


def test_weights_for_a_task_of_ones_own(worker, home, mine, small):
    worker.call("import_weights", path=str(mine / "own.safetensors"))
    task = next(t for t in worker.call("tasks")["tasks"] if t["key"] == "my-own-task")
    assert task["title"] == "My own task" and task["weights"]["id"] == "own" and len(task["labels"]) == 2
    run = worker.call("segment", volume=worker.put(small), task="my-own-task")
    assert run["task"] == "my-own-task"
    worker.take(run["labels"])


def test_a_damaged_file_in_the_users_folder_is_told(worker, home):
    (home / "weights").mkdir()
    (home / "weights" / "msd-hippocampus.safetensors").write_bytes(b"half a file")
    row = worker.call("models")["weights"][0]
    assert row["origin"] == "user" and "msd-hippocampus.safetensors" in row["error"] and row["sha256"] is None
    task = next(t for t in worker.call("tasks")["tasks"] if t["key"] == "msd-hippocampus")
    assert task["weights"]["error"] and task["weights"]["id"] is None


def test_download(worker, home, mine):
    data = (mine / "own.safetensors").read_bytes()
    with serve(data) as site:
        entry = {
            "id": "own", "task": "my-own-task", "url": site.url, "bytes": len(data), "licence": "CC0",
            "sha256": hashlib.sha256(data).hexdigest(), "description": "Mine",
        }  # fmt: skip
        manifest = {"version": 1, "weights": [entry]}
        (home / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        assert worker.call("models")["available"] == [entry]
        site.pause_s = 0.5
        id = worker.send("download_weights", id="own")
        while "downloading" not in worker.read().get("stage", ""):
            pass
        cancel = worker.send("cancel", target=id)
        ends = worker.ends(2)
        assert ends[cancel]["result"]["cancelled"] and ends[id]["error"]["code"] == "cancelled"
        (part,) = (home / "weights").iterdir()
        assert 0 < part.stat().st_size < len(data)
        site.pause_s = 0
        row = worker.call("download_weights", id="own")
        assert row["id"] == "own" and site.asked[-1].startswith("bytes=") and Path(row["path"]).read_bytes() == data
        assert worker.call("models")["available"] == []
        worker.fails("download_weights", "bad_input", id="other")


def test_a_manifest_of_ones_own_that_is_wrong_hides_nothing(worker, home):
    (home / "manifest.json").write_text("{", encoding="utf-8")
    events = []
    models = worker.end(worker.send("models"), events)["result"]
    assert models["weights"] and models["available"] == []
    assert events[0]["level"] == "warning" and "manifest.json" in events[0]["message"]
