"""What tests of several layers share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of inputs from bug reports; without it the tests that need it are skipped."""
    folder = Path(os.environ.get("REP3D_DATA", "nowhere")).parent / "cases"
    if not folder.is_dir():
        pytest.skip("REP3D_DATA has no folder 'cases' beside it")
    return folder


@pytest.fixture
def leave_half():
    """leave_half(final, ...): half of each file, as a process that was killed with SIGKILL leaves it."""

    def call(*finals: Path) -> None:
        code = (
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from rep3d.files import temporary_path\n"
            "for final in sys.argv[1:]:\n"
            "    temporary_path(Path(final)).write_text('half', encoding='utf-8')\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        subprocess.run([sys.executable, "-c", code, *map(str, finals)], check=False)
        for final in finals:
            assert any("-partial-" in path.name for path in final.parent.iterdir())

    return call


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
