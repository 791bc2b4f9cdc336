"""A file is read whole or refused: never half, never by a crash, and what a header leaves open is said."""

from __future__ import annotations

import bz2
import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.errors import BadInput, OutOfMemory
from rep3d.io import foreign
from rep3d.phantom.files import write_array

from .test_like_itk import META, NRRD, VALUES, image_of


def refused(path: Path, *words: str) -> None:
    with pytest.raises(BadInput) as error:
        read_volume(path)
    for word in words:
        assert word in f"{error.value} {error.value.hint}"
    assert path.name in str(error.value)


@pytest.mark.parametrize("name", ["bit0.1.mha", "cut_nosize.mha", "l_bad.mha", "c.mhd"])
def test_damaged_metaimages_of_reports(cases, name):
    refused(cases / "reading" / name, "truncated or damaged")


@pytest.mark.parametrize(
    "number", [189, 367, 522, 713, 716, 722, 763, 938, 1146, 1225, 1281, 1288, 1709, 1794, 1869, 1899, 2102]
)
def test_malformed_headers_of_reports(cases, number):
    for path in (cases / "images" / f"case{number}").iterdir():
        if path.suffix != ".raw":
            refused(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.gipl.gz", "a.mhd"])
def test_no_changed_byte_of_a_compressed_file_goes_unnoticed(tmp_path, name):
    """Whatever is still read is what was written, whichever byte of the voxels is another."""
    image = sitk.GetImageFromArray(np.random.default_rng(2).integers(0, 9, (6, 7, 8)).astype(np.int16))
    path = tmp_path / name
    sitk.WriteImage(image, str(path), useCompression=True)
    whole = read_volume(path)
    file = path.with_suffix(".zraw") if name.endswith("mhd") else path
    data = file.read_bytes()
    start = {"a.nrrd": data.find(b"\n\n") + 2, "a.mha": data.find(b"LOCAL\n") + 6}.get(name, 0)
    for at in range(start, len(data), 3):
        file.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            again = read_volume(path)
        except BadInput:
            continue
        np.testing.assert_array_equal(again.array, whole.array, f"byte {at}")
    for at in range(start, len(data)):
        file.write_bytes(data[:at])
        with pytest.raises(BadInput):
            read_volume(path)


def test_the_size_of_a_compressed_stream(tmp_path):
    """CompressedDataSize is not needed; a stream with more or fewer voxels than announced is refused."""
    path, packed = tmp_path / "a.mha", zlib.compress(VALUES.tobytes())
    header = META.replace("CompressedData = False", "CompressedData = True").encode()
    path.write_bytes(header + packed)
    np.testing.assert_array_equal(read_volume(path).array.ravel(order="F"), VALUES)
    path.write_bytes(header.replace(b"Offset", b"CompressedDataSize = 7\nOffset") + packed)
    np.testing.assert_array_equal(read_volume(path).array.ravel(order="F"), VALUES)
    for more in (VALUES[:-1], np.append(VALUES, VALUES[:1])):
        path.write_bytes(header + zlib.compress(more.tobytes()))
        refused(path, "48", "announces")
    text = NRRD.replace("raw", "gzip").encode()
    (tmp_path / "a.nrrd").write_bytes(text + gzip.compress(VALUES.tobytes() + b"123"))
    refused(tmp_path / "a.nrrd", "more than the 48 bytes")
    (tmp_path / "a.nrrd").write_bytes(text + gzip.compress(VALUES.tobytes()) + b"rest")
    refused(tmp_path / "a.nrrd", "damaged")


def test_bzip2(tmp_path):
    text = NRRD.replace("raw", "bzip2").encode()
    packed = bz2.compress(VALUES.tobytes())
    (tmp_path / "a.nrrd").write_bytes(text + packed)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nrrd").array.ravel(order="F"), VALUES)
    (tmp_path / "a.nrrd").write_bytes(text + packed[:-5])
    refused(tmp_path / "a.nrrd", "damaged")
    (tmp_path / "a.nrrd").write_bytes(text + packed[:20] + bytes([packed[20] ^ 1]) + packed[21:])
    refused(tmp_path / "a.nrrd", "damaged")


def test_a_compressed_file_that_is_not_named_so(tmp_path):
    sitk.WriteImage(image_of("i2", 1), str(tmp_path / "a.nii.gz"))
    (tmp_path / "a.nii.gz").rename(tmp_path / "a.nii")
    refused(tmp_path / "a.nii", "compressed", "Name it a.nii.gz")


def test_more_raw_voxels_than_announced_are_told(tmp_path):
    (tmp_path / "a.mha").write_bytes(META.encode() + VALUES.tobytes() + b"123")
    assert "3 bytes more" in read_volume(tmp_path / "a.mha").warnings[0]
    (tmp_path / "a.mha").write_bytes(META.encode() + VALUES.tobytes()[:-1])
    refused(tmp_path / "a.mha", "47 bytes of voxels", "announces 48")


def test_a_small_file_that_announces_much(tmp_path, monkeypatch):
    """Refused before anything is allocated; and what could be true but does not fit is a matter of memory."""
    (tmp_path / "a.nrrd").write_bytes(NRRD.replace("4 3 2", "30000 30000 30000").encode() + VALUES.tobytes())
    refused(tmp_path / "a.nrrd", "announces 54000000000000")
    header = NRRD.replace("4 3 2", "300 300 200").replace("raw", "gzip").encode()
    (tmp_path / "a.nrrd").write_bytes(header + gzip.compress(bytes(36_000_000)))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 1 << 20})())
    with pytest.raises(OutOfMemory, match="300 x 300 x 200"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("NDims = 3", "NDims = -1", "NDims"),
        ("NDims = 3", "NDims = 3\nNDims = 4", "twice"),
        ("Offset = 1 2 3", "Offset = 1 2 3\nOrigin = 1 2 4", "another"),
        ("Offset = 1 2 3", "Offset = 1 2", "3 numbers"),
        ("Offset = 1 2 3", "Offset = 1 2 inf", "finite"),
        ("ElementSpacing = 1 2 3", "ElementSpacing = 1 0 3", "must be positive"),
        ("ElementSpacing = 1 2 3", "ElementSpacing = 1 x 3", "not a number"),
        ("0 1 0 0 0 1 1 0 0", "0 1 0 0 0 1 1 0.5 0", "right angles"),
        ("MET_SHORT", "MET_OTHER", "ElementType"),
        ("LOCAL", "nowhere.raw", "missing"),
        ("LOCAL", "/dev/zero", "missing"),
        ("LOCAL", "s%s.raw", "missing"),
        ("DimSize = 4 3 2", "DimSize = 4 3 0", "DimSize"),
        ("DimSize = 4 3 2", "DistanceUnits = furlong\nDimSize = 4 3 2", "DistanceUnits"),
        ("BinaryData = True", "BinaryData = maybe", "BinaryData"),
        ("NDims", "no field at all\nNDims", "not of MetaImage"),
    ],
)
def test_metaimage_headers(tmp_path, old, new, words):
    (tmp_path / "a.mha").write_bytes(META.replace(old, new).encode() + VALUES.tobytes())
    refused(tmp_path / "a.mha", words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("encoding: raw", "encoding: " + "A" * 1100, "encoding"),
        ("sizes: 4 3 2", "sizes: 4 3", "3 words"),
        ("sizes: 4 3 2", "sizes: 4 3 -2", "sizes"),
        ("type: short", "type: block", "type"),
        ("endian: little\n", "", "endian"),
        ("kinds: domain domain domain", "kinds: list vector domain", "not of space"),
        ("(0,0,3)", "(0,0,3", "3 vectors"),
        ("(0,0,3)", "(0,0,nan)", "3 numbers"),
        ("(1,2,3)", "(1,2)", "3 numbers"),
        ("space: left-posterior-superior", "space: moon", "space"),
        ("kinds:", "foo: bar\nkinds:", "not of NRRD"),
        ("kinds:", "sizes: 4 3 2\nkinds:", "twice"),
        ("kinds:", 'space units: "mm" "cm" "mm"\nkinds:', "units"),
        ("kinds:", "spacings: 1 2 3\nkinds:", "beside a space"),
        ("kinds:", "data file: %s%n.raw\nkinds:", "missing"),
        ("kinds:", "data file: s%d.raw 0 2000000000 1\nkinds:", "no row"),
    ],
)
def test_nrrd_headers(tmp_path, old, new, words):
    (tmp_path / "a.nrrd").write_bytes(NRRD.replace(old, new).encode() + VALUES.tobytes())
    refused(tmp_path / "a.nrrd", words)


