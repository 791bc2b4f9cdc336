"""Every file that ITK reads rightly gives the same voxels, type and grid here, bit for bit."""

from __future__ import annotations

import gzip
import locale
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.reading import read_volume
from scipy.spatial.transform import Rotation

from .conftest import itk_reading

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
FORMATS = ("nii", "nii.gz", "hdr", "nrrd", "nhdr", "mha", "mhd")


def image_of(dtype: str, seed: int) -> sitk.Image:
    """Values over the whole range of the type on an oblique, left- or right-handed grid."""
    rng = np.random.default_rng(seed)
    kind, size = np.dtype(dtype), rng.integers(2, 8, 3)
    if kind.kind == "f":
        array = (rng.normal(size=size) * 10.0 ** rng.integers(-3, 4)).astype(kind)
    else:
        limits = np.iinfo(kind)
        array = rng.integers(limits.min, limits.max, size, dtype=kind, endpoint=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(tuple(rng.uniform(0.2, 5, 3)))
    image.SetOrigin(tuple(rng.normal(size=3) * 100))
    turn = Rotation.random(random_state=seed).as_matrix() if seed % 3 else np.eye(3)[rng.permutation(3)]
    image.SetDirection((turn * [1, 1, rng.choice([-1, 1])]).ravel())
    return image


def same_as_itk(path: Path) -> None:
    array, geometry = itk_reading(path)
    volume = read_volume(path)
    assert volume.array.dtype == array.dtype
    np.testing.assert_array_equal(volume.array, array)
    assert volume.geometry == geometry
    np.testing.assert_array_equal(volume.affine, geometry.affine_ras)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_what_itk_writes(tmp_path, suffix, packed):
    for seed, dtype in enumerate(DTYPES):
        path = tmp_path / f"a{seed}.{suffix}"
        sitk.WriteImage(image_of(dtype, seed), str(path), useCompression=packed)
        same_as_itk(path)
        assert read_volume(path).warnings == ()


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "f4", "f8"])
@pytest.mark.parametrize("suffix", ["gipl", "gipl.gz"])
def test_gipl(tmp_path, dtype, suffix):
    image = sitk.GetImageFromArray(np.random.default_rng(3).integers(0, 100, (3, 4, 5)).astype(dtype))
    image.SetSpacing((1.5, 2, 3))
    image.SetOrigin((4, 5, 6))
    path = tmp_path / f"a.{suffix}"
    sitk.WriteImage(image, str(path))
    same_as_itk(path)
    assert "orientation" in read_volume(path).warnings[0]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("scale", [(1, 0), (2, 0), (0.37, -1024), (-1, 5), (1e-9, 0.1)])
def test_scaled_nifti(tmp_path, order, scale):
    for seed, dtype in enumerate(DTYPES):
        image = image_of(dtype, seed)
        array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
        header = nib.Nifti1Header(endianness=order)
        header.set_data_dtype(dtype)
        header.set_data_shape(array.shape)
        header.set_sform(np.diag([2.0, 2.0, 2.0, 1]), 1)
        header["pixdim"][1:4] = 2
        header["scl_slope"], header["scl_inter"], header["magic"], header["vox_offset"] = *scale, b"n+1", 352
        path = tmp_path / f"{dtype}.nii.gz"
        stored = array.astype(np.dtype(dtype).newbyteorder(order)).tobytes(order="F")
        path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + stored))
        if np.ptp(itk_reading(path)[0]) > 0:
            same_as_itk(path)


VALUES = np.arange(24, dtype="<i2")
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "TransformMatrix = 0 1 0 0 0 1 1 0 0\nOffset = 1 2 3\nElementSpacing = 1 2 3\nDimSize = 4 3 2\n"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
META_4D = (
    META.replace("NDims = 3", "NDims = 4")
    .replace("0 1 0 0 0 1 1 0 0", "0 1 0 0 0 0 1 0 1 0 0 0 0 0 0 1")
    .replace("1 2 3", "1 2 3 4")
    .replace("4 3 2", "4 3 2 1")
)


@pytest.mark.parametrize(
    "header",
    [
        META.replace("BinaryData = True\n", ""),
        META.replace("BinaryDataByteOrderMSB = False", "ElementByteOrderMSB = True"),
        META.replace("BinaryData = True", "BinaryData = 1"),
        META.replace("MET_SHORT", "MET_SHORT_ARRAY"),
        META.replace(" = ", ": "),
        META.replace(" = ", "="),
        META.replace("\n", "\r\n"),
        META.replace("TransformMatrix", "Rotation"),
        META.replace("TransformMatrix", "Orientation"),
        META.replace("Offset", "Position"),
        META.replace("Offset", "Origin"),
        META.replace("Offset", "ImagePosition"),
        META.replace("ElementSpacing", "ElementSize"),
        META.replace("ElementSpacing", "ElementSize = 5 5 5\nElementSpacing"),
        META.replace("ElementType", "HeaderSize = -1\nElementType"),
        META.replace("NDims", "Comment = a = b: c\nNDims"),
        META_4D,
    ],
)
def test_spellings_of_metaimage(tmp_path, header):
    (tmp_path / "a.mha").write_bytes(header.encode() + VALUES.tobytes())
    same_as_itk(tmp_path / "a.mha")


