"""The voxel under a world point, on any grid and below any linear transforms."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .scenes import add_transform, add_volume, linear, volumes

SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(volumes(), linear(), st.data())
def test_every_point_of_a_voxel_belongs_to_it(scene, volume, outer, data):
    """Border voxels and slice 0 like any other; the world point is made by plain matrices, not by MRML."""
    from Rep3DSegmentationLib.click.geometry import ijk_to_world, voxel_at, world_to_ijk

    scene.Clear(0)
    shape, affine, matrix = volume
    parent, grandparent = add_transform(matrix), add_transform(outer)
    if parent is not None and grandparent is not None:
        parent.SetAndObserveTransformNodeID(grandparent.GetID())
    node = add_volume(np.zeros(shape, np.uint8), affine, parent)
    world = affine if matrix is None else matrix @ affine
    if matrix is not None and outer is not None:
        world = outer @ world
    voxel = tuple(data.draw(st.one_of(st.just(0), st.just(n - 1), st.integers(0, n - 1))) for n in shape)
    offset = data.draw(st.tuples(*[st.floats(-0.499, 0.499)] * 3))
    ras = (world @ [*(np.array(voxel) + offset), 1])[:3]
    assert voxel_at(node, ras) == voxel
    np.testing.assert_allclose(world_to_ijk(node, ras), np.array(voxel) + offset, atol=1e-6)
    np.testing.assert_allclose(ijk_to_world(node, np.array(voxel) + offset), ras, atol=1e-6)
    axis, side = data.draw(st.integers(0, 2)), data.draw(st.booleans())
    beyond = np.array(voxel, float)
    beyond[axis] = shape[axis] - 0.5 + data.draw(st.floats(0.001, 5)) if side else -0.5 - data.draw(st.floats(0.001, 5))
    assert voxel_at(node, (world @ [*beyond, 1])[:3]) is None