def test_what_headers_leave_open_is_told(cases, tmp_path):
    folder = cases / "reading"
    for name, words in [
        ("nospace.nrrd", ("orientation and position", "left and right may be swapped")),
        ("noorient.mha", ("orientation", "left and right may be swapped")),
        ("nosp.mha", ("voxel size", "1 mm")),
    ]:
        (warning,) = read_volume(folder / name).warnings
        assert all(word in warning for word in words), warning
    (tmp_path / "a.mha").write_bytes(META.replace("BinaryDataByteOrderMSB = False\n", "").encode() + VALUES.tobytes())
    assert "byte order" in read_volume(tmp_path / "a.mha").warnings[0]
    slope = META.replace("ElementType", "ElementToIntensityFunctionSlope = 2\nElementType")
    (tmp_path / "a.mha").write_bytes(slope.encode() + VALUES.tobytes())
    assert "not applied" in read_volume(tmp_path / "a.mha").warnings[0]


def test_units_of_length(cases, tmp_path):
    volume = read_volume(cases / "reading" / "cm.nrrd")
    np.testing.assert_allclose(volume.spacing_mm, (8, 8, 4))
    np.testing.assert_allclose(volume.affine[:3, 3], (100, 150, -200))
    header = META.replace("DimSize", "DistanceUnits = cm\nDimSize")
    (tmp_path / "a.mha").write_bytes(header.encode() + VALUES.tobytes())
    assert read_volume(tmp_path / "a.mha").spacing_mm == (10.0, 20.0, 30.0)
    assert read_volume(tmp_path / "a.mha").geometry.origin == (10.0, 20.0, 30.0)


