"""Where the inputs from bug reports are, and images that ITK writes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.volume import Geometry


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of inputs from bug reports; without it the tests that need it are skipped."""
    folder = Path(os.environ.get("REP3D_DATA", "nowhere")).parent / "cases"
    if not folder.is_dir():
        pytest.skip("REP3D_DATA has no folder 'cases' beside it")
    return folder


def itk_reading(path: Path) -> tuple[np.ndarray, Geometry]:
    """Voxels [X, Y, Z] and grid as ITK reads them; of four dimensions the first volume."""
    image = sitk.ReadImage(str(path))
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), Geometry.from_sitk(image)
