"""`rep3d masks` and `rep3d erf` as a user types them: files, tables, clear errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.cli import app
from rep3d.errors import BadInput, Rep3DError
from rep3d.training.checkpoint import load_checkpoint
from typer.testing import CliRunner

pytest.importorskip("matplotlib")


def invoke(*args: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def refused(*args: object) -> Rep3DError:
    """The error that the command line turns into one line."""
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert isinstance(done.exception, Rep3DError), (done.output, done.exception)
    return done.exception


@pytest.fixture
def scan_file(tmp_path):
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.normal(100, 20, (24, 32, 28)).astype(np.float32))
    image.SetOrigin((-12, 4, 7))
    path = tmp_path / "a scan.nii.gz"
    sitk.WriteImage(image, str(path))
    return path


def test_masks(tmp_path, checkpoint, weights_file):
    out = tmp_path / "out"
    text = invoke("masks", checkpoint, "-o", out, "--block", "stage2.block1", "--format", "nii.gz")
    assert "stage2.block1" in text and "stage1" not in text and "|M-P|/|P|" in text
    parts = ("prior", "generator", "mask", "weight", "effective")
    volumes = {f"stage2.block1.{part}{end}" for part in parts for end in (".nii.gz", ".json")}
    tables = {"masks.json", "masks.csv", "masks.txt", "masks.npz"}
    assert {p.name for p in out.iterdir()} == volumes | tables | {"stage2.block1.png"}
    fused = tmp_path / "fused"
    invoke("masks", weights_file, "-o", fused, "--no-figures", "--no-volumes")
    assert {p.name for p in fused.iterdir()} == tables
    assert json.loads((fused / "masks.json").read_text(encoding="utf-8"))["fused"] is True


def test_masks_of_a_run(tmp_path, checkpoint):
    content = load_checkpoint(checkpoint)
    later = {k: v * 1.1 if "conv.weight" in k else v for k, v in content["model"].items()}
    second = tmp_path / "step-0000030.ckpt"
    torch.save(content | {"model": later, "step": 30}, second)
    out = tmp_path / "out"
    text = invoke("masks", second, checkpoint, "-o", out, "--block", "stage1.block2")
    assert "stage1.block2: 2 checkpoints" in text
    names = {"evolution.json", "evolution.csv", "evolution-stage1.block2.png", "evolution-stage1.block2.gif"}
    assert {p.name for p in out.iterdir()} == names
    record = json.loads((out / "evolution.json").read_text(encoding="utf-8"))
    assert [c["step"] for c in record["checkpoints"]] == [7, 30]


def test_masks_refuses(tmp_path, checkpoint, weights_file):
    assert "stage1.block1" in refused("masks", checkpoint, "--block", "stage9.block1").hint
    assert "--format" in str(refused("masks", checkpoint, "--format", "mha"))
    assert "deployed" in str(refused("masks", checkpoint, weights_file))
    assert refused("masks", tmp_path / "none.safetensors").code == "weights_missing"
    (tmp_path / "x.ckpt").write_bytes(b"nothing")
    assert "x.ckpt" in str(refused("masks", tmp_path / "x.ckpt"))


def test_erf_compares_networks(tmp_path):
    out = tmp_path / "out"
    text = invoke("erf", "rep3d-tiny:kernel_size=3", "uxnet-tiny", "--patches", 1, "--patch", "32,32,32", "-o", out)
    assert "rep3d-tiny:kernel_size=3" in text and "uxnet-tiny" in text and "r90 mm" in text
    assert {p.name for p in out.iterdir()} == {"erf.json", "erf.csv", "erf.npz", "erf.png"}
    record = json.loads((out / "erf.json").read_text(encoding="utf-8"))
    assert [s["name"] for s in record["surveys"]] == ["rep3d-tiny:kernel_size=3", "uxnet-tiny"]
    assert record["surveys"][0]["source"].startswith("noise")


def test_erf_at_a_voxel(tmp_path, weights_file, scan_file):
    out = tmp_path / "out"
    text = invoke("erf", weights_file, "--image", scan_file, "--at", "5,20,11", "--format", "nrrd", "-o", out)
    assert "at voxel 5, 20, 11: logit" in text
    image = sitk.ReadImage(str(out / "erf.nrrd"))
    assert image.GetSize() == (28, 32, 24) and image.GetOrigin() == (-12, 4, 7)
    record = json.loads((out / "erf.json").read_text(encoding="utf-8"))
    x, y, z = (float(v) for v in record["point_ras_mm"])
    again = tmp_path / "again"
    invoke("erf", weights_file, "--image", scan_file, f"--at-mm={x},{y},{z}", "--class", record["class"], "-o", again)
    second = json.loads((again / "erf.json").read_text(encoding="utf-8"))
    assert second["voxel_ijk"] == [5, 20, 11] and second["numbers"] == record["numbers"]


def test_erf_refuses(tmp_path, weights_file, scan_file):
    asked = ("erf", weights_file, "--image", scan_file)
    assert "(28, 0, 0) lies outside its 28 x 32 x 24 voxels" in str(refused(*asked, "--at", "28,0,0"))
    assert "lies outside" in str(refused(*asked, "--at-mm", "900,0,0"))
    assert "not three whole numbers" in str(refused(*asked, "--at", "1.5,2,3"))
    assert "not three numbers" in str(refused(*asked, "--at-mm", "1,2"))
    error = refused(*asked, "--at", "1,2,3", "--class", "liver")
    assert "no class 'liver'" in str(error) and "anterior-hippocampus" in error.hint
    assert "--at explains one voxel" in str(refused("erf", weights_file, "--at", "1,2,3"))
    assert "--depth does not apply" in str(refused(*asked, "--at", "1,2,3", "--depth", "stage1"))
    assert "fresh network" in str(refused("erf", "rep3d-tiny", "--image", scan_file, "--at", "1,2,3"))
    assert "--patch" in str(refused("erf", "rep3d-tiny", "--patch", "64"))
    assert refused("erf", "rep3d-tiny", "--device", "cuda:77").code == "device_unavailable"
    assert isinstance(refused("erf", "no-such-network"), BadInput)
    assert not (tmp_path / "rep3d-erf").exists()