def test_intercept_beside_a_slope_of_zero(cases):
    """NIfTI: without a slope nothing is scaled; nibabel agrees."""
    import nibabel as nib

    path = cases / "reading" / "slope0.nii.gz"
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, np.asarray(nib.load(path).dataobj))
    assert volume.array.dtype == np.int16 and volume.array.min() == -1024


def orientations():
    """The 48 ways in which the axes of a volume can lie along the patient's."""
    from itertools import permutations, product

    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            yield np.eye(3)[list(order)] * signs


def test_scaled_nifti_without_a_position(tmp_path):
    """Values do not depend on the codes of the position; nibabel agrees."""
    import nibabel as nib

    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(np.linspace(0, 10, 60).reshape(3, 4, 5), None, dtype=np.int16)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, path)
    np.testing.assert_allclose(read_volume(path).array, nib.load(path).get_fdata(), rtol=1e-6)


def test_equal_qform_and_sform_are_one_position(cases, tmp_path):
    assert read_volume(cases / "reading" / "false_two_positions_SPL.nii.gz").warnings == ()
    array = np.random.default_rng(0).integers(0, 99, (30, 4, 30)).astype(np.int16)
    for turn in orientations():
        affine = np.eye(4)
        affine[:3, :3] = turn * [9.0, 1.5, 9.0]
        write_array(array, affine, tmp_path / "a.nii")
        volume = read_volume(tmp_path / "a.nii")
        assert volume.warnings == ()
        np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_nearly_half_a_turn(tmp_path, seed):
    """Where float32 quaternions are least exact, nibabel's equal forms are still one position, 1 degree is two."""
    import nibabel as nib
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(axis * (np.pi - rng.choice([0, 1e-5, 3e-4, 1e-3, 0.01]))).as_matrix()
    image = nib.Nifti1Image(rng.integers(0, 9, (300, 4, 300)).astype(np.uint8), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    nib.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").warnings == ()
    turned = affine.copy()
    turned[:3, :3] = Rotation.from_rotvec(np.roll(axis, 1) * np.radians(1)).as_matrix() @ affine[:3, :3]
    image.set_qform(turned, 1)
    nib.save(image, tmp_path / "a.nii")
    assert "two positions" in read_volume(tmp_path / "a.nii").warnings[0]


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), -1.0, 1e30, 100.0, 352.5])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_where_the_voxels_of_nifti_begin(tmp_path, offset, suffix):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image_of("i2", 1), str(path))
    data = bytearray(gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes())
    data[108:112] = struct.pack("<f", offset)
    path.write_bytes(gzip.compress(data) if suffix == ".nii.gz" else data)
    refused(path, "begin at byte")


def test_a_reader_that_crashes_or_hangs_costs_one_scan(tmp_path, monkeypatch):
    path = tmp_path / "a.vtk"
    sitk.WriteImage(image_of("i2", 1), str(path))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(path)
    path.write_bytes(data)
    monkeypatch.setattr(foreign, "START_S", 0.01)
    refused(path, "stopped after")
    monkeypatch.setattr(foreign, "START_S", 60)
    monkeypatch.setattr(foreign, "CHILD", "import os; os.abort()")
    refused(path, "its reader ended")


def test_label_maps_are_checked_alike(cases):
    with pytest.raises(BadInput, match="damaged"):
        read_labelmap(cases / "reading" / "l_bad.mha")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_pipes_and_devices(tmp_path):
    os.mkfifo(tmp_path / "a.nii.gz")
    refused(tmp_path / "a.nii.gz", "pipe")
    refused(Path("/dev/zero"), "device")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    sitk.WriteImage(image_of("i2", 1), str(tmp_path / "a.nrrd"))

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("rep3d.io.formats.first_bytes", denied)
    refused(tmp_path / "a.nrrd", "Permission denied", "permissions")


@pytest.mark.parametrize("count", [0, 8, -1])
def test_nifti_with_no_possible_number_of_dimensions(tmp_path, count):
    path = tmp_path / "a.nii"
    sitk.WriteImage(image_of("i2", 1), str(path))
    data = bytearray(path.read_bytes())
    data[40:42] = struct.pack("<h", count)
    path.write_bytes(data)
    refused(path, "announces no voxels")
