"""A mask on the grid that is edited: the right voxels whatever the two grids and their transforms."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .scenes import add_transform, add_volume, affines, linear, volumes

SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pick_of(mask):
    from Rep3DSegmentationLib.click.picking import Pick, trimmed

    small, first = trimmed(mask)
    return Pick(small, first, None, "")


def oriented(affine, extent):
    import slicer

    image = slicer.vtkOrientedImageData()
    image.SetExtent(extent)
    image.AllocateScalars(3, 1)
    image.GetPointData().GetScalars().Fill(0)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    return image


def spread(image, extent):
    """The delivered crop put into the whole extent, which it must not exceed, on the same lattice; bool."""
    from Rep3DSegmentationLib.click.modifier import values

    have, whole = np.array(image.GetExtent()).reshape(3, 2), np.array(extent).reshape(3, 2)
    out = np.zeros(whole[:, 1] - whole[:, 0] + 1, bool)
    if image.GetNumberOfPoints():
        assert (have[:, 0] >= whole[:, 0]).all() and (have[:, 1] <= whole[:, 1]).all()
        assert values(image).dtype == np.uint8
        out[tuple(slice(a - b, z - b + 1) for (a, z), b in zip(have, whole[:, 0]))] = values(image)
    return out


@SLOW
@given(volumes(), linear(), st.booleans(), st.data())
def test_each_voxel_takes_the_value_of_the_mask_at_its_place(scene, volume, seg_matrix, same_transform, data):
    """Segmentation grids finer, coarser, offset, turned; transforms on volume, on segmentation, on both, on neither."""
    import slicer
    from Rep3DSegmentationLib.click.modifier import to_modifier

    scene.Clear(0)
    shape, affine, matrix = volume
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    mask = rng.random(shape) < 0.4
    mask[tuple(rng.integers(n) for n in shape)] = True
    parent = add_transform(matrix)
    node = add_volume(np.zeros(shape, np.uint8), affine, parent)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    other = parent if same_transform else add_transform(seg_matrix)
    if other is not None:
        segmentation.SetAndObserveTransformNodeID(other.GetID())
    world = affine if matrix is None else matrix @ affine
    seg_to_world = np.eye(4)
    if other is not None:
        seg_to_world = matrix if same_transform else seg_matrix
    seg_affine = affines(data.draw)
    # somewhere on the volume, so that they overlap
    middle = world @ [*((np.array(shape) - 1) / 2), 1]
    count = [data.draw(st.integers(4, 16)) for _ in range(3)]
    start = [data.draw(st.integers(-3, 3)) for _ in range(3)]
    extent = [v for s, c in zip(start, count) for v in (s, s + c - 1)]
    centre = np.array([s + (c - 1) / 2 for s, c in zip(start, count)])
    seg_affine[:3, 3] = (np.linalg.inv(seg_to_world) @ middle)[:3] - seg_affine[:3, :3] @ centre
    reference = oriented(seg_affine, extent)
    result, _ = to_modifier(pick_of(mask), node, segmentation, reference)
    delivered = spread(result, extent)
    index = np.stack(np.meshgrid(*(np.arange(s, s + c) for s, c in zip(start, count)), indexing="ij"), -1)
    to_volume = np.linalg.inv(world) @ seg_to_world @ seg_affine
    place = index @ to_volume[:3, :3].T + to_volume[:3, 3]
    nearest = np.floor(place + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < shape)).all(-1)
    expected = np.zeros(count, bool)
    expected[inside] = mask[tuple(nearest[inside].T)]
    tie = (np.abs(place + 0.5 - np.rint(place + 0.5)) < 1e-4).any(-1)
    wrong = (delivered != expected) & ~tie
    assert not wrong.any()


@SLOW
@given(volumes(), st.data())
def test_the_same_grid_is_copied_voxel_by_voxel(scene, volume, data):
    """Segmentation on the volume's own grid, below the same transform, with an extent that may be smaller."""
    import slicer
    from Rep3DSegmentationLib.click.modifier import to_modifier

    scene.Clear(0)
    shape, affine, matrix = volume
    mask = np.random.default_rng(data.draw(st.integers(0, 999))).random(shape) < 0.5
    parent = add_transform(matrix)
    node = add_volume(np.zeros(shape, np.uint8), affine, parent)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    if parent is not None:
        segmentation.SetAndObserveTransformNodeID(parent.GetID())
    low = [data.draw(st.integers(0, n - 1)) for n in shape]
    high = [data.draw(st.integers(a, n - 1)) for a, n in zip(low, shape)]
    reference = oriented(affine, [v for pair in zip(low, high) for v in pair])
    result, warnings = to_modifier(pick_of(mask), node, segmentation, reference)
    expected = mask[tuple(slice(a, z + 1) for a, z in zip(low, high))]
    np.testing.assert_array_equal(spread(result, reference.GetExtent()), expected)
    assert warnings == ()


@SLOW
@given(volumes(), linear(), st.data())
def test_the_voxel_under_the_cursor_is_always_taken(scene, volume, seg_matrix, data):
    """Also on a grid so coarse that no centre lies within the structure."""
    import slicer
    from Rep3DSegmentationLib.click.modifier import to_modifier

    scene.Clear(0)
    shape, affine, matrix = volume
    node = add_volume(np.zeros(shape, np.uint8), affine, add_transform(matrix))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    if (other := add_transform(seg_matrix)) is not None:
        segmentation.SetAndObserveTransformNodeID(other.GetID())
    voxel = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    mask = np.zeros(shape, bool)
    mask[voxel] = True
    world = affine if matrix is None else matrix @ affine
    ras = (world @ [*(np.array(voxel) + data.draw(st.tuples(*[st.floats(-0.45, 0.45)] * 3))), 1])[:3]
    seg_affine = affines(data.draw, spacing=(3.0, 12.0))
    local = np.linalg.inv(np.eye(4) if seg_matrix is None else seg_matrix) @ [*ras, 1]
    offset = np.array(data.draw(st.tuples(*[st.floats(-0.45, 0.45)] * 3)))
    seg_affine[:3, 3] = local[:3] - seg_affine[:3, :3] @ (np.array([2, 1, 3]) + offset)
    result, _ = to_modifier(pick_of(mask), node, segmentation, oriented(seg_affine, [0, 4, 0, 4, 0, 4]), ras)
    assert spread(result, [0, 4, 0, 4, 0, 4])[2, 1, 3]


def test_what_lies_beyond_the_reference_is_not_delivered(scene):
    import slicer
    from Rep3DSegmentationLib.click.modifier import to_modifier

    node = add_volume(np.zeros((6, 6, 6), np.uint8), np.eye(4))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    mask = np.zeros((6, 6, 6), bool)
    mask[4:] = True
    beyond, _ = to_modifier(pick_of(mask), node, segmentation, oriented(np.eye(4), [0, 3, 0, 5, 0, 5]), (5, 3, 3))
    assert beyond.GetNumberOfPoints() == 0
    part, _ = to_modifier(pick_of(mask), node, segmentation, oriented(np.eye(4), [0, 4, 0, 5, 0, 5]), (5, 3, 3))
    assert part.GetExtent() == (4, 4, 0, 5, 0, 5)
    empty, _ = to_modifier(pick_of(mask & False), node, segmentation, oriented(np.eye(4), [0, 3, 0, 5, 0, 5]))
    assert empty.GetNumberOfPoints() == 0
