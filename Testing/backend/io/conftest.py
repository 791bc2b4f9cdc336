"""Images as ITK reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from rep3d.data.volume import Geometry


def itk_reading(path: Path) -> tuple[np.ndarray, Geometry]:
    """Voxels [X, Y, Z] and grid as ITK reads them; of four dimensions the first volume."""
    image = sitk.ReadImage(str(path))
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), Geometry.from_sitk(image)
