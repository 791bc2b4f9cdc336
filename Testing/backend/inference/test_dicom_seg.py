"""DICOM SEG: every frame holds the labels of the frame that it refers to, at its very position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from rep3d.data.reading import read_volume
from rep3d.errors import BadInput
from rep3d.inference.dicom_seg import require_dicom, write_dicom_seg
from rep3d.tasks import load_task

from ..dicom_files import made, stacked

LABELS = load_task("msd-hippocampus").labels
TURNED = np.array([[0.8, 0.6, 0], [0.36, -0.48, 0.8]])


def written(volume, path):
    """A label map with all labels in most slices, written; the label map and what pydicom reads back."""
    require_dicom(volume)
    labelmap = np.random.default_rng(1).integers(0, 3, volume.shape).astype(np.uint8)
    labelmap[:, :, 1] = 0
    write_dicom_seg(path, labelmap, volume, LABELS, "weights")
    return labelmap, pydicom.dcmread(path)


def check(volume, path):
    """Compare frame by frame, by the position that each states and the frame of the scan that it names."""
    labelmap, found = written(volume, path)
    sources = {pydicom.dcmread(f).SOPInstanceUID: pydicom.dcmread(f) for f in volume.dicom.files}
    inverse, left = np.linalg.inv(volume.grid.affine_ras), labelmap.copy()
    for group, mask in zip(found.PerFrameFunctionalGroupsSequence, found.pixel_array, strict=True):
        position = np.asarray(group.PlanePositionSequence[0].ImagePositionPatient, float)
        index = inverse @ [*(position * [-1, -1, 1]), 1]
        assert np.abs(index[:2]).max() < 0.1 and abs(index[2] - round(index[2])) < 0.1
        slice_ = left[:, :, round(index[2])].T
        value = LABELS[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1].value
        np.testing.assert_array_equal(mask.astype(bool), slice_ == value)
        slice_[slice_ == value] = 0
        reference = group.DerivationImageSequence[0].SourceImageSequence[0]
        source = sources[reference.ReferencedSOPInstanceUID]
        assert reference.ReferencedSOPClassUID == source.SOPClassUID
        assert ("ReferencedFrameNumber" in reference) == ("NumberOfFrames" in source)
        if "PerFrameFunctionalGroupsSequence" in source:
            source = source.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
            source = source.PlanePositionSequence[0]
        if "NumberOfFrames" not in source:
            np.testing.assert_allclose(position, np.asarray(source.ImagePositionPatient, float), atol=1e-6)
        else:
            assert reference.ReferencedFrameNumber == round(index[2]) + 1
    assert not left.any()
    instances = [i.ReferencedSOPInstanceUID for i in found.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    assert sorted(instances) == sorted(sources)
    turn = found.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    np.testing.assert_allclose(np.asarray(turn, float).reshape(2, 3), volume.geometry.affine_ras[:3, :2].T
                               / np.asarray(volume.spacing_mm[:2])[:, None] * [-1, -1, 1], atol=1e-6)  # fmt: skip


def test_single_frames_out_of_order_and_turned(tmp_path):
    scan = made(orientation=TURNED, order=[4, 2, 0, 5, 3, 1], tags={"SpacingBetweenSlices": -4})
    check(read_volume(scan.write(tmp_path / "a")), tmp_path / "a_seg.dcm")


def test_slices_beside_the_grid_keep_their_own_position(tmp_path):
    scan = made(positions=[(0, 0.02 * k, 2.5 * k) for k in range(6)])
    check(read_volume(scan.write(tmp_path / "a")), tmp_path / "a_seg.dcm")


def test_frames_of_one_file(tmp_path):
    scan = made(orientation=TURNED, order=[3, 0, 5, 1, 4, 2])
    check(read_volume(scan.write_enhanced(tmp_path / "a")), tmp_path / "a_seg.dcm")
    check(read_volume(stacked(made(), tmp_path / "b", SpacingBetweenSlices=2.5)), tmp_path / "b_seg.dcm")


def test_frames_of_two_files(tmp_path):
    scan = made()
    folder = replace(scan, order=[5, 1, 3]).write_enhanced(tmp_path / "a")
    (folder / "enhanced.dcm").rename(folder / "first.dcm")
    other = replace(scan, order=[0, 2, 4]).write_enhanced(tmp_path / "b")
    second = pydicom.dcmread(other / "enhanced.dcm")
    first = pydicom.dcmread(folder / "first.dcm")
    second.SeriesInstanceUID, second.StudyInstanceUID = first.SeriesInstanceUID, first.StudyInstanceUID
    second.FrameOfReferenceUID = first.FrameOfReferenceUID
    second.save_as(folder / "second.dcm")
    check(read_volume(folder), tmp_path / "a_seg.dcm")


@pytest.mark.parametrize("tag", ["FrameOfReferenceUID", "StudyInstanceUID", "SOPInstanceUID"])
def test_what_could_not_be_written_is_refused_before_the_run(tmp_path, tag):
    def change(dataset, k):
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        delattr(dataset, tag)

    folder = made(change=change).write(tmp_path / "a")
    with pytest.raises(BadInput, match=tag) as error:
        require_dicom(read_volume(folder))
    assert "seg.nrrd" in error.value.hint
