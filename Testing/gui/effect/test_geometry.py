"""The voxel that is clicked is the voxel that is segmented: volumes, views, transforms and segmentations of any kind.

Expectations are computed with plain matrices from where the mouse really was, never with the code under test.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import slicer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from .world import Bench, add_transform, component, make_bench, to_world

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
EXAMPLES = settings(
    deadline=None,
    max_examples=int(os.environ.get("REP3D_EXAMPLES", "100")),
    phases=(
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ),  # a failing case is small already, and shrinking takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
CLEAR = 1e-3  # voxels from a face: nearer than that rounding may decide


@dataclass(frozen=True)
class Case:
    """One click. Matrices are 4x4 or None; ``grid``: of the segmentation, relative to the volume's."""

    seed: int
    affine: np.ndarray
    shape: tuple[int, int, int]
    voxel: tuple[int, int, int]
    inside: tuple[float, float, float]
    volume_transforms: tuple
    segmentation_transform: Any  # None, "same" or a matrix
    view: np.ndarray
    grid: Any  # None or (scale of the spacing, shift in voxels, turn)
    slice_only: bool


@st.composite
def rotations(draw, angle=np.pi):
    return Rotation.from_rotvec(draw(st.tuples(*[st.floats(-angle, angle)] * 3))).as_matrix()


@st.composite
def rigid(draw):
    matrix = np.eye(4)
    matrix[:3, :3] = draw(rotations())
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-60, 60)] * 3))
    return matrix


@st.composite
def linear(draw):
    """A rigid transform, or one that also stretches, mirrors or shears."""
    matrix = draw(rigid())
    if draw(st.booleans()):
        stretch = draw(st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 1.5, -1.0])] * 3))
        matrix[:3, :3] = matrix[:3, :3] * stretch
        matrix[0, 1] += draw(st.sampled_from([0.0, 0.3]))
    return matrix


@st.composite
def cases(draw, linear_transforms=False, grids=False):
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    affine = np.eye(4)
    flips = draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    affine[:3, :3] = draw(rotations()) * flips * draw(st.tuples(*[st.floats(0.5, 5.0)] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-150, 150)] * 3))
    transform = linear() if linear_transforms else rigid()
    return Case(
        seed=draw(st.integers(0, 10**6)),
        affine=affine,
        shape=shape,
        voxel=tuple(draw(st.sampled_from([-1, 0, n // 2, n - 1, n])) for n in shape),
        inside=draw(st.tuples(*[st.floats(-0.49, 0.49)] * 3)),
        volume_transforms=tuple(draw(st.lists(transform, max_size=2))),
        segmentation_transform=draw(st.one_of(st.none(), st.just("same"), transform)),
        view=draw(rotations()),
        grid=draw(
            st.tuples(
                st.tuples(*[st.floats(0.4, 2.5)] * 3), st.tuples(*[st.floats(-1.5, 1.5)] * 3), rotations(angle=0.4)
            )
        )
        if grids
        else None,
        slice_only=draw(st.booleans()),
    )


def build(case: Case, host: Any, editor: Any, node: Any) -> Bench:
    rng = np.random.default_rng(case.seed)
    coarse = rng.integers(0, 4, [(n + 2) // 3 for n in case.shape]).astype(np.uint8)
    labels = np.kron(coarse, np.ones((3, 3, 3), np.uint8))[tuple(slice(0, n) for n in case.shape)]
    parent = None
    for matrix in case.volume_transforms:
        parent = add_transform(matrix, parent)
    other = parent if isinstance(case.segmentation_transform, str) else add_transform(case.segmentation_transform)
    bench = make_bench(host, editor, node, labels, case.affine, parent, other)
    bench.effect.scriptedEffect.setParameter("SliceOnly", int(case.slice_only))
    if case.grid is not None:
        set_grid(bench, case.grid)
    return bench


def set_grid(bench: Bench, grid: Any) -> None:
    """Give the segmentation a lattice of its own that covers the volume only in part."""
    scale, shift, turn = grid
    local = np.linalg.inv(to_world(bench.segmentation)) @ bench.world
    axes, lengths = local[:3, :3] / np.linalg.norm(local[:3, :3], axis=0), np.linalg.norm(local[:3, :3], axis=0)
    frame = np.linalg.qr(turn @ axes)[0]  # right angles, whatever the transforms do
    affine = np.eye(4)
    affine[:3, :3] = frame * lengths * scale
    affine[:3, 3] = (local @ [*shift, 1.0])[:3]
    image = slicer.vtkOrientedImageData()
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    image.SetExtent(-6, 12, -5, 11, -4, 13)
    converter = slicer.vtkSegmentationConverter
    bench.segmentation.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(image)
    )


def look_at(bench: Bench, case: Case) -> np.ndarray:
    """Turn the red view and put the clicked point into its middle; returns that point."""
    ras = bench.ras(np.array(case.voxel) + case.inside)
    node = bench.host.slice_view("Red").mrmlSliceNode()
    slice_to_ras = np.eye(4)
    slice_to_ras[:3, :3], slice_to_ras[:3, 3] = case.view, ras
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(slice_to_ras))
    node.UpdateMatrices()
    return ras


def lattice(bench: Bench) -> tuple[np.ndarray, np.ndarray]:
    """The lattice that is edited: index of every voxel [n, 3], and 4x4 from index to the world."""
    import vtk

    image, matrix = bench.effect.scriptedEffect.referenceGeometryImage(), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    low, high = np.array(image.GetExtent()).reshape(3, 2).T
    index = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high)), indexing="ij"), -1)
    return index.reshape(-1, 3), to_world(bench.segmentation) @ slicer.util.arrayFromVTKMatrix(matrix)


