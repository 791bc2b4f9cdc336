"""Results as other programs read them: grids, names, colours and codes; and nothing half-written under a final name."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.reading import read_volume
from rep3d.errors import BadInput, OutputFailed
from rep3d.inference import writing
from rep3d.inference.pipeline import segment_volume
from rep3d.inference.writing import FORMATS, OutputFiles, check_writable, format_of, write_result


@pytest.fixture
def oblique_scan_file(tmp_path, scan, save_scan):
    """The ball on an oblique left-handed grid, as NRRD, so that nothing is rounded to float32 on the way in."""
    c, s = np.cos(0.2), np.sin(0.2)
    affine = np.array([[0, -1.1 * c, -0.9 * s, 7], [0.8, 0, 0, -11], [0, -1.1 * s, 0.9 * c, 3], [0, 0, 0, 1.0]])
    from rep3d.data.volume import Geometry, Volume

    return save_scan(tmp_path / "oblique.nrrd", Volume(scan.array, affine, Geometry.from_affine(affine, scan.shape)))


@pytest.fixture
def result(oblique_scan_file, small_task, threshold):
    return segment_volume(read_volume(oblique_scan_file), threshold, small_task, device="cpu")


def write(result, path: Path) -> OutputFiles:
    files = OutputFiles.beside(path, format_of(path))
    write_result(result, files)
    return files


@pytest.mark.parametrize("fmt", ["nii.gz", "nii", "nrrd", "seg.nrrd"])
def test_simpleitk_reads_the_same_grid(tmp_path, result, oblique_scan_file, fmt):
    path = tmp_path / f"Ergebnis mit Umlaut ä.{fmt}"
    write(result, path)
    source, image = sitk.ReadImage(str(oblique_scan_file)), sitk.ReadImage(str(path))
    assert image.GetSize() == source.GetSize()
    exact = fmt.endswith("nrrd")
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        here, there = np.array(getattr(image, get)()), np.array(getattr(source, get)())
        np.testing.assert_allclose(here, there, rtol=0 if exact else 1e-6, atol=0 if exact else 1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), result.labelmap)
    assert image.GetPixelID() == sitk.sitkUInt8


def test_nibabel_reads_the_same_grid(tmp_path, result):
    image = nib.load(write(result, tmp_path / "a.nii.gz").labels)
    for affine in (image.affine, image.get_qform()):
        np.testing.assert_allclose(affine, result.volume.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(image.dataobj), result.labelmap)
    assert image.header["qform_code"] == image.header["sform_code"] == 1
    assert image.header.get_xyzt_units()[0] == "mm" and image.header.get_intent()[0] == "label"


@pytest.mark.parametrize("codes", [(1, 1), (2, 0), (0, 4), (1, 2), (0, 0)])
def test_nifti_geometry_is_copied_bit_for_bit(tmp_path, scan, small_task, threshold, codes):
    """qform and sform that differ stay as they are, so that every program shows the result where it shows the scan."""
    sform = np.array([[0, -1.0, 0.03, 5], [1, 0, 0, 6], [0, 0.03, 1, 7], [0, 0, 0, 1]])
    qform = np.diag([-1.0, -1, 1, 1])
    image = nib.Nifti1Image(scan.array.astype(np.int16), sform)
    image.set_sform(sform, codes[1])
    image.set_qform(qform, codes[0])
    nib.save(image, tmp_path / "scan.nii.gz")
    result = segment_volume(read_volume(tmp_path / "scan.nii.gz"), threshold, small_task, device="cpu")
    written = nib.load(write(result, tmp_path / "out.nii.gz").labels)
    loaded = nib.load(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(written.affine, loaded.affine)
    for key in ("qform_code", "sform_code", "pixdim", "quatern_b", "qoffset_x", "srow_x", "srow_y", "srow_z"):
        np.testing.assert_array_equal(
            written.header[key][:4] if key == "pixdim" else written.header[key],
            loaded.header[key][:4] if key == "pixdim" else loaded.header[key],
        )
    itk = [sitk.ReadImage(str(tmp_path / name)) for name in ("scan.nii.gz", "out.nii.gz")]
    assert itk[0].GetDirection() == itk[1].GetDirection() and itk[0].GetOrigin() == itk[1].GetOrigin()


def test_slicerio_reads_the_segmentation(tmp_path, result, small_task):
    slicerio = pytest.importorskip("slicerio")
    files = write(result, tmp_path / "a.seg.nrrd")
    read = slicerio.read_segmentation(str(files.labels))
    np.testing.assert_array_equal(read["voxels"], result.labelmap)
    lps = np.diag([-1, -1, 1, 1]) @ result.volume.affine
    np.testing.assert_allclose(read["ijkToLPS"], lps, atol=1e-12)
    assert read["masterRepresentation"] == "Binary labelmap"
    assert len(read["segments"]) == len(small_task.labels)
    for segment, label in zip(read["segments"], small_task.labels):
        assert (segment["id"], segment["name"]) == (label.key, label.name)
        assert (segment["labelValue"], segment["layer"]) == (label.value, 0)
        np.testing.assert_allclose(segment["color"], np.array(label.color) / 255, atol=1e-5)
        codes = segment["terminology"]
        assert codes["type"] == [label.type.scheme, label.type.value, label.type.meaning]
        assert codes["category"] == [label.category.scheme, label.category.value, label.category.meaning]
        where = np.argwhere(result.labelmap == label.value)
        expected = np.stack([where.min(0), where.max(0)], 1).ravel()
        np.testing.assert_array_equal(segment["extent"], expected)
    copy = tmp_path / "copy.seg.nrrd"
    slicerio.write_segmentation(str(copy), read)
    again = slicerio.read_segmentation(str(copy))
    np.testing.assert_array_equal(again["voxels"], result.labelmap)
    assert [s["name"] for s in again["segments"]] == [label.name for label in small_task.labels]
    one = slicerio.extract_segments(read, [(small_task.labels[1].name, 7)])
    np.testing.assert_array_equal(one["voxels"] == 7, result.labelmap == 2)


def test_modifier_and_absent_structure(tmp_path, scan, small_task, threshold):
    from dataclasses import replace

    from rep3d.tasks import load_task

    slicerio = pytest.importorskip("slicerio")
    labels = load_task("openkbp").labels[:4]
    assert labels[3].modifier is not None
    task = replace(small_task, labels=labels)
    threshold.classes = 5
    result = segment_volume(scan, threshold, task, device="cpu")
    read = slicerio.read_segmentation(str(write(result, tmp_path / "a.seg.nrrd").labels))
    last = read["segments"][3]
    assert last["terminology"]["typeModifier"][2] == labels[3].modifier.meaning
    assert last["extent"] == [0, -1, 0, -1, 0, -1]
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert [r["voxels"] for r in rows][2:] == ["0", "0"] and rows[3]["mean"] == ""


def test_json_and_csv(tmp_path, result, oblique_scan_file):
    files = write(result, tmp_path / "sub folder" / "a.nii.gz")
    data = json.loads(files.json.read_text(encoding="utf-8"))
    assert data["input"]["path"] == str(oblique_scan_file) and data["output"]["file"] == "a.nii.gz"
    assert data["settings"]["overlap"] == 0.5 and data["settings"]["precision"] == "float32"
    assert {"torch", "numpy", "SimpleITK", "python"} <= set(data["versions"])
    rows = list(csv.DictReader(files.csv.read_text(encoding="utf-8").splitlines()))
    voxel_ml = 1.1 * 0.9 * 0.8 / 1000
    for row, found in zip(rows, data["structures"], strict=True):
        count = int((result.labelmap == int(row["value"])).sum())
        assert int(row["voxels"]) == found["voxels"] == count > 0
        assert float(row["volume_ml"]) == pytest.approx(count * voxel_ml, rel=1e-5)
        inside = result.volume.array[result.labelmap == int(row["value"])]
        assert float(row["mean"]) == pytest.approx(inside.mean(), rel=1e-5)
        assert found["sd"] == pytest.approx(inside.std(), abs=1e-3)


def test_dicom_seg(tmp_path, scan, small_task, threshold, write_series):
    hd = pytest.importorskip("highdicom")
    pydicom = pytest.importorskip("pydicom")
    folder = tmp_path / "series"
    write_series(folder, scan.array.astype(np.int16), spacing=1.5)
    volume = read_volume(folder)
    result = segment_volume(volume, threshold, small_task, device="cpu")
    files = write(result, tmp_path / "out.dcm")
    seg = hd.seg.segread(files.labels)
    first = pydicom.dcmread(next(folder.iterdir()))
    assert seg.StudyInstanceUID == first.StudyInstanceUID and seg.Modality == "SEG"
    assert seg.SeriesInstanceUID != first.SeriesInstanceUID
    labels = [small_task.labels[i] for i in range(2)]
    for number, label in enumerate(labels, start=1):
        description = seg.get_segment_description(number)
        assert description.segment_label == label.name
        assert description.segmented_property_type.value == label.type.value
    frames = seg.get_volume(combine_segments=True)
    ours = np.round(np.linalg.inv(np.diag([-1, -1, 1, 1]) @ volume.affine) @ frames.affine, 6)
    for index in np.argwhere(frames.array)[::50]:
        x, y, z, _ = (ours @ [*index, 1]).round().astype(int)
        assert result.labelmap[x, y, z] == frames.array[tuple(index)]
    assert (frames.array == 1).sum() == (result.labelmap == 1).sum()
    assert (frames.array == 2).sum() == (result.labelmap == 2).sum()


def test_dicom_seg_needs_a_series(tmp_path, result):
    with pytest.raises(BadInput, match="DICOM SEG"):
        write(result, tmp_path / "a.dcm")
    assert list(tmp_path.glob("a.*")) == []


def test_format_of_names():
    assert [format_of(Path(f"x.{f}")) for f in FORMATS] == list(FORMATS)
    assert format_of(Path("X.NII.GZ")) == "nii.gz"
    assert format_of(Path("folder.d")) is None and format_of(Path(".nrrd")) is None
    assert OutputFiles.beside(Path("a/b.c.seg.nrrd"), "seg.nrrd").json == Path("a/b.c.json")


def test_folder_that_cannot_be_written(tmp_path, result):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputFailed, match="file"):
        check_writable(tmp_path / "file" / "sub")
    with pytest.raises(OutputFailed, match="file"):
        write(result, tmp_path / "file" / "a.nii.gz")
    (tmp_path / "b.nii.gz").mkdir()
    with pytest.raises(OutputFailed, match="folder has this name"):
        write(result, tmp_path / "b.nii.gz")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_no_permission(tmp_path, result):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputFailed, match="closed"):
        write(result, tmp_path / "closed" / "a.nii.gz")


@pytest.mark.parametrize("fmt", ["nii.gz", "nii", "nrrd", "seg.nrrd"])
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on file sizes")
def test_disk_full(tmp_path, result, fmt):
    """A file size limit stands in for a full disk: the write fails half way and no name is left behind."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(OutputFailed, match=r"out\."):
            write(result, tmp_path / "folder" / f"out.{fmt}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list((tmp_path / "folder").iterdir()) == []


def test_failing_half_way_keeps_no_old_numbers(tmp_path, result, monkeypatch):
    """When the second file of a result fails, the first may be new, but the result does not count as whole."""
    path = tmp_path / "a.nii.gz"
    files = write(result, path)
    assert files.complete()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "as_csv", full)
    with pytest.raises((OutputFailed, OSError)):
        write(result, path)
    assert not files.complete()


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGTERM", "SIGINT"])
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupted_while_writing(tmp_path, signal_name):
    """A child is stopped in the middle of the label map: no final name exists afterwards."""
    code = """
        import signal, sys, time
        from pathlib import Path
        from dataclasses import replace
        import numpy as np
        from rep3d.data.volume import Volume
        from rep3d.inference import nifti_writer, writing

        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
        from rep3d.inference.result import SegmentationResult
        from rep3d.tasks import load_task

        def slow(file, header, labelmap):
            file.write(header)
            file.write(bytes(1 << 20))
            print("half", flush=True)
            time.sleep(60)

        nifti_writer._write = slow
        task = load_task("openkbp")
        volume = Volume(np.zeros((4, 4, 4), np.float32), np.eye(4))
        labels = np.zeros((4, 4, 4), np.uint8)
        result = SegmentationResult(volume, labels, task, task.labels, (), (), {}, {})
        writing.write_result(result, writing.OutputFiles.beside(Path(sys.argv[1]), "nii"))
    """
    final = tmp_path / "out.nii"
    command = [sys.executable, "-c", textwrap.dedent(code), str(final)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.stdout.readline() == b"half\n"
        child.send_signal(getattr(signal, signal_name))
        assert child.wait(30) != 0
    finally:
        child.kill()
        child.wait()
    time.sleep(0)
    names = [p.name for p in tmp_path.iterdir()]
    assert not any(n.startswith("out") for n in names), names
    if signal_name == "SIGINT":  # an ordinary interruption also tidies up its temporary file
        assert names == []