@pytest.mark.parametrize(
    "rest", ["a b.raw", "LIST\ns0.raw\ns1.raw\n", "LIST 2D\ns0.raw\ns1.raw", "s%d.raw 0 1 1", "s%d.raw 0"]
)
def test_detached_metaimage(tmp_path, rest):
    detached(tmp_path)
    (tmp_path / "a.mhd").write_text(META.replace("LOCAL", rest), encoding="utf-8")
    same_as_itk(tmp_path / "a.mhd")


def detached(folder: Path) -> None:
    (folder / "a b.raw").write_bytes(VALUES.tobytes())
    for i in (0, 1):
        (folder / f"s{i}.raw").write_bytes(VALUES[12 * i : 12 * i + 12].tobytes())


NRRD = (
    "NRRD0004\n# a comment\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
    "space directions: (0,1,0) (2,0,0) (0,0,3)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
    "space origin: (1,2,3)\nkey:=a value\n\n"
)
NO_SPACE = (
    NRRD.replace("space: left-posterior-superior\n", "")
    .replace("space directions: (0,1,0) (2,0,0) (0,0,3)\n", "spacings: 1 2 3\n")
    .replace("space origin: (1,2,3)\n", "")
)


def of_four(text: str, before: bool) -> str:
    text = text.replace("dimension: 3", "dimension: 4")
    if before:
        return (
            text.replace("sizes: 4", "sizes: 1 4")
            .replace("(0,1,0) (2", "none (0,1,0) (2")
            .replace("kinds: domain", "kinds: list domain")
        )
    return (
        text.replace("4 3 2", "4 3 2 1")
        .replace("(0,0,3)", "(0,0,3) none")
        .replace("domain domain domain", "domain domain domain list")
    )


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (NRRD, VALUES.tobytes()),
        (NRRD.replace("\n", "\r\n"), VALUES.tobytes()),
        (NRRD.replace("left-posterior", "right-anterior"), VALUES.tobytes()),
        (NRRD.replace("left-posterior-superior", "LAS"), VALUES.tobytes()),
        (NRRD.replace("left-posterior-superior", "scanner-xyz"), VALUES.tobytes()),
        (NRRD.replace("space: left-posterior-superior", "space dimension: 3"), VALUES.tobytes()),
        (NRRD.replace("space directions: (0,1,0) (2,0,0) (0,0,3)\n", ""), VALUES.tobytes()),
        (NRRD.replace("space origin: (1,2,3)\n", ""), VALUES.tobytes()),
        (NRRD.replace("sizes", "Sizes").replace("space directions", "SPACE DIRECTIONS"), VALUES.tobytes()),
        (NRRD.replace("endian: little", "endian: big"), VALUES.tobytes()),
        (NRRD.replace("short", "int8").replace("endian: little\n", ""), bytes(range(24))),
        (NRRD.replace("raw", "ascii"), b" ".join(b"%d" % v for v in VALUES)),
        (NRRD.replace("raw", "hex"), VALUES.tobytes().hex().encode()),
        (NRRD.replace("raw", "gzip"), gzip.compress(VALUES.tobytes()[:10]) + gzip.compress(VALUES.tobytes()[10:])),
        (
            NRRD.replace("raw", "gzip").replace("kinds", "byte skip: 4\nkinds"),
            gzip.compress(b"abcd" + VALUES.tobytes()),
        ),
        (NRRD.replace("kinds", "byte skip: 4\nline skip: 1\nkinds"), b"hello\nabcd" + VALUES.tobytes()),
        (NRRD.replace("kinds", "byte skip: -1\nkinds"), b"hello\nabcd" + VALUES.tobytes()),
        (of_four(NRRD, True), VALUES.tobytes()),
        (of_four(NRRD, False), VALUES.tobytes()),
        (NO_SPACE, VALUES.tobytes()),
        (NO_SPACE.replace("kinds", "axis mins: 10 20 30\nkinds"), VALUES.tobytes()),
        (NO_SPACE.replace("kinds", "axis mins: 10 20 30\ncenters: node node node\nkinds"), VALUES.tobytes()),
        (NO_SPACE.replace("spacings: 1 2 3", "axis mins: 10 20 30\naxis maxs: 20 30 40"), VALUES.tobytes()),
    ],
)
def test_spellings_of_nrrd(tmp_path, header, data):
    (tmp_path / "a.nrrd").write_bytes(header.encode() + data)
    same_as_itk(tmp_path / "a.nrrd")


@pytest.mark.parametrize("rest", ["data file: a b.raw", "data file: s%d.raw 0 1 1", "data file: LIST\ns0.raw\ns1.raw"])
def test_detached_nrrd(tmp_path, rest):
    detached(tmp_path)
    (tmp_path / "a.nhdr").write_text(NRRD[:-1] + rest + "\n", encoding="utf-8")
    same_as_itk(tmp_path / "a.nhdr")


@pytest.fixture
def same_locale():
    """ITK's writer of VTK files leaves the process in the locale "C"."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def test_a_format_that_only_itk_reads(tmp_path, same_locale):
    image = image_of("i2", 5)
    path = tmp_path / "ä.vtk"
    sitk.WriteImage(image, str(path))
    same_as_itk(path)
