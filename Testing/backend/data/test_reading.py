"""Reading: every format gives the same voxels and grid; what cannot be segmented is refused with a clear error."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.convert import read_channel
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.errors import BadInput, OutOfMemory


def refused(path: Path, *words: str, **options) -> None:
    with pytest.raises(BadInput) as error:
        read_volume(path, **options)
    for word in words:
        assert word in f"{error.value} {error.value.hint}"
    assert path.name in str(error.value) or path.parent.name in str(error.value)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha", "mhd"])
def test_formats_agree(tmp_path, oblique_image, voxels, suffix):
    path = tmp_path / f"Schädel Übung 頭.{suffix}"
    sitk.WriteImage(oblique_image, str(path), useCompression=suffix != "nii")
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, voxels)
    for index in [(0, 0, 0), (11, 3, 7), (5, 9, 2)]:
        expected = np.array(oblique_image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], expected, atol=1e-4)
    assert volume.geometry.size == (12, 10, 8)
    assert volume.path == path and volume.warnings == ()


def test_affine_is_nibabels(tmp_path, oblique_image):
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(oblique_image, str(path))
    np.testing.assert_allclose(read_volume(path).affine, nib.load(path).affine, atol=1e-4)


def test_dicom_series(tmp_path, voxels, write_series):
    folder = tmp_path / "CT Thorax ä"
    write_series(folder, voxels)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.array, voxels)
    np.testing.assert_allclose(volume.spacing_mm, (0.6, 0.8, 2.5), atol=1e-6)
    np.testing.assert_allclose((volume.affine @ [0, 0, 3, 1])[:3], (20, 30, 107.5), atol=1e-4)
    assert len(volume.dicom.files) == 8 and volume.dicom.modality == "CT"


def test_several_series_need_a_choice(tmp_path, voxels, write_series):
    first = write_series(tmp_path / "d", voxels, prefix="a")
    second = write_series(tmp_path / "d", -voxels, prefix="b")
    refused(tmp_path / "d", "2 series", first, second, "--series")
    np.testing.assert_array_equal(read_volume(tmp_path / "d", series_uid=second).array, -voxels)
    refused(tmp_path / "d", "no series 1.2.3", series_uid="1.2.3")


def test_dicom_stacks_that_are_no_grid(tmp_path, voxels, write_series):
    z = [100 + 2.5 * k for k in range(8)]
    z[5:] = [v + 5 for v in z[5:]]
    write_series(tmp_path / "gap", voxels, positions=[(0, 0, v) for v in z])
    refused(tmp_path / "gap", "missing", "7.5 mm")
    write_series(tmp_path / "tilt", voxels, positions=[(0, 0.8 * k, 2.5 * k) for k in range(8)])
    refused(tmp_path / "tilt", "gantry tilt")
    write_series(tmp_path / "twice", voxels, positions=[(0, 0, 2.5 * (k // 2)) for k in range(8)])
    refused(tmp_path / "twice", "same position")
    uneven = [100 + 2.5 * k + (0.3 if k % 2 else 0) for k in range(8)]
    write_series(tmp_path / "uneven", voxels, positions=[(0, 0, v) for v in uneven])
    volume = read_volume(tmp_path / "uneven")
    assert "unevenly spaced (2.2 to 2.8 mm" in volume.warnings[0] and "0.19 mm" in volume.warnings[0]
    assert volume.spacing_mm[2] == pytest.approx(2.5 + 0.3 / 21, abs=1e-4), "the best fit"


def test_single_dicom_slice(tmp_path, voxels, write_series):
    write_series(tmp_path / "one", voxels[..., :1])
    refused(tmp_path / "one", "single slice", "folder of the series")


def test_missing_empty_and_no_image(tmp_path):
    refused(tmp_path / "nowhere.nii.gz", "no such file")
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    refused(tmp_path / "empty.nii.gz", "empty")
    (tmp_path / "text.nii.gz").write_text("not an image", encoding="utf-8")
    refused(tmp_path / "text.nii.gz", "not an image")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "no DICOM")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "b.nrrd", "a.mha", "b.mha", "a.mhd"])
@pytest.mark.parametrize("share", [0.999, 0.5, 0.06])
def test_truncated(tmp_path, name, share):
    image = sitk.GetImageFromArray(np.random.default_rng(1).integers(-900, 900, (30, 31, 32)).astype(np.int16))
    path = tmp_path / name
    sitk.WriteImage(image, str(path), useCompression=name.startswith("b") or name.endswith("gz"))
    cut = path.with_suffix(".raw") if name.endswith("mhd") else path
    data = cut.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadInput, match=r"truncated|damaged|not an image"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".hdr", ".img"])
def test_pair_of_header_and_image(tmp_path, oblique_image, voxels, suffix):
    """Either file may be given; the same checks hold as for a single file."""
    sitk.WriteImage(oblique_image, str(tmp_path / "a.hdr"))
    path = tmp_path / f"a{suffix}"
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, voxels)
    assert volume.nifti is not None and volume.nifti.qform_code > 0
    data = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(data[: len(data) // 2])
    refused(path, "truncated")


def test_pair_without_its_image_and_analyze(tmp_path, oblique_image):
    path = tmp_path / "a.hdr"
    sitk.WriteImage(oblique_image, str(path))
    header = bytearray(path.read_bytes())
    header[344:348] = bytes(4)
    (tmp_path / "b.hdr").write_bytes(header)
    (tmp_path / "a.img").replace(tmp_path / "b.img")
    refused(path, ".img file")
    refused(tmp_path / "b.hdr", "Analyze", "which side is left")


def test_damaged_gzip(tmp_path, oblique_image):
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(oblique_image, str(path))
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 0xFF
    path.write_bytes(data)
    refused(path, "damaged")


def save(path: Path, array: np.ndarray, affine=None) -> Path:
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def test_dimensions_and_colour(tmp_path):
    rng = np.random.default_rng(2)
    refused(save(tmp_path / "2d.nii.gz", rng.random((9, 9), np.float32)), "single slice")
    refused(save(tmp_path / "thin.nii.gz", rng.random((9, 1, 9), np.float32)), "single slice (9 x 1 x 9)")
    refused(save(tmp_path / "4d.nii.gz", rng.random((9, 9, 9, 2), np.float32)), "4 dimensions", "one time point")
    assert read_volume(save(tmp_path / "4d1.nii.gz", rng.random((9, 8, 7, 1), np.float32))).shape == (9, 8, 7)
    rgb = sitk.GetImageFromArray(rng.integers(0, 255, (5, 6, 7, 3)).astype(np.uint8), isVector=True)
    for name in ("rgb.nii.gz", "rgb.nrrd", "rgb.mha"):
        sitk.WriteImage(rgb, str(tmp_path / name))
        refused(tmp_path / name, "colour")
    picture = sitk.GetImageFromArray(rng.integers(0, 255, (6, 7)).astype(np.uint8))
    sitk.WriteImage(picture, str(tmp_path / "picture.png"))
    refused(tmp_path / "picture.png", "single slice")


def test_constant_and_not_finite(tmp_path):
    refused(save(tmp_path / "zero.nii.gz", np.zeros((9, 9, 9), np.float32)), "every voxel is 0")
    refused(save(tmp_path / "nan.nii.gz", np.full((9, 9, 9), np.nan, np.float32)), "no voxel holds a finite number")
    array = np.random.default_rng(3).random((9, 8, 7), np.float32) + 5
    array[1, 2, 3], array[4, 5, 6] = np.nan, -np.inf
    low = array[np.isfinite(array)].min()
    for suffix in ("nii", "nii.gz", "nrrd", "mha"):
        path = tmp_path / f"some.{suffix}"
        if suffix.startswith("nii"):
            save(path, array)
        else:
            sitk.WriteImage(sitk.GetImageFromArray(array.transpose(2, 1, 0)), str(path))
        volume = read_volume(path)
        assert volume.array[1, 2, 3] == low and volume.array[4, 5, 6] == low, suffix
        assert np.isfinite(volume.array).all() and "2 voxels" in volume.warnings[0]


def test_background_of_nan(tmp_path):
    """More than one block of voxels, most of them NaN: exactly these are replaced."""
    array = np.random.default_rng(4).random((130, 101, 99), np.float32) + 5
    array[array < 5.8] = np.nan
    volume = read_volume(save(tmp_path / "a.nii", array))
    np.testing.assert_array_equal(volume.array, np.where(np.isnan(array), np.nanmin(array), array))


@pytest.mark.parametrize("value", [0.0, -2.0, float("nan"), float("inf")])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_voxel_size(tmp_path, value, order):
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(np.random.default_rng(4).integers(0, 99, (9, 9, 9)).astype(np.int16), np.eye(4), header)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    data = bytearray(path.read_bytes())
    data[80:84] = struct.pack(order + "f", value)
    path.write_bytes(data)
    refused(path, "must be positive")


def test_other_voxel_sizes(tmp_path, voxels):
    image = sitk.GetImageFromArray(voxels)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    data = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "zero.mha").write_bytes(data.replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = 0 1 1"))
    refused(tmp_path / "zero.mha", "must be positive")
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    data = (tmp_path / "a.nrrd").read_bytes()
    assert b"(0,1,0)" in data
    (tmp_path / "zero.nrrd").write_bytes(data.replace(b"(0,1,0)", b"(0,0,0)"))
    refused(tmp_path / "zero.nrrd", "must be positive")


def test_sheared_axes(tmp_path, voxels):
    sheared = np.eye(4)
    sheared[0, 1] = 0.02
    refused(save(tmp_path / "s.nii.gz", voxels, sheared), "right angles")
    image = nib.Nifti1Image(voxels, sheared)
    image.set_sform(sheared, 1)
    image.set_qform(np.eye(4), 1)  # a valid qform beside it must not hide the shear
    nib.save(image, tmp_path / "q.nii.gz")
    refused(tmp_path / "q.nii.gz", "right angles")
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.nrrd"))
    data = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "s.nrrd").write_bytes(data.replace(b"(0,1,0)", b"(0.3,1,0)"))
    refused(tmp_path / "s.nrrd", "right angles")


def test_headers_that_contradict_themselves(tmp_path, voxels):
    """ITK takes the voxel size from pixdim, others from the sform: which one is meant cannot be known."""
    for name, patch, words in [
        ("size.nii", {76 + 4 * i: 1.0 for i in (1, 2, 3)}, "contradicts itself"),
        ("zero.nii", {280 + 4 * i: 0.0 for i in range(12)}, "sform of the header is not a grid"),
        ("nan.nii", {280: float("nan")}, "sform of the header is not a grid"),
    ]:
        path = save(tmp_path / name, voxels, np.diag([3.0, 3, 3, 1]))
        data = bytearray(path.read_bytes())
        for offset, value in patch.items():
            data[offset : offset + 4] = struct.pack("<f", value)
        path.write_bytes(data)
        refused(path, words)


def test_two_positions_are_told(tmp_path, voxels):
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.set_sform(np.eye(4), 2)
    image.set_qform(np.diag([-1.0, -1, 1, 1]), 1)
    nib.save(image, tmp_path / "a.nii.gz")
    assert "two positions" in read_volume(tmp_path / "a.nii.gz").warnings[0]


def test_unknown_orientation_is_told(tmp_path, voxels):
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "a.nii.gz")
    assert "orientation is a guess" in read_volume(tmp_path / "a.nii.gz").warnings[0]


def test_huge_volume_is_refused_before_reading(tmp_path, monkeypatch, oblique_image):
    import psutil

    path = tmp_path / "a.nrrd"
    sitk.WriteImage(oblique_image, str(path))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 1000})())
    with pytest.raises(OutOfMemory, match=r"a\.nrrd.*12 x 10 x 8"):
        read_volume(path)


def test_labelmaps(tmp_path):
    labels = np.random.default_rng(5).integers(0, 4, (9, 8, 7))
    volume = read_labelmap(save(tmp_path / "f.nii.gz", labels.astype(np.float32)))
    assert volume.array.dtype == np.uint8
    np.testing.assert_array_equal(volume.array, labels)
    assert read_labelmap(save(tmp_path / "e.nii.gz", np.zeros((9, 9, 9), np.int16))).array.max() == 0
    assert read_labelmap(save(tmp_path / "l.nii.gz", (labels * 300).astype(np.int32))).array.dtype == np.uint16
    with pytest.raises(BadInput, match="whole numbers"):
        read_labelmap(save(tmp_path / "h.nii.gz", labels.astype(np.float32) + 0.5))
    with pytest.raises(BadInput, match="negative"):
        read_labelmap(save(tmp_path / "n.nii.gz", labels.astype(np.int16) - 5))


def test_big_endian(tmp_path, voxels):
    affine = np.diag([2.0, 3, 4, 1])
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    volume = read_volume(_saved(tmp_path / "big.nii.gz", nib.Nifti1Image(voxels, affine, header)))
    np.testing.assert_array_equal(volume.array, voxels)
    np.testing.assert_allclose(volume.affine, affine)
    assert volume.nifti.order == ">"


def test_nifti2_is_refused(tmp_path, voxels):
    refused(_saved(tmp_path / "two.nii.gz", nib.Nifti2Image(voxels, np.eye(4))), "NIfTI-2", "Convert")


def _saved(path: Path, image) -> Path:
    nib.save(image, path)
    return path


@pytest.mark.skipif(os.name == "nt", reason="long paths need a setting on Windows")
def test_long_path(tmp_path, oblique_image, voxels):
    folder = tmp_path.joinpath(*["a long folder name with spaces" * 3] * 3)
    folder.mkdir(parents=True)
    sitk.WriteImage(oblique_image, str(folder / "scan.nii.gz"))
    assert len(str(folder)) > 260
    np.testing.assert_array_equal(read_volume(folder / "scan.nii.gz").array, voxels)


def test_a_name_that_is_no_utf8_is_refused_before_itk_sees_it(tmp_path):
    """SimpleITK ends the process (std::logic_error) when it is given one."""
    from rep3d.files import atomic_path

    path = tmp_path / os.fsdecode(b"B\xc3\xa4r \xff.nii.gz")
    path.write_bytes(b"something")
    for read in (read_volume, read_labelmap, lambda each: read_channel(each, 0)):
        with pytest.raises(BadInput, match=r"B\u00e4r \\xff.nii.gz: the name is not valid UTF-8"):
            read(path)
    with pytest.raises(BadInput, match="not valid UTF-8"), atomic_path(path):
        pass
    assert path.read_bytes() == b"something"


def test_the_command_line_refuses_arguments_that_are_no_utf8(monkeypatch, capsys):
    from rep3d.cli import main

    monkeypatch.setattr(sys, "argv", ["rep3d", "segment", "scan\udcff.nii"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1 and "scan\\xff.nii: the name is not valid UTF-8" in capsys.readouterr().err
