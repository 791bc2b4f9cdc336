"""Small images with known voxels and grids, in every format that Rep3D reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture
def voxels() -> np.ndarray:
    """A small CT-like array [X, Y, Z] whose voxels all differ."""
    return np.random.default_rng(0).permutation(12 * 10 * 8).reshape(12, 10, 8).astype(np.int16) - 500


@pytest.fixture
def oblique_image(voxels) -> sitk.Image:
    """``voxels`` on an oblique, left-handed, anisotropic grid."""
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    image.SetSpacing((0.7, 1.3, 2.5))
    image.SetOrigin((-31.5, 12.25, 400.125))
    c, s = np.cos(0.3), np.sin(0.3)
    image.SetDirection((c, -s, 0, s, c, 0, 0, 0, -1))
    return image


@pytest.fixture
def write_series():
    """Write a DICOM series of axial slices: write_series(folder, array [X, Y, Z], positions=..., uid=...)."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    study, frame = generate_uid(), generate_uid()

    def write(folder: Path, array: np.ndarray, *, uid: str | None = None, positions=None, prefix="slice", spacing=2.5):
        folder.mkdir(parents=True, exist_ok=True)
        uid = uid or generate_uid()
        if positions is None:
            positions = [(-20.0, -30.0, 100.0 + spacing * k) for k in range(array.shape[2])]
        for k, position in enumerate(positions):
            dataset = pydicom.Dataset()
            dataset.file_meta = pydicom.dataset.FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, uid, frame
            dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = "A^B", "1", "", "O"
            dataset.StudyDate = dataset.SeriesDate = "20260101"
            dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "120000", "1", ""
            dataset.ReferringPhysicianName, dataset.Manufacturer = "", "Test"
            dataset.Modality, dataset.SeriesDescription = "CT", f"series {prefix}"
            dataset.SeriesNumber, dataset.InstanceNumber = 1, k + 1
            dataset.ImagePositionPatient = [f"{p:.6g}" for p in position]
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            dataset.PixelSpacing, dataset.SliceThickness = [0.8, 0.6], spacing
            dataset.Rows, dataset.Columns = array.shape[1], array.shape[0]
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.BitsAllocated = dataset.BitsStored = 16
            dataset.HighBit, dataset.PixelRepresentation = 15, 1
            dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
            dataset.PixelData = array[..., k].T.astype("<i2").tobytes()
            # file names in an order that is not the slices' order
            dataset.save_as(folder / f"{prefix}_{(k * 7) % 97:03d}.dcm", enforce_file_format=True)
        return uid

    return write
