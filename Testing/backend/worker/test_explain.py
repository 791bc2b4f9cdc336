"""``masks`` and ``erf`` through the pipe: the numbers of the functions they call, at the right place in space."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from rep3d.data.preprocess import normalise, to_network_grid
from rep3d.data.volume import Volume
from rep3d.interpret import energy, masks_from_weights
from rep3d.interpret.kernel_table import kernel_row
from rep3d.interpret.kernels import kernels_from_weights
from rep3d.weights import find_weights, load_weights

TASK = "msd-hippocampus"


@pytest.fixture(scope="module")
def weights():
    return load_weights(find_weights(TASK))


def test_masks(worker, weights):
    result = worker.call("masks", task=TASK)
    blocks = masks_from_weights(weights)
    assert [b["name"] for b in result["blocks"]] == [b.name for b in blocks] == list(result["arrays"])
    for row, block in zip(result["blocks"], blocks):
        array = worker.take(result["arrays"][block.name])
        np.testing.assert_array_equal(array, block.mask_CKKK)
        assert row["kernel"] == list(array.shape[1:]) and row["channels"] == len(array)
        assert row["energy"]["radius90"] == energy(array).radius90
        assert row["exponent"] == pytest.approx(block.exponent) and len(row["profile"]["mean"]) > 3
    assert worker.files() == set()
    assert result["priors"] == result["kernels"] == {}
    assert worker.call("masks", task=TASK, arrays=False)["arrays"] == {}
    assert worker.files() == set()


def test_priors_and_kernels(worker, weights):
    result = worker.call("masks", task=TASK, arrays=False, kernels=True)
    for row, block in zip(result["blocks"], kernels_from_weights(weights).blocks, strict=True):
        kernel = worker.take(result["kernels"][block.name])
        np.testing.assert_array_equal(kernel, block.effective_CKKK)
        np.testing.assert_array_equal(worker.take(result["priors"][block.name]), block.mask.prior_KKK)
        assert row["kernel_channels"] == len(kernel) and row["numbers"] == json.loads(json.dumps(kernel_row(block)))
        assert row["prior_profile"]["mean"][0] == pytest.approx(1.0)  # the centre tap is at distance 0
        rms = np.sqrt((kernel.astype(float) ** 2).mean(0))
        assert row["kernel_profile"]["mean"][0] == pytest.approx(rms[10, 10, 10], rel=1e-5)
    assert worker.files() == set()


def grid_affine() -> np.ndarray:
    """Left-handed, 0.8 x 1.25 x 1 mm, second axis to the right."""
    affine = np.array([[0, 0.8, 0, -40], [-1.25, 0, 0, 25], [0, 0, 1, 5], [0, 0, 0, 1.0]])
    return affine @ np.diag([1, 1, -1, 1])


def test_receptive_field(worker, head, weights):
    affine = grid_affine()
    at = [20, 41, 13]
    result = worker.call("erf", {"class": 1}, volume=worker.put(head, affine=affine), task=TASK, at_ijk=at)
    field = worker.take(result["array"])
    meta = weights.meta
    assert field.shape == tuple(meta.patch) and (field >= 0).all() and result["class_name"] == "Anterior hippocampus"
    # the voxel that was asked about lies where the array's own affine says, to half a voxel of the network
    there = np.array(result["affine"]) @ [*result["voxel"], 1]
    assert np.abs(there - affine @ [*at, 1])[:3].max() <= 0.5 * max(meta.spacing_mm) + 1e-6
    # the affine places the window over the network grid: the same input gives the logit that is reported
    grid = to_network_grid(Volume(head, affine), meta.spacing_mm)
    corner = np.rint((np.linalg.inv(grid.affine) @ result["affine"])[:3, 3]).astype(int)
    padded = np.pad(normalise(grid.array, meta.intensity), 64)
    window = padded[tuple(slice(64 + c, 64 + c + p) for c, p in zip(corner, meta.patch))]
    with torch.no_grad():
        logits = weights.build_network()(torch.from_numpy(np.ascontiguousarray(window))[None, None])[0]
    x, y, z = result["voxel"]
    assert float(logits[1, x, y, z]) == pytest.approx(result["value"], rel=1e-3, abs=1e-3)
    assert 0 < result["radius50_mm"] < result["radius90_mm"] and result["warnings"] == []
    assert result["numbers"]["radius50_mm"] == result["radius50_mm"] and 0 < result["numbers"]["negative"] < 1
    # class null: the one that wins there
    best = worker.call("erf", volume=worker.put(head, affine=affine), task=TASK, at_ijk=at)
    assert best["class"] == int(logits[:, x, y, z].argmax())
    worker.take(best["array"])


def test_questions_without_an_answer(worker, head):
    volume = worker.put(head)
    for at in ([50, 0, 0], [-1, 3, 3], [0, 0, 50]):
        assert "outside" in worker.fails("erf", "bad_input", volume=volume, task=TASK, at_ijk=at)["message"]
    for index in (3, -1):
        error = worker.fails("erf", "bad_input", {"class": index}, volume=volume, task=TASK, at_ijk=[1, 1, 1])
        assert "class" in error["message"]
    assert worker.fails("erf", "device_unavailable", volume=volume, task=TASK, at_ijk=[1, 1, 1], device="cuda:97")
    assert worker.files() == {"input.npy"}


def test_voxels_that_cannot_be_millimetres(worker, head):
    volume = worker.put(head, affine=np.diag([0.001, 0.001, 0.001, 1.0]))
    error = worker.fails("erf", "bad_input", volume=volume, task=TASK, at_ijk=[1, 1, 1])
    assert "mm" in error["message"] and "millimetres" in error["hint"]
    assert worker.files() == {"input.npy"}
