"""`rep3d tasks`, `models` and `doctor`: numbers against their sources, exit codes, damage found."""

from __future__ import annotations

import io
import json
import sys

import pytest
import torch
from rep3d import cli
from rep3d.cli import app
from rep3d.networks import create_network, list_networks
from rep3d.tasks import list_tasks
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("REP3D_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def invoke(*args: str, code: int = 0):
    done = CliRunner().invoke(app, list(args))
    assert done.exit_code == code, done.output
    return done.stdout


def put_weights(folder, damage=False):
    from rep3d.fuse import fuse_network
    from rep3d.tasks import load_task
    from rep3d.weights import WeightsMeta, save_weights

    task = load_task("kits")
    net = create_network("uxnet-tiny", in_channels=1, out_channels=task.num_classes)
    fused = fuse_network(net, task.patch)
    meta = WeightsMeta(
        "kits-mine", task, fused.spec, task.patch, task.spacing_mm, task.intensity,
        {"steps": 12, "best": {"dice": 0.625}}, "", "2026-01-01T00:00:00+00:00", "0.1.0", "CC0",
    )  # fmt: skip
    path = folder / "weights" / "kits.safetensors"
    save_weights(path, fused.state_dict(), meta)
    if damage:
        data = bytearray(path.read_bytes())
        data[-1] ^= 255
        path.write_bytes(bytes(data))
    return path


def test_tasks(own_folders):
    rows = json.loads(invoke("tasks", "--json"))
    assert [r["key"] for r in rows] == [t.key for t in list_tasks()]
    kits = next(r for r in rows if r["key"] == "kits")
    assert [s["name"] for s in kits["structures"]] == ["Kidney", "Tumour", "Cyst"] and kits["weights"] is None
    path = put_weights(own_folders)
    kits = next(r for r in json.loads(invoke("tasks", "--json")) if r["key"] == "kits")
    assert kits["weights"] == str(path)
    assert "installed" in invoke("tasks")


def test_models(own_folders):
    path = put_weights(own_folders)
    made = json.loads(invoke("models", "--json"))
    assert [row["name"] for row in made["networks"]] == list_networks()
    mine = next(w for w in made["weights"] if w["path"] == str(path))
    assert mine["task"] == "kits" and mine["bytes"] == path.stat().st_size and len(mine["sha256"]) == 64
    assert mine["summary"] == "12 steps, validation Dice 0.625"


def test_models_shows_damaged_weights_and_goes_on(own_folders):
    put_weights(own_folders, damage=True)
    text = invoke("models")
    assert "unusable" in text and "rep3d-xs" in text


def test_doctor_is_content_here(own_folders):
    made = json.loads(invoke("doctor", "--json"))
    assert made["healthy"] is True
    found = {(f["area"], f["name"]): f for f in made["findings"]}
    assert found["packages", "torch"]["text"] == torch.__version__
    for algorithm in ("auto", "direct", "fft", "matmul", "hybrid"):
        assert found["operator", f"{algorithm} on cpu"]["status"] == "ok"
    for precision in ("float32", "bfloat16"):
        assert found["arithmetic", f"{precision} on cpu"]["status"] == "ok"
    assert str(own_folders / "cache") in found["folders", "cache"]["text"]
    assert "Everything essential works" in invoke("doctor")


def test_doctor_finds_damaged_weights(own_folders):
    put_weights(own_folders, damage=True)
    made = json.loads(invoke("doctor", "--json", code=1))
    bad = [f for f in made["findings"] if f["status"] == "bad"]
    assert [f["name"] for f in bad] == ["kits.safetensors"] and "checksum" in bad[0]["text"]


def test_doctor_finds_a_wrong_operator(monkeypatch):
    import rep3d.ops

    right = rep3d.ops.depthwise_conv3d

    def wrong(x, weight, bias=None, *, algorithm="auto"):
        return right(x, weight, bias, algorithm=algorithm) * (1.001 if algorithm == "fft" else 1)

    monkeypatch.setattr(rep3d.ops, "depthwise_conv3d", wrong)
    made = json.loads(invoke("doctor", "--json", code=1))
    bad = [f for f in made["findings"] if f["status"] == "bad"]
    assert [(f["area"], f["name"]) for f in bad] == [("operator", "fft on cpu"), ("arithmetic", "float32 on cpu")]
    assert "depthwise_conv3d by fft: relative error 0.001" in bad[1]["text"]


def test_doctor_names_missing_packages(monkeypatch):
    from rep3d import doctor

    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("scipy", "highdicom") else "1.0")
    found = {f.name: f for f in doctor.packages()}
    assert found["scipy"].status == "bad" and "pip install scipy" in found["scipy"].text
    assert found["extra dicom"].status == "note" and "backend[dicom]" in found["extra dicom"].text
    assert found["extra train"].status == "ok"


def test_a_check_that_crashes_is_reported(monkeypatch):
    from rep3d import doctor

    def crash():
        raise RuntimeError("driver on fire")

    monkeypatch.setattr(doctor, "devices", crash)
    found = [f for f in doctor.examine() if f.status == "bad"]
    assert len(found) == 1 and "driver on fire" in found[0].text


def test_an_error_is_written_at_once(monkeypatch):
    """Several processes of one training may write to the same log."""
    written = []

    class Stream(io.StringIO):
        def write(self, text):
            written.append(text)
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Stream())
    monkeypatch.setattr(sys, "argv", ["rep3d", "segment", "no such [scan].nii.gz", "-o", "out", "--task", "kits"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1 and len([text for text in written if text]) == 1
    assert written[0].startswith("error (bad_input): no such [scan].nii.gz") and written[0].endswith("\n")
