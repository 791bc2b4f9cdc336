"""DICOM inputs from public bug reports, re-created: each right voxel by voxel, or refused with the true reason."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from rep3d.data.reading import read_volume
from rep3d.errors import BadInput
from rep3d.inference.batch import find_scans

from ..dicom_files import check_volume

CASES = Path(os.environ.get("REP3D_DATA", "nowhere")).parent / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="REP3D_DATA has no folder 'cases' beside it")

RIGHT = [
    "ct_classic_multiframe_sbs",
    "ct_enhanced_scrambled",
    "ct_enhanced_slope_per_frame",
    "ct_enhanced_two_frames_swapped",
    "ct_intercept_first_slice_0",
    "ct_monochrome1_12bit",
    "ct_monochrome1_signed",
    "ct_monochrome1_unsigned16",
    "ct_no_preamble",
    "ct_one_fractional_slope",
    "mr_enhanced_interleaved",
    "mr_enhanced_slope_per_frame",
    "mr_monochrome1",
    "mr_slope_first_slice_1",
    "nm_series",
    "xa_series",
]
REFUSED = {
    "ct_classic_multiframe_no_spacing": ("no SpacingBetweenSlices", "SliceThickness 4 mm is not their distance"),
    "ct_enhanced_gap": ("gap", "4 mm apart", "frame 12 and 0000.dcm frame 13 34 mm"),
    "ct_half_of_slices_missing": ("9 slices are missing", "0004.dcm and 0005.dcm 8 mm"),
    "ct_last_slice_truncated": ("0023.dcm", "cut: 3390 of 4290 bytes"),
    "mr_last_six_truncated": ("6 of 40 files", "0034.dcm", "cut: 3416 of 3456 bytes"),
    "ct_mixed_pixel_spacing": ("differ in PixelSpacing", "6 x 6 mm in 1 (0012.dcm)"),
    "ct_no_pixel_spacing": ("24 of 24 files", "no PixelSpacing"),
    "ct_two_phases": ("24 of 24 positions hold several", "1: pass 1 (24 slices", "2: pass 2 (24 slices", "--series"),
    "ct_variable_pitch": ("unevenly spaced (12 x 4 mm, 11 x 5.4 mm)", "4.2 mm off"),
}
DAMAGED = {
    "case222": ("001.dcm", "1151 of 1152 bytes", "005.dcm", "Columns is missing"),
    "case256": ("001.dcm", "003.dcm", "cut: the file ends before its pixels"),
    "case991": ("006.dcm", "33 values a pixel"),
}


@pytest.fixture
def unpacked(tmp_path):
    """The folder with the files of a case."""

    def unpack(name: str) -> Path:
        with zipfile.ZipFile(CASES / "reading" / f"{name}.zip") as archive:
            archive.extractall(tmp_path)
        return next(p for p in sorted(tmp_path.rglob("*.dcm"))).parent

    return unpack


@pytest.mark.parametrize("name", RIGHT)
def test_right(name, unpacked):
    folder = unpacked(name)
    volume = read_volume(folder)
    assert volume.warnings == ()
    check_volume(volume, sorted(folder.iterdir()), tolerance=1e-3)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, unpacked):
    refused(unpacked(name), REFUSED[name])


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name):
    refused(CASES / "images" / name, DAMAGED[name])


def refused(folder: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as error:
        read_volume(folder)
    text = f"{error.value} {error.value.hint}"
    assert all(word in text for word in (folder.name, *words)), text


def test_an_empty_file_is_told(unpacked):
    folder = unpacked("ct_last_file_empty")
    volume = read_volume(folder)
    check_volume(volume, [f for f in sorted(folder.iterdir()) if f.stat().st_size], tolerance=1e-3)
    assert "0023.dcm (the file is empty)" in volume.warnings[0]


@pytest.mark.parametrize(("name", "left_out"), [("ct_up_and_down", 13), ("ct_enhanced_two_time_points", 24)])
def test_slices_that_are_copies_are_told(name, left_out, unpacked):
    """Both passes of these hold the same values, so that there is one right volume."""
    volume = read_volume(unpacked(name))
    assert volume.array.shape == (55, 39, 24) and f"{left_out} of" in volume.warnings[0]
    assert volume.spacing_mm == pytest.approx((8, 8, 4)) and (volume.array.min(), volume.array.max()) == (-1024, 617)


def test_a_nifti_beside_a_series_is_a_scan_too(unpacked):
    folder = unpacked("mixed_folder")
    assert find_scans([folder]) == [folder, folder / "a.nii.gz"]
