"""The listing that needs no package says what the worker says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from rep3d import catalog
from rep3d.tasks import list_shipped, load_task
from rep3d.weights import SHIPPED_FOLDER
from rep3d.weights import user_folder as weights_folder


def test_the_listing_of_the_shipped_tasks_is_up_to_date():
    """Otherwise: ``python -m rep3d.catalog``."""
    rows = json.loads(catalog.LISTING.read_text(encoding="utf-8"))
    shipped = [task.to_dict() for task in list_shipped()]
    assert rows == [{name: task[name] for name in catalog.TASK_FIELDS} for task in shipped]


def test_folders_are_those_of_the_backend(monkeypatch):
    from rep3d.tasks.store import own_folder

    for name in ("weights", "tasks"):
        monkeypatch.delenv(f"REP3D_{name.upper()}_DIR", raising=False)
    assert (catalog.user_folder("weights"), catalog.user_folder("tasks")) == (weights_folder(), own_folder())
    monkeypatch.setitem(sys.modules, "platformdirs", None)  # as in a Slicer where nothing was installed
    assert (catalog.user_folder("weights"), catalog.user_folder("tasks")) == (weights_folder(), own_folder())


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's own weights (of a shipped task), a file that is none, and an own task."""
    import yaml

    weights, tasks = tmp_path / "my weights ä", tmp_path / "tasks"
    weights.mkdir()
    tasks.mkdir()
    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(weights))
    monkeypatch.setenv("REP3D_TASKS_DIR", str(tasks))
    shutil.copy(SHIPPED_FOLDER / "openkbp.safetensors", weights)
    (weights / "broken.safetensors").write_bytes(b"\xff" * 40)
    task = load_task("msd-hippocampus").to_dict() | {"key": "mine", "title": "My own task"}
    (tasks / "mine.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    (tasks / "bad.yaml").write_text("key: [", encoding="utf-8")
    return weights


def test_rows_are_those_of_the_worker(own):
    from rep3d import weights_store
    from rep3d.worker import info

    listed, asked = catalog.weights(), weights_store.rows()
    assert [row["file"] for row in listed] == [row["file"] for row in asked]
    for row, other in zip(listed, asked, strict=True):
        assert set(row) == set(other) and bool(row["error"]) == bool(other["error"])
        if not row["error"]:
            same = set(row) - {"sha256"}
            assert {name: row[name] for name in same} == {name: other[name] for name in same}
    assert "broken.safetensors" in listed[0]["error"]
    assert catalog.tasks() == info.tasks(None, None)["tasks"]
    assert [task["title"] for task in catalog.tasks() if task["key"] == "mine"] == ["My own task"]


@pytest.mark.parametrize("header", [b"", b"\xff" * 8, b"[]", b'{"__metadata__": {"rep3d": "null"}}', b"[" * 100_000])
def test_files_that_are_no_weights_have_the_reason(own, header):
    (own / "broken.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert [row["file"] for row in catalog.weights() if row["error"]] == ["broken.safetensors"]


def test_nothing_but_the_standard_library_is_needed():
    code = """
import sys
for name in ("yaml", "platformdirs", "numpy", "torch", "safetensors"):
    sys.modules[name] = None
from rep3d import catalog
print([task["key"] for task in catalog.tasks() if task["weights"]], len(catalog.weights()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("['msd-hippocampus', 'openkbp', 'phantom-abdomen']"), done.stderr
