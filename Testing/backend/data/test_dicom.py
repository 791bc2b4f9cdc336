"""DICOM in: exact real-world values on a grid that is right to a tenth of a voxel, or refused with the true reason."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)
from rep3d.data.reading import read_volume
from rep3d.errors import BadInput, OutOfMemory
from rep3d.io.dicom import headers
from rep3d.io.dicom.detect import has_dicom

from ..dicom_files import Scan, check_volume, made, stacked

PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def read(folder: Path, **options):
    """The volume of a folder, checked against an independent reader."""
    volume = read_volume(folder, **options)
    check_volume(volume, sorted(folder.iterdir()))
    return volume


def refused(path: Path, *words: str, **options) -> str:
    with pytest.raises(BadInput) as error:
        read_volume(path, **options)
    text = f"{error.value} {error.value.hint}"
    for word in words:
        assert word in text, text
    assert path.name in text
    return text


@st.composite
def scans(draw):
    bits, signed = draw(st.sampled_from([8, 12, 16])), draw(st.booleans())
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    n, rows, columns = draw(st.integers(2, 5)), draw(st.integers(2, 5)), draw(st.integers(2, 5))
    stored = np.random.default_rng(draw(st.integers(0, 99))).integers(low, high, (n, rows, columns), endpoint=True)
    stored[0, 0, :2] = low, high
    axes = draw(st.sampled_from([np.eye(3), np.eye(3)[[1, 2, 0]], np.eye(3)[[0, 2, 1]], -np.eye(3)]))
    for axis, angle in enumerate(draw(st.tuples(*[st.sampled_from([0.0, 0.3, -1.1])] * 3))):
        turn = np.eye(3)
        a, b = [k for k in range(3) if k != axis]
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        axes = axes @ turn
    slopes = st.sampled_from([1, 2, -1, 0.5, 0.00032, 3.3])
    lines = draw(st.lists(st.tuples(slopes, st.sampled_from([0, -1024, 7, 0.25])), min_size=n, max_size=n))
    if draw(st.booleans()):
        lines = [lines[0]] * n
    tags = {"PhotometricInterpretation": draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"]))}
    return Scan(
        stored,
        orientation=axes[:2],
        spacing=draw(st.tuples(*[st.sampled_from([0.4, 1.0, 3.0])] * 2)),
        step=draw(st.sampled_from([0.5, 2.5, 7.0])),
        lines=lines,
        order=draw(st.permutations(range(n))),
        signed=signed,
        bits=bits,
        syntax=draw(st.sampled_from(PLAIN)),
        tags=tags,
    )


@given(scan=scans(), enhanced=st.booleans())
@settings(max_examples=60, deadline=None)
def test_values_and_places_of_any_scan(scan, enhanced):
    with tempfile.TemporaryDirectory() as folder:
        folder = (scan.write_enhanced if enhanced else scan.write)(Path(folder) / "a")
        if scan.stored.min() == scan.stored.max():
            return
        volume = read(folder)
        whole = all(float(v).is_integer() for line in scan.lines for v in line)
        assert (volume.array.dtype == np.float32) != whole
        assert len(volume.dicom.slices) == len(scan.stored) and volume.dicom.modality == "CT"


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed(tmp_path, syntax):
    folder = made(change=lambda d, k: d.compress(syntax, generate_instance_uid=False)).write(tmp_path / "a")
    read(folder)


def test_streams_that_itk_decodes(tmp_path):
    """JPEG lossless is common in archives, and pydicom alone has no decoder for it."""

    def compress(dataset, k):
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "x.dcm"))
        writer.SetImageIO("GDCMImageIO")
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(scan.stored[k][None]))
        coded = pydicom.dcmread(tmp_path / "x.dcm")
        dataset.file_meta.TransferSyntaxUID = coded.file_meta.TransferSyntaxUID
        dataset.PixelData = coded.PixelData
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    scan = made(4, lines=[(1, -1024)] * 4, tags={"PhotometricInterpretation": "MONOCHROME1"}, change=compress)
    scan.stored = np.random.default_rng(0).integers(-2000, 2000, (4, 40, 48)).astype(np.int16)
    folder = scan.write(tmp_path / "a")
    np.testing.assert_array_equal(read_volume(folder).array, scan.stored.transpose(2, 1, 0) - 1024)
    last = pydicom.dcmread(folder / "003.dcm")
    last.PixelData = bytes(last.PixelData).replace(last.PixelData[-40:-30], b"\xff\x19" * 5)
    last.save_as(folder / "003.dcm")
    refused(folder, "003.dcm", "compressed")


def test_a_syntax_without_decoder_and_a_stream_of_another_size(tmp_path):
    folder = made(change=lambda d, k: d.compress(JPEGLSLossless)).write(tmp_path / "a")
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.Rows = 4
        dataset.save_as(file)
    refused(folder, "4 x 5 pixels", "the header 4 x 4")  # before a decoder makes room for it

    def video(dataset, k):
        dataset.compress(JPEGLSLossless)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"

    text = refused(made(change=video).write(tmp_path / "b"), "no decoder", "Decompress")
    assert "compressed as" in text


def test_bits_that_are_not_stored_are_no_values(tmp_path):
    scan = made(bits=12)
    full = replace(scan, change=lambda d, k: setattr(d, "PixelData", (scan.stored[k] & 0xFFF).astype("<u2").tobytes()))
    np.testing.assert_array_equal(read_volume(full.write(tmp_path / "a")).array, scan.stored.transpose(2, 1, 0))
    wrong = replace(scan, tags={"HighBit": 15})
    refused(wrong.write(tmp_path / "b"), "HighBit 15 contradicts BitsStored 12")


def test_without_preamble_and_nameless(tmp_path):
    folder = made().write(tmp_path / "a")
    for file in list(folder.iterdir()):
        data = file.read_bytes()
        start = 144 + int.from_bytes(data[140:144], "little")
        (folder / file.stem).write_bytes(data[start:])
        file.unlink()
    assert has_dicom(folder)
    read(folder)


@pytest.mark.parametrize("tag", ["ImagerPixelSpacing", "NominalScannedPixelSpacing", None])
def test_no_pixel_spacing(tmp_path, tag):
    def change(dataset, k):
        del dataset.PixelSpacing
        if tag:
            setattr(dataset, tag, [0.8, 0.6])

    refused(made(change=change).write(tmp_path / "a"), "no PixelSpacing", *([tag, "0.8 x 0.6 mm"] if tag else []))


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (("PixelSpacing", "2 x 0.6 mm in 1", "003.dcm"), lambda d: setattr(d, "PixelSpacing", [2.0, 0.6])),
        (("different planes", "003.dcm"), lambda d: setattr(d, "ImageOrientationPatient", [1, 0, 0, 0, 0, -1])),
        (("different sizes", "003.dcm"), lambda d: (setattr(d, "Rows", 4), setattr(d, "PixelData", d.PixelData[:32]))),
        (("different frames of reference",), lambda d: setattr(d, "FrameOfReferenceUID", "1.2.3")),
        (("ModalityLUTSequence",), lambda d: setattr(d, "ModalityLUTSequence", [pydicom.Dataset()])),
        (("RescaleSlope is 0",), lambda d: setattr(d, "RescaleSlope", 0)),
        (("no ImageOrientationPatient",), lambda d: delattr(d, "ImageOrientationPatient")),
        (("no ImagePositionPatient",), lambda d: delattr(d, "ImagePositionPatient")),
        (("colour",), lambda d: setattr(d, "PhotometricInterpretation", "PALETTE COLOR")),
        (("mosaic",), lambda d: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"])),
        (("two directions",), lambda d: setattr(d, "ImageOrientationPatient", [1, 0, 0, 0, 0, 0])),
        (("RescaleSlope", "missing in 1 of 6"), lambda d: (delattr(d, "RescaleSlope"), delattr(d, "RescaleIntercept"))),
    ],
)
def test_one_odd_slice(tmp_path, words, change):
    folder = made(lines=[(1, -5)] * 6, change=lambda d, k: change(d) if k == 3 else None).write(tmp_path / "a")
    refused(folder, *words, "003.dcm")


@pytest.mark.parametrize("which", [0, 5])
def test_cut_and_empty_files_at_the_ends(tmp_path, which):
    folder = made().write(tmp_path / "a")
    file = folder / f"{which:03d}.dcm"
    data = file.read_bytes()
    file.write_bytes(data[:-5])
    refused(folder, file.name, "cut", "35 of 40 bytes", "move them out")
    file.write_bytes(data[:600])
    refused(folder, file.name)
    file.write_bytes(b"")
    volume = read_volume(folder)
    check_volume(volume, [f for f in sorted(folder.iterdir()) if f != file])
    assert file.name in volume.warnings[0] and "empty" in volume.warnings[0]


def test_positions_that_make_no_grid(tmp_path):
    def at(*heights):
        return made(len(heights), positions=[(0, 0, h) for h in heights]).write(
            tmp_path / str(len(list(tmp_path.iterdir())))
        )

    refused(at(0, 2, 4, 8, 10), "1 slice is missing", "002.dcm and 003.dcm 4 mm")
    refused(at(0, 2, 4, 8, 12, 16), "3 slices are missing", "2 mm apart")
    refused(at(0, 2, 4, 9, 11), "gap", "002.dcm and 003.dcm 5 mm")
    refused(at(0, 4, 8, 12, 17.4, 22.8, 28.2), "unevenly spaced", "3 x 4 mm, 3 x 5.4 mm", "1.2 mm off")
    volume = read(at(0, 2, 4.1, 6.1, 8.1))
    assert "unevenly spaced (2 to 2.1 mm" in volume.warnings[0] and "mm (0.02" in volume.warnings[0]


@pytest.mark.parametrize(("degrees", "fits"), [(0.5, True), (2.0, False), (10.0, False)])
def test_gantry_tilt(tmp_path, degrees, fits):
    shift = 2.5 * np.tan(np.radians(degrees))
    folder = made(positions=[(0, shift * k, 2.5 * k) for k in range(6)]).write(tmp_path / "a")
    if fits:
        assert "mm (0.0" in read(folder).warnings[0]
    else:
        refused(folder, f"gantry tilt of {degrees:g} degrees", f"{5 * shift:.3g} mm")


def test_copies_and_two_time_points(tmp_path):
    folder = made().write(tmp_path / "a")
    shutil.copy(folder / "002.dcm", folder / "002 (1).dcm")
    volume = read_volume(folder)
    check_volume(volume, [f for f in sorted(folder.iterdir()) if f.name != "002 (1).dcm"])
    assert "1 of 7 slices, copies" in volume.warnings[0]

    stored = made(12).stored
    places = [(0, 0, 2.5 * (k % 6)) for k in range(12)]
    for name, tags in [("AcquisitionNumber", [1, 2]), ("EchoTime", [4.6, 92]), ("pass", None)]:
        change = (lambda d, k, n=name, t=tags: setattr(d, n, t[k // 6])) if tags else None
        scan = Scan(stored, positions=places, change=change)
        folder = scan.write(tmp_path / name)
        text = refused(folder, "6 of 6 positions hold several", f"1: {name} {tags[0] if tags else 1} (6 slices", ":1")
        uid = text.split("--series ")[1].split(":")[0]
        second = read_volume(folder, series_uid=f"{uid}:2")
        check_volume(second, sorted(folder.iterdir())[6:])
        assert second.dicom.uid == f"{uid}:2" and "number 2 of 2" in second.warnings[0]
        refused(folder, "holds 2 volumes", series_uid=f"{uid}:3")


def test_up_and_down_between(tmp_path):
    up, down = [2.0 * k for k in range(6)], [9.0 - 2 * k for k in range(4)]
    folder = made(10, positions=[(0, 0, h) for h in up + down]).write(tmp_path / "a")
    text = refused(folder, "lie between each other", "2 volumes", "pass 1 (6 slices, 000.dcm to 005.dcm)")
    uid = text.split("--series ")[1].split(":")[0]
    check_volume(read_volume(folder, series_uid=f"{uid}:2"), sorted(folder.iterdir())[6:])


def test_enhanced_frames(tmp_path):
    scan = made(order=[3, 0, 5, 1, 4, 2], lines=[(0.5 * (k + 1), -k) for k in range(6)])
    volume = read(scan.write_enhanced(tmp_path / "a"))
    assert [s.frame for s in volume.dicom.slices] == [2, 4, 6, 1, 5, 3]
    np.testing.assert_array_equal(read_volume(tmp_path / "a" / "enhanced.dcm").array, volume.array)
    gap = made(5, positions=[(0, 0, h) for h in (0, 2, 4, 10, 12)]).write_enhanced(tmp_path / "b")
    refused(gap, "2 slices are missing", "frame 3 and enhanced.dcm frame 4 6 mm")
    few = made(change=lambda d, k: d.PerFrameFunctionalGroupsSequence.pop()).write_enhanced(tmp_path / "c")
    refused(few, "6, but 5 frames are described")


def test_many_frames_without_places_of_their_own(tmp_path):
    read(stacked(made(), tmp_path / "a", SpacingBetweenSlices=2.5))
    refused(stacked(made(), tmp_path / "b"), "no SpacingBetweenSlices", "SliceThickness 2.5 mm is not their distance")
    film = {"FrameIncrementPointer": 0x00181063, "FrameTime": 40, "SOPClassUID": UltrasoundMultiFrameImageStorage}
    refused(stacked(made(), tmp_path / "c", SpacingBetweenSlices=2.5, **film), "a film")


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.20", "1.2.3.4.5"])
def test_other_classes_state_their_place_all_the_same(tmp_path, sop_class):
    read(made(tags={"SOPClassUID": sop_class}).write(tmp_path / "a"))


PET = {
    "Modality": "PT",
    "Units": "BQML",
    "CorrectedImage": ["ATTN", "DECY"],
    "DecayCorrection": "START",
    "PatientWeight": 80,
    "SeriesDate": "20260101",
    "SeriesTime": "130000",
    "AcquisitionDate": "20260101",
    "AcquisitionTime": "130500",
}


def pet(folder: Path, **more) -> Path:
    from pydicom.dataset import Dataset

    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 4e8, 3600
    drug.RadiopharmaceuticalStartTime = "120000"
    tags = {**PET, "RadiopharmaceuticalInformationSequence": [drug], **more}
    return made(lines=[(2.0, 0)] * 6, tags=tags).write(folder)


def test_uptake_values_where_the_tags_allow(tmp_path):
    stored = made().stored.transpose(2, 1, 0)
    volume = read_volume(pet(tmp_path / "a"))
    np.testing.assert_allclose(volume.array, stored * 2.0 * 80_000 / 2e8, rtol=1e-6)  # one half-life of an hour
    assert volume.dicom.unit == "SUV (g/mL)" and "0.0004" in volume.warnings[0]
    for k, more in enumerate([{"PatientWeight": None}, {"SeriesTime": "131000"}, {"CorrectedImage": ["ATTN"]}]):
        volume = read_volume(pet(tmp_path / str(k), **more))
        np.testing.assert_array_equal(volume.array, stored * 2)
        assert "Bq/mL (no SUV" in volume.warnings[0]
    assert "in counts" in read_volume(pet(tmp_path / "counts", Units="CNTS")).warnings[0]


def test_hostile_sizes_are_refused_before_they_are_believed(tmp_path, monkeypatch):
    huge = made(tags={"Rows": 65535, "Columns": 65535}).write(tmp_path / "a")
    refused(huge, "40 bytes")
    refused(stacked(made(), tmp_path / "b", NumberOfFrames=2**31 - 1, SpacingBetweenSlices=1.0), "NumberOfFrames")
    folder = made().write(tmp_path / "c")
    data = bytearray((folder / "000.dcm").read_bytes())
    place = data.index(b"\x28\x00\x10\x00US")
    data[place + 4 : place + 12] = b"OB\0\0\xf0\xff\xff\x7f"  # an element of 2 GiB
    (folder / "000.dcm").write_bytes(data)
    refused(folder, "000.dcm")
    monkeypatch.setattr(headers, "INFLATED_FREE", 1 << 16)
    bomb = made(syntax=DeflatedExplicitVRLittleEndian, change=lambda d, k: setattr(d, "ImageComments", " " * 10**6))
    refused(bomb.write(tmp_path / "d"), "inflates")
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 100})())
    with pytest.raises(OutOfMemory, match="4 x 5 x 6"):
        read_volume(made().write(tmp_path / "e"))


def test_what_is_no_scan(tmp_path):
    folder = made(tags={"Modality": "SEG"}).write(tmp_path / "a")
    assert not has_dicom(folder)
    refused(folder, "only SEG")
    mixed = made().write(tmp_path / "b")
    shutil.copy(folder / "000.dcm", mixed / "x.dcm")
    (mixed / "notes.txt").write_text("no DICOM", encoding="utf-8")
    (mixed / "DICOMDIR").write_bytes((mixed / "000.dcm").read_bytes())
    assert read_volume(mixed).shape == (4, 5, 6) and CTImageStorage in read_volume(mixed).dicom.slices[0].sop_class
