"""Random grids and transforms, and the voxels of a saved segmentation in the world, for the tests of this folder."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

LABELS = [
    {
        "value": 1,
        "key": "liver",
        "name": "Liver",
        "color": [221, 130, 101],
        "category": ["123037004", "SCT", "Anatomical Structure"],
        "type": ["10200004", "SCT", "Liver"],
        "modifier": None,
    },
    {
        "value": 2,
        "key": "left-kidney",
        "name": "Left kidney",
        "color": [185, 102, 83],
        "category": ["123037004", "SCT", "Anatomical Structure"],
        "type": ["64033007", "SCT", "Kidney"],
        "modifier": ["7771000", "SCT", "Left"],
    },
    {
        "value": 5,
        "key": "tumour",
        "name": "Tumour",
        "color": [255, 0, 0],
        "category": ["49755003", "SCT", "Morphologically Altered Structure"],
        "type": ["4147007", "SCT", "Mass"],
        "modifier": None,
    },
]


def rotation(angles) -> np.ndarray:
    """3x3 from three angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


_angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
_shift = st.tuples(*[st.floats(-200, 200)] * 3)


@st.composite
def affines(draw) -> np.ndarray:
    """4x4 of an oblique, anisotropic grid with permuted axes, left-handed half of the time."""
    matrix = np.eye(4)
    axes = rotation(draw(_angles)) @ np.diag(draw(st.tuples(*[st.floats(0.3, 6.0)] * 3)))
    axes = axes[:, draw(st.permutations(range(3)))]
    if draw(st.booleans()):
        axes[:, 0] *= -1
    matrix[:3, :3], matrix[:3, 3] = axes, draw(_shift)
    return matrix


@st.composite
def rigids(draw) -> np.ndarray:
    """4x4 of a turn and a shift."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(draw(_angles)), draw(_shift)
    return matrix


@st.composite
def label_maps(draw) -> np.ndarray:
    """uint8 [X, Y, Z] with some voxels of labels 1, 2 and 5, at times none of one."""
    shape = draw(st.tuples(*[st.integers(2, 9)] * 3))
    seed, share = draw(st.integers(0, 2**31)), draw(st.sampled_from([0.02, 0.3, 1.0]))
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 2, 5], size=shape).astype(np.uint8)
    labels[rng.random(shape) > share] = 0
    labels.flat[rng.integers(labels.size)] = 1
    return labels


def saved_points(path, matrix=None) -> dict[int, np.ndarray]:
    """{label value: RAS points [N, 3] of its voxels, sorted} of a .seg.nrrd, read with SimpleITK.

    ``matrix``: applied to the points, for a file that was saved below a transform.
    """
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    values_XYZ = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return points_of(values_XYZ, (np.eye(4) if matrix is None else matrix) @ LPS @ affine)


def points_of(labels_XYZ: np.ndarray, affine: np.ndarray) -> dict[int, np.ndarray]:
    """{label value: RAS points [N, 3] of its voxels, sorted}."""
    found = {}
    for value in np.unique(labels_XYZ[labels_XYZ > 0]):
        index = np.argwhere(labels_XYZ == value)
        points = index @ affine[:3, :3].T + affine[:3, 3]
        found[int(value)] = points[np.lexsort(np.round(points, 2).T)]
    return found


def assert_same_points(found: dict[int, np.ndarray], expected: dict[int, np.ndarray], tolerance_mm: float = 2e-3):
    """The same voxels at the same places, each one."""
    assert found.keys() == expected.keys()
    for value in expected:
        assert found[value].shape == expected[value].shape
        from scipy.spatial import cKDTree

        distance, partner = cKDTree(expected[value]).query(found[value])
        assert distance.max() < tolerance_mm
        assert len(set(partner.tolist())) == len(partner)
