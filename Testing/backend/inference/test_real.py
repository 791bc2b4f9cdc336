"""Real scans of every kind: each is segmented on exactly its own grid, or refused with a clear error."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.errors import BadInput
from rep3d.inference.pipeline import segment_volume
from rep3d.inference.writing import OutputFiles, write_result
from rep3d.tasks import Intensity

DATA = Path(os.environ["REP3D_DATA"]) if os.environ.get("REP3D_DATA") else None
pytestmark = pytest.mark.skipif(DATA is None, reason="REP3D_DATA is not set")

REFUSED = {  # and the word that says why
    "NIFTI-Reader-JS__5D_small.nii": "single slice",
    "data__adi_slice.nii.gz": "single slice",
    "dicom2nifti__generic_rgb_001_ground_truth.nii.gz": "colour",
    "nibabel__example4d.nii.gz": "4 dimensions",
    "sct-testing-data__dmri.nii.gz": "4 dimensions",
}


def files(*patterns: str) -> list[Path]:
    return [] if DATA is None else sorted(p for pattern in patterns for p in (DATA / "open").glob(pattern))


def name_of(path: Path) -> str:
    return path.name


@pytest.fixture
def mr_task(small_task):
    """Bright voxels of anything: 3 mm grid, so that even large scans take a moment."""
    return replace(
        small_task, modality="MR", spacing_mm=(3.0, 3.0, 3.0), patch=(48, 48, 48), intensity=Intensity(None, (1, 99))
    )


def check_grid(source: Path, written: Path, labelmap: np.ndarray) -> None:
    scan, labels = nib.load(source), nib.load(written)
    assert labels.shape == scan.shape[:3]
    np.testing.assert_array_equal(labels.affine, scan.affine)
    a, b = sitk.ReadImage(str(source)), sitk.ReadImage(str(written))
    assert a.GetSize() == b.GetSize() and a.GetDirection() == b.GetDirection()
    assert a.GetOrigin() == b.GetOrigin() and a.GetSpacing() == b.GetSpacing()
    np.testing.assert_array_equal(np.asarray(labels.dataobj), labelmap)


@pytest.mark.parametrize("path", files("awkward/*.nii*"), ids=name_of)
def test_awkward_files(path, tmp_path, mr_task, threshold):
    if path.name in REFUSED:
        with pytest.raises(BadInput, match=REFUSED[path.name]) as error:
            read_volume(path)
        assert path.name in str(error.value)
        return
    volume = read_volume(path)
    assert np.isfinite(volume.array).all()
    result = segment_volume(volume, threshold, mr_task, device="cpu")
    outputs = OutputFiles.beside(tmp_path / "out.nii.gz", "nii.gz")
    write_result(result, outputs)
    check_grid(path, outputs.labels, result.labelmap)
    if path.name == "niivue__minimal.nii.gz":
        assert any("orientation is a guess" in w for w in result.warnings)
    if path.name in ("nibabel__resampled_anat_moved.nii", "sct-testing-data__mtr.nii.gz"):
        assert any("NaN" in w for w in result.warnings)


PAIRS = [p for p in files("pairs/*_image.nii.gz", "unlabelled/*.nii.gz") if "3slices" not in p.name]


@pytest.mark.parametrize("path", PAIRS, ids=name_of)
def test_every_orientation(path, tmp_path, mr_task, threshold):
    """On the scan's own spacing the threshold network gives a plain threshold, whatever the orientation."""
    volume = read_volume(path)
    order = nib.io_orientation(volume.affine)[:, 0].astype(int)  # patient direction of each array axis
    spacing = tuple(volume.spacing_mm[list(order).index(direction)] for direction in range(3))
    low, high = float(volume.array.min()), float(volume.array.max())
    task = replace(mr_task, spacing_mm=spacing, intensity=Intensity((low, high), None))
    result = segment_volume(volume, threshold, task, device="cpu")
    x = (volume.array.astype(np.float64) - low) / (high - low)
    expected = np.select([x > 0.8, x > 0.5], [2, 1], 0)
    clear = (abs(x - 0.8) > 1e-5) & (abs(x - 0.5) > 1e-5)  # float32 decides between equals
    np.testing.assert_array_equal(result.labelmap[clear], expected[clear])
    outputs = OutputFiles.beside(tmp_path / "out.nii.gz", "nii.gz")
    write_result(result, outputs)
    check_grid(path, outputs.labels, result.labelmap)


@pytest.mark.parametrize("path", files("pairs/*_label*.nii.gz", "label_only/spine*.nii.gz"), ids=name_of)
def test_label_maps(path):
    labels = read_labelmap(path)
    assert labels.array.dtype.kind == "u"
    np.testing.assert_array_equal(labels.array, np.asarray(nib.load(path).dataobj))
