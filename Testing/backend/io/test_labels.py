"""Label maps as floats: whole numbers as far as the file can tell, and never a true fraction."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rep3d.data.reading import NotALabelMap, read_labelmap


def saved(path: Path, array: np.ndarray, dtype: str) -> Path:
    """By nibabel from float64, which scales to the whole range of a type of whole numbers."""
    image = nib.Nifti1Image(array.astype(np.float64), np.eye(4))
    image.set_data_dtype(dtype)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_every_number_of_labels_that_nibabel_scales(tmp_path, dtype):
    for largest in [*range(1, 118, 1 if dtype == "int16" else 9), 117]:
        labels = np.arange(4 * 5 * 6).reshape(4, 5, 6) % (largest + 1)
        volume = read_labelmap(saved(tmp_path / "a.nii", labels, dtype))
        np.testing.assert_array_equal(volume.array, labels, f"{largest}")
        assert volume.array.dtype == np.uint8


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("fraction", [0.5, 0.25, 0.05, -0.02])
def test_true_fractions_are_refused(tmp_path, dtype, fraction):
    labels = (np.arange(4 * 5 * 6).reshape(4, 5, 6) % 4).astype(float)
    labels[1, 2, 3] = 2 + fraction
    with pytest.raises(NotALabelMap, match="whole numbers"):
        read_labelmap(saved(tmp_path / "a.nii", labels, dtype))


def test_probabilities_and_intensities_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for dtype in ("uint8", "int16", "float32"):
        for array in (rng.random((4, 5, 6)), rng.normal(100, 30, (4, 5, 6)), rng.random((4, 5, 6)) * 300):
            with pytest.raises(NotALabelMap):
                read_labelmap(saved(tmp_path / "a.nii", array, dtype))


def test_reports(cases):
    folder = cases / "reading"
    for name, largest in (("lab_eps.nii.gz", 5), ("lab_scaled.nii.gz", 5), ("labels_scaled_int16_max11.nii.gz", 11)):
        array = read_labelmap(folder / name).array
        np.testing.assert_array_equal(array, np.rint(nib.load(folder / name).get_fdata()))
        assert array.max() == largest and array.dtype == np.uint8
    with pytest.raises(NotALabelMap, match="1 voxels of the label map are NaN"):
        read_labelmap(folder / "lab_nan.nii.gz")