def check(bench: Bench, case: Case, session: Any, folder: Any) -> None:
    bench.know(bench.labels, session, folder)
    hit = bench.host.click_slice("Red", look_at(bench, case), jump=False)
    position = bench.voxel(hit.ras)
    if np.abs(np.abs(position - np.rint(position)) - 0.5).min() < CLEAR:
        return  # the mouse was on the face between two voxels: either is right
    voxel, shape = np.rint(position).astype(int), np.array(case.shape)
    index, affine = lattice(bench)
    centres, _affine = bench.parts()
    taken = {tuple(row) for row in np.rint((centres - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(int)}
    under = tuple(np.rint((np.linalg.inv(affine) @ [*hit.ras, 1.0])[:3]).astype(int))
    reached = (np.array(under) >= index.min(0)).all() and (np.array(under) <= index.max(0)).all()
    if not ((voxel >= 0) & (voxel < shape)).all() or bench.labels[tuple(voxel)] == 0:
        assert not taken, bench.effect.statusText()
        assert ("Background" if ((voxel >= 0) & (voxel < shape)).all() else "Outside") in bench.effect.statusText()
        return
    wanted = component(bench.labels, voxel)
    if reached:
        assert under in taken, f"the voxel under the cursor is missing: {bench.effect.statusText()}"
    where = (index @ affine[:3, :3].T + affine[:3, 3] - bench.world[:3, 3]) @ np.linalg.inv(bench.world[:3, :3]).T
    nearest = np.rint(where).astype(int)
    clear = np.abs(np.abs(where - nearest) - 0.5).min(1) > CLEAR
    within = ((nearest >= 0) & (nearest < shape)).all(1)
    inside = np.zeros(len(index), bool)
    inside[within] = wanted[tuple(nearest[within].T)]
    if case.slice_only:  # the one-voxel-thick plane through the clicked voxel, of the same structure
        steps = bench.world[:3, :3].T @ case.view[:, 2]
        offset = (nearest - voxel) @ steps
        same = np.zeros(len(index), bool)
        same[within] = bench.labels[tuple(nearest[within].T)] == bench.labels[tuple(voxel)]
        inside = same & (np.abs(offset) <= np.abs(steps).max() / 2 + CLEAR)
    is_taken = np.array([tuple(row) in taken for row in index])
    judged = clear & (index != under).any(1)
    wrong = judged & (is_taken & ~inside if case.slice_only else is_taken != inside)
    assert not wrong.any(), (index[wrong], bench.effect.statusText())


def run(case: Case, host: Any, new_editor: Any, session: Any, folder: Any, editors: list) -> None:
    """One example with the same editor as the others, in an empty scene but for its node."""
    if not editors:
        editors.append(new_editor())
    editor, node = editors[0]
    bench = build(case, host, editor, node)
    try:
        check(bench, case, session, folder)
    finally:
        editor.setActiveEffectByName("")
        editor.setSegmentationNode(None)
        for kind in ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode", "vtkMRMLLinearTransformNode"):
            for made in list(slicer.util.getNodesByClass(kind)):
                slicer.mrmlScene.RemoveNode(made)
        session.answers.clear()


@pytest.fixture
def clicked(slicer_host, new_editor, session, tmp_path):
    """clicked(case): make the click of a case and check it."""
    editors: list = []
    return lambda case: run(case, slicer_host, new_editor, session, tmp_path, editors)


@EXAMPLES
@given(case=cases())
def test_rigid_transforms_on_volume_and_segmentation(case, clicked):
    clicked(case)


@EXAMPLES
@given(case=cases(linear_transforms=True))
def test_transforms_that_stretch_mirror_and_shear(case, clicked):
    clicked(case)


@EXAMPLES
@given(case=cases(grids=True))
def test_segmentations_that_are_finer_coarser_shifted_and_turned(case, clicked):
    clicked(case)
