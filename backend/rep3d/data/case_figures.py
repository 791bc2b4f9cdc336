"""One scan with its label map in a few numbers: grid, intensities, structures. A cohort's fingerprint is made of these.

All triples are in RAS order (right, anterior, superior), whatever the order of the axes in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from rep3d.data.agreement import disagreement
from rep3d.data.preprocess import closest_axes
from rep3d.data.volume import Volume
from rep3d.errors import BadInput

Triple = tuple[float, float, float]

QUANTILES = 400  # points of a case's quantile function that are kept; a cohort's percentiles come from all of them
SAMPLES = 2_000_000  # of more voxels than this, a regular subset of about this many is described
MAX_LABEL = 65_535
CT_BODY_HU = -500.0  # halfway between air and tissue


@dataclass(frozen=True)
class CaseFigures:
    """One case measured; see :func:`measure_case`. ``classes``: value -> (volume in ml, bounding box in mm, RAS)."""

    spacing_mm: Triple
    size_voxels: tuple[int, int, int]
    foreground: Mapping[str, Any] | None
    body: Mapping[str, Any] | None
    classes: Mapping[int, tuple[float, Triple]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, read back by :meth:`from_dict`."""
        return {**asdict(self), "classes": {str(v): list(f) for v, f in self.classes.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CaseFigures:
        """Read :meth:`to_dict`'s result. Raises KeyError, TypeError or ValueError for anything else."""
        classes = {int(v): (float(ml), triple(mm)) for v, (ml, mm) in data["classes"].items()}
        size = tuple(int(n) for n in data["size_voxels"])
        return cls(triple(data["spacing_mm"]), size, data["foreground"], data["body"], classes)  # type: ignore[arg-type]


def measure_case(volume: Volume, labels: Volume, modality: str | None = None) -> CaseFigures:
    """Measure one image [X, Y, Z] with its label map on the same grid.

    Body: CT above -500 HU; otherwise above a tenth of the way from the minimum to the 99th percentile.
    Raises BadInput when the grids differ or a label value is above 65,535.
    """
    apart = disagreement(volume.grid, labels.grid)
    if apart and apart.severity == "error":
        raise BadInput(
            f"{volume.path} and {labels.path} do not lie on one grid: {apart.text}",
            "Every label map must lie on its image's grid.",
        )
    if labels.array.max() > MAX_LABEL:
        raise BadInput(f"{labels.path}: label values above {MAX_LABEL}", "Is this the image instead of its labels?")
    axes = list(closest_axes(volume.affine)[0])
    spacing = np.array(volume.spacing_mm)
    voxel_ml = float(np.prod(spacing)) / 1000
    counts = np.bincount(labels.array.ravel())
    classes = {}
    for value, box in enumerate(ndimage.find_objects(labels.array.astype(np.int32, copy=False)), start=1):
        if box is not None:
            extent = np.array([s.stop - s.start for s in box]) * spacing
            classes[value] = (round(float(counts[value] * voxel_ml), 6), triple(np.round(extent[axes], 4)))
    image = volume.array
    if modality == "CT":
        threshold = CT_BODY_HU
    else:
        flat = image.ravel()
        top = np.percentile(flat[:: max(1, flat.size // 1_000_000)], 99)
        low = float(image.min())
        threshold = low + 0.1 * (float(top) - low)
    return CaseFigures(
        spacing_mm=triple(np.round(spacing[axes], 6)),
        size_voxels=tuple(int(volume.shape[a]) for a in axes),  # type: ignore[arg-type]
        foreground=_describe(image[labels.array > 0]),
        body=_describe(image[image > threshold]),
        classes=classes,
    )


def _describe(values: np.ndarray) -> dict[str, Any] | None:
    """Mean, variance and quantile function (QUANTILES points, at the middles of equal shares) of some voxels."""
    if not values.size:
        return None
    values = np.sort(values[:: max(1, values.size // SAMPLES)].astype(np.float32))
    places = ((np.arange(QUANTILES) + 0.5) / QUANTILES * values.size).astype(np.int64)
    return {
        "mean": float(values.mean(dtype=np.float64)),
        "var": float(values.var(dtype=np.float64)),
        "quantiles": [round(float(v), 4) for v in values[places]],
    }


def triple(values: Any) -> Triple:
    """Three numbers as a tuple of floats. Raises ValueError or TypeError."""
    x, y, z = (float(v) for v in values)
    return (x, y, z)
