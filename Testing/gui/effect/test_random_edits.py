"""Clicks and moves of the slider in random scenes under random rules: what changes is what the rules allow, no more.

The rules are those of Slicer's documentation, computed with plain arrays; undo must then lead back through every state.
"""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from .test_rules import put
from .world import component

MODES = ("Everywhere", "InsideAllSegments", "OutsideAllSegments", "InsideVisibleSegments", "OutsideVisibleSegments")
OVERWRITE_ALL, OVERWRITE_VISIBLE = 0, 1


def state(bench):
    """Name and voxels of every segment."""
    segmentation = bench.segmentation.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    return {name: (bench.segment(name).GetName(), bench.mask(name)) for name in ids}


def same(one, other):
    return all(one[name][0] == other[name][0] and np.array_equal(one[name][1], other[name][1]) for name in one)


def allowed(mode, masks, visible, current):
    """Where a mask mode lets voxels change; the segment that is edited does not protect itself."""
    names = [name for name in masks if not ("Visible" in mode and not visible[name])]
    if mode.startswith("Inside"):
        return np.any([masks[name] for name in names], axis=0)
    others = [masks[name] for name in names if name != current and mode.startswith("Outside")]
    return ~np.any([*others, np.zeros_like(masks[current])], axis=0)


@pytest.mark.parametrize("seed", range(8))
def test_every_click_keeps_the_rules_and_can_be_undone(bench, session, tmp_path, seed):
    rng, shape = np.random.default_rng(seed), bench.labels.shape
    probability = np.rint(rng.uniform(0.2, 1, shape) * 255) / 255
    coarse = rng.integers(0, 4, [-(-n // 3) for n in shape])
    labels = np.kron(coarse, np.ones((3, 3, 3)))[tuple(slice(n) for n in shape)].astype(np.uint8)
    session.forget_all()
    bench.know(labels, session, tmp_path, probability)
    bench.editor.setMaximumNumberOfUndoStates(60)
    current = bench.editor.currentSegmentID()
    display, visible = bench.segmentation.GetDisplayNode(), {current: True}
    for number in range(3):
        other = bench.add_segment(f"other {number}")
        put(bench, other, rng.random(shape) < 0.3)
        visible[other] = bool(rng.random() < 0.6)
        display.SetSegmentVisibility(other, visible[other])
    bench.editor.setCurrentSegmentID(current)
    steps = [state(bench)]
    for _ in range(5):
        before = steps[-1]
        mode, overwrite = MODES[rng.integers(len(MODES))], int(rng.integers(3))
        bench.node.SetMaskMode(getattr(slicer.vtkMRMLSegmentationNode, f"EditAllowed{mode}"))
        bench.node.SetOverwriteMode(overwrite)
        action = ("take", "add", "remove")[rng.integers(3)]
        certain = np.argwhere((labels > 0) & (probability > 0.55))
        voxel, threshold = tuple(certain[rng.integers(len(certain))]), 0.5
        bench.editor.activeEffect().setParameter("Threshold", threshold)
        bench.effect.clickAt(bench.ras(voxel), action)
        for _ in range(rng.integers(0, 3)):
            threshold = round(float(rng.uniform(0.25, probability[voxel] - 0.01)), 2)
            bench.effect.panel.threshold_slider.setValue(threshold)
            bench.host.process_events(45)
        reach = np.where(np.rint(probability * 255) >= round(threshold * 255), labels, 0)
        masks = {name: mask for name, (_name, mask) in before.items()}
        change = component(reach, voxel) & allowed(mode, masks, visible, current)
        for name, mask in masks.items():
            gives_way = overwrite == OVERWRITE_ALL or (overwrite == OVERWRITE_VISIBLE and visible[name])
            want = mask
            if name == current:
                want = mask & ~change if action == "remove" else mask | change
            elif gives_way and action != "remove":
                want = mask & ~change
            np.testing.assert_array_equal(bench.mask(name), want, f"{mode}, overwrite {overwrite}, {action}")
        if not same(state(bench), before):
            steps.append(state(bench))
    seen = [state(bench)]
    for _ in range(3 * len(steps)):
        bench.editor.undo()
        if not same(state(bench), seen[-1]):
            seen.append(state(bench))
    assert len(seen) == len(steps) and all(same(one, other) for one, other in zip(reversed(seen), steps))
