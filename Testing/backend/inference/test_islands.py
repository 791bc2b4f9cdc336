"""Small islands go, whatever is of similar size stays, and the result says what went."""

from __future__ import annotations

import numpy as np
from rep3d.inference.islands import remove_islands
from rep3d.tasks import load_task

LABELS = load_task("msd-hippocampus").labels


def test_islands_of_each_structure_go_and_what_is_of_similar_size_stays():
    labels = np.zeros((20, 12, 10), np.uint8, order="F")
    labels[2:8, 2:8, 2:8] = 1  # 216 voxels
    labels[12:15, 2:5, 2:5] = 1  # 27: more than a tenth
    labels[18, 10, 8] = 1
    labels[8, 8, 8] = 1  # touches at a corner: a part of the large one
    labels[12:14, 8:10, 2:4] = 2
    labels[18, 2, 2] = 2  # 1 of 8: more than a tenth
    before = labels.copy()
    removed = remove_islands(labels, LABELS, voxel_mm3=500.0)
    assert removed == {"anterior-hippocampus": {"components": 1, "ml": 0.5}}
    before[18, 10, 8] = 0
    np.testing.assert_array_equal(labels, before)
    assert labels.flags.f_contiguous and remove_islands(labels, LABELS, 500.0) == {}


def test_nothing_is_found_in_an_empty_map_and_other_structures_are_not_looked_at():
    labels = np.zeros((4, 4, 4), np.uint8)
    assert remove_islands(labels, LABELS, 1.0) == {}
    labels[0, 0, 0] = 2
    assert remove_islands(labels, LABELS[:1], 1.0) == {} and labels.any()


def test_a_run_takes_them_as_asked_and_as_the_weights_say(monkeypatch):
    from dataclasses import replace

    import torch
    from rep3d.data.volume import Volume
    from rep3d.inference.pipeline import segment_with_weights
    from rep3d.weights import SHIPPED_FOLDER, load_weights

    scan = np.zeros((48, 64, 48), np.float32)
    scan[4:24, 4:24, 4:24] = 1
    scan[40, 50, 40] = 1

    class Threshold(torch.nn.Module):
        def forward(self, x_BCDHW):
            return torch.cat([0.5 - x_BCDHW, x_BCDHW - 0.5, torch.full_like(x_BCDHW, -9)], 1)

    weights = load_weights(SHIPPED_FOLDER / "msd-hippocampus.safetensors")
    weights = replace(weights, meta=replace(weights.meta, training={}))
    volume, net = Volume(scan, np.diag([1.0, 1, 1, 1])), Threshold()
    whole = segment_with_weights(volume, weights, net, device="cpu")
    assert whole.settings["islands"] is None and whole.labelmap[40, 50, 40] == 1
    asked = segment_with_weights(volume, weights, net, device="cpu", remove_islands=True)
    assert asked.settings["islands"]["anterior-hippocampus"]["components"] == 1
    assert asked.labelmap[40, 50, 40] == 0 and asked.stats[0].voxels == np.count_nonzero(asked.labelmap)
    validated = replace(weights, meta=replace(weights.meta, training={"remove_islands": True}))
    assert segment_with_weights(volume, validated, net, device="cpu").labelmap[40, 50, 40] == 0
    kept = segment_with_weights(volume, validated, net, device="cpu", remove_islands=False)
    assert kept.settings["islands"] is None and kept.labelmap[40, 50, 40] == 1
