"""One voxel of a scan: place, class, memory, and the map on the scan's own grid."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.data.preprocess import to_network_grid
from rep3d.data.volume import Volume, to_sitk
from rep3d.errors import BadInput, OutOfMemory
from rep3d.interpret import explain as explain_module
from rep3d.interpret.explain import check_spacing, explain_voxel, on_native_grid, voxel_at
from rep3d.interpret.memory import gradient_bytes, with_smaller_patch
from rep3d.interpret.subjects import load_subject
from rep3d.interpret.voxel_report import explain_file
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.weights import find_weights
from torch import nn

CPU = torch.device("cpu")
HOW = {"intensity": load_task("msd-hippocampus").intensity, "device": CPU}


class Blur(nn.Module):
    """Class 0 nothing, class 1 the mean over 3 x 3 x 3 voxels; ``too_large``: voxels for which memory runs out."""

    stride = 16

    def __init__(self, too_large: int = 10**9):
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 3, padding=1, bias=False)
        self.conv.weight.data[0], self.conv.weight.data[1] = 0, 1 / 27
        self.too_large = too_large

    def forward(self, x):
        if x.numel() > self.too_large:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return self.conv(x)


def test_the_field_lies_around_the_voxel_on_the_scans_own_grid(scan):
    at = (11, 31, 8)
    made = explain_voxel(Blur(), scan, at, None, spacing_mm=(1.0, 1.25, 1.5), patch=(32, 32, 32), **HOW)
    assert made.field.class_index == 1 and not made.warnings  # asked for the class that wins
    native = on_native_grid(made.field.gradient, made, scan)
    assert native.shape == scan.shape and native.dtype == np.float32
    # the grids coincide, so the cube of 3 voxels around the voxel is exact
    expected = np.zeros(scan.shape, np.float32)
    expected[10:13, 30:33, 7:10] = 1 / 27
    assert np.allclose(native, expected, atol=1e-7)
    place = made.affine @ [*made.field.voxel, 1]
    assert np.allclose(place, scan.affine @ [*at, 1])


def test_another_spacing_is_interpolated_in_the_right_place(scan):
    at = (14, 12, 20)
    made = explain_voxel(Blur(), scan, at, 1, spacing_mm=(2.0, 2.0, 2.0), patch=(32, 32, 32), **HOW)
    native = on_native_grid(made.field.gradient, made, scan).astype(np.float64)
    assert 0 < native.max() <= 1 / 27 + 1e-7  # values of the network's grid, never summed
    # the mass lies around the network's voxel, which is the nearest one to what was asked for
    index = np.stack(np.meshgrid(*map(np.arange, native.shape), indexing="ij"), -1).reshape(-1, 3)
    middle = scan.affine[:3, :3] @ (native.reshape(-1) @ index / native.sum()) + scan.affine[:3, 3]
    assert np.abs(middle - (made.affine @ [*made.field.voxel, 1])[:3]).max() < 0.3
    assert np.abs(middle - (scan.affine @ [*at, 1])[:3]).max() < 1.3
    volume_mm3 = native.sum() * np.prod(scan.spacing_mm)
    assert volume_mm3 == pytest.approx(27 * 8 / 27, rel=0.15)  # 27 voxels of 8 mm3


def test_a_scan_smaller_than_the_patch_at_its_rim(scan):
    made = explain_voxel(Blur(), scan, (0, 0, 27), 1, spacing_mm=(1.0, 1.25, 1.5), patch=(64, 64, 64), **HOW)
    native = on_native_grid(made.field.gradient, made, scan)
    assert native[:2, :2, 26:].min() == pytest.approx(1 / 27) and np.count_nonzero(native > 1e-8) == 8
    assert made.field.gradient.sum() == pytest.approx(1, rel=1e-5)  # the rest of it is on the padding


def test_questions_without_an_answer(scan):
    grid = {"spacing_mm": (1.0, 1.0, 1.0), "patch": (32, 32, 32), **HOW}
    for at in ((30, 0, 0), (0, -1, 0)):
        with pytest.raises(BadInput, match="outside"):
            explain_voxel(Blur(), scan, at, 1, **grid)
    with pytest.raises(BadInput, match="class 2 does not exist"):
        explain_voxel(Blur(), scan, (1, 1, 1), 2, **grid)
    metres = replace(scan, affine=scan.affine @ np.diag([1e-3, 1e-3, 1e-3, 1]))
    with pytest.raises(BadInput, match="do not fit the network's 1 x 1 x 1 mm") as found:
        explain_voxel(Blur(), metres, (1, 1, 1), 1, **grid)
    assert "millimetres" in found.value.hint
    check_spacing(scan, (4.0, 4.0, 2.5))
    with pytest.raises(BadInput, match="outside"):
        voxel_at(scan, (500.0, 0.0, 0.0))
    assert voxel_at(scan, tuple((scan.affine @ [3.3, 7.6, 12, 1])[:3])) == (3, 8, 12)


def test_too_little_memory_takes_a_smaller_patch_and_says_so(scan):
    made = explain_voxel(Blur(40**3), scan, (15, 20, 14), 1, spacing_mm=(1.0, 1.0, 1.0), patch=(64, 48, 64), **HOW)
    assert np.prod(made.field.gradient.shape) <= 40**3 and made.field.gradient.shape == (32, 32, 32)
    assert len(made.warnings) == 1 and "64 x 48 x 64" in made.warnings[0] and "32 x 32 x 32" in made.warnings[0]
    with pytest.raises(OutOfMemory):
        explain_voxel(Blur(10), scan, (15, 20, 14), 1, spacing_mm=(1.0, 1.0, 1.0), patch=(64, 48, 64), **HOW)


def test_memory_is_looked_at_before_it_is_taken(scan, monkeypatch):
    import psutil

    network = create_network("rep3d-tiny", in_channels=1, out_channels=3).eval()
    need = gradient_bytes(network, (32, 32, 32))
    assert need < gradient_bytes(network, (48, 48, 48)) and gradient_bytes(Blur(), (32, 32, 32)) == 0
    free = type("Memory", (), {"available": 1.2 * need})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    made = explain_voxel(network, scan, (15, 20, 14), 1, spacing_mm=(1.0, 1.0, 1.0), patch=(48, 48, 48), **HOW)
    assert made.field.gradient.shape == (32, 32, 32) and "GiB are free" in made.warnings[0]


def test_other_errors_are_no_reason_for_a_smaller_patch():
    def attempt(patch):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        with_smaller_patch(attempt, (64, 64, 64), 16, CPU)


@pytest.mark.parametrize("fmt", ["nii.gz", "nrrd"])
def test_files_with_provenance(tmp_path, scan, weights_file, fmt):
    pytest.importorskip("matplotlib")
    path = tmp_path / "kopf über.nii.gz"
    sitk.WriteImage(to_sitk(scan.array, scan.grid), str(path))
    subject = load_subject(str(weights_file))
    out = tmp_path / "out"
    lines = explain_file(subject, path, (12, 22, 9), out, CPU, class_text="posterior-hippocampus", fmt=fmt)
    assert "Posterior hippocampus at voxel 12, 22, 9" in lines[0]
    image = sitk.ReadImage(str(out / f"erf.{fmt}"))
    original = sitk.ReadImage(str(path))
    assert image.GetSize() == original.GetSize() and np.allclose(image.GetDirection(), original.GetDirection())
    assert np.allclose(image.GetOrigin(), original.GetOrigin()) and image.GetPixelID() == sitk.sitkFloat32
    record = json.loads((out / "erf.json").read_text(encoding="utf-8"))
    assert record["voxel_ijk"] == [12, 22, 9] and record["class"] == 2 and record["scan"] == path.name
    assert len(record["scan_sha256"]) == 64 and record["subject"]["sha256"] == subject.origin["sha256"]
    assert record["point_ras_mm"] == pytest.approx((scan.affine @ [12, 22, 9, 1])[:3].tolist(), abs=1e-4)
    assert record["numbers"]["radius50_mm"] <= record["numbers"]["radius90_mm"]
    assert 0 < record["share_inside_scan"] <= 1 and str(tmp_path) not in json.dumps(record)
    values = sitk.GetArrayFromImage(image)
    negative = sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"erf-negative.{fmt}")))
    assert (negative <= values + 1e-6 * values.max()).all() and 0 < negative.sum() < values.sum()
    if fmt == "nrrd":
        assert json.loads(image.GetMetaData("rep3d"))["class_name"] == "Posterior hippocampus"
    else:
        loaded = nibabel.load(out / "erf.nii.gz")
        assert np.allclose(loaded.affine, nibabel.load(path).affine)
        assert b"Posterior hippocampus at voxel 12 22 9" in loaded.header["descrip"].item()
    assert (out / "erf.png").stat().st_size > 10_000
    assert not [p for p in out.iterdir() if "partial" in p.name]


def test_nearest_voxel_at_the_rim():
    grid = Volume(np.zeros((4, 5, 6), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    assert explain_module.nearest(grid, np.array([100.0, -100.0, 5.1, 1])) == (3, 0, 3)
    assert to_network_grid(grid, (2.0, 2.0, 2.0)).shape == (4, 5, 6)


def test_the_shipped_weights_on_a_real_scan(tmp_path):
    """Head-and-neck CT stored in the order P, L, I: inside a parotid the gradient peaks close to the voxel itself."""
    pytest.importorskip("matplotlib")
    root = os.environ.get("REP3D_DATA")
    if not root:
        pytest.skip("REP3D_DATA is not set, so there are no real scans")
    found = sorted(Path(root, "hn", "test").glob("*_ct.nii.gz"))
    if not found:
        pytest.skip(f"{root} has no hn/test")
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(found[0]).replace("_ct.", "_seg."))).transpose(2, 1, 0)
    at = np.argwhere(labels == 4)
    at = tuple(int(v) for v in at[np.abs(at - at.mean(0)).sum(1).argmin()])
    explain_file(load_subject(str(find_weights("openkbp"))), found[0], at, tmp_path, CPU)
    image = sitk.ReadImage(str(tmp_path / "erf.nii.gz"))
    assert image.GetDirection() == sitk.ReadImage(str(found[0])).GetDirection()
    values = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    assert json.loads((tmp_path / "erf.json").read_text(encoding="utf-8"))["class"] == 4
    near = [slice(max(0, v - 6), v + 7) for v in at]
    assert np.abs(np.unravel_index(values.argmax(), values.shape) - np.array(at)).max() <= 4
    assert values[tuple(near)].mean() > 20 * np.median(values)
