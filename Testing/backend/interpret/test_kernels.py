"""Kernels of checkpoints and deployed files: what they are made of, tables, files, and what moved them."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.errors import BadInput
from rep3d.interpret.kernel_export import export_arrays, export_table, export_volumes
from rep3d.interpret.kernel_table import kernel_row, moved, spread, to_csv
from rep3d.interpret.kernels import kernels_from_network, load_kernels, volume_of
from rep3d.interpret.masks import distances
from rep3d.networks import create_network
from rep3d.training.checkpoint import load_checkpoint, trained_network


def test_a_checkpoint_has_every_part(checkpoint):
    kernels = load_kernels(checkpoint)
    network = trained_network(load_checkpoint(checkpoint), checkpoint)
    assert kernels.step == 7 and not kernels.fused and len(kernels.blocks) == 8
    for i, block in enumerate(kernels.blocks):
        conv = network.encoder.stages[i // 2][i % 2].conv
        assert np.allclose(block.mask.prior_KKK + block.generator_CKKK, block.mask.mask_CKKK, atol=1e-5)
        assert np.array_equal(block.weight_CKKK, conv.weight.detach().numpy()[:, 0])
        inside = (..., *block.alive_box)
        product = (block.weight_CKKK * block.mask.mask_CKKK)[inside]
        assert np.allclose(block.effective_CKKK[inside], product, atol=1e-6)
    last = kernels.blocks[-1]
    assert last.alive == (3, 5, 3) and last.pitch_mm == (16, 16, 16)  # maps of 2 x 3 x 2 voxels
    assert np.count_nonzero(last.effective_CKKK[0]) == 3 * 5 * 3


def test_a_deployed_file_keeps_mask_and_effective_kernel(checkpoint, weights_file):
    trained, fused = load_kernels(checkpoint), load_kernels(weights_file)
    assert fused.fused and fused.step == 7
    for a, b in zip(trained.blocks, fused.blocks, strict=True):
        assert b.generator_CKKK is None and b.weight_CKKK is None and a.alive == b.alive and a.kernel == b.kernel
        assert np.allclose(a.mask.mask_CKKK, b.mask.mask_CKKK, atol=4e-3)  # kept as float16
        # the batch norm's scale is folded in, one factor a channel
        factor = (a.effective_CKKK * b.effective_CKKK).sum((1, 2, 3)) / (a.effective_CKKK**2).sum((1, 2, 3))
        assert np.allclose(a.effective_CKKK * factor[:, None, None, None], b.effective_CKKK, atol=1e-5)
        first, second = kernel_row(a)["effective"], kernel_row(b)["effective"]
        for name in ("radius50", "effective_radius", "centre_to_edge"):  # which the numbers do not depend on
            assert first[name] == pytest.approx(second[name], rel=1e-3)


def test_a_bounded_generator_is_shown_before_its_sigmoid():
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", lrbm={"bounded": True, "channels": "depthwise"}, kernel_size=7)
    block = kernels_from_network(network, (32, 32, 32))[0]
    assert block.mask.mask_CKKK.shape[0] == 4
    total = block.generator_CKKK + block.mask.prior_KKK
    assert np.allclose(1 / (1 + np.exp(-total)), block.mask.mask_CKKK, atol=1e-5)


def test_the_fixed_prior_has_no_generator():
    block = kernels_from_network(create_network("rep3d-tiny", reparam="fixed"), (64, 64, 64))[0]
    assert block.generator_CKKK is None and kernel_row(block)["moved"]["relative"] < 1e-6


def test_networks_without_masks_are_refused(tmp_path, checkpoint):
    content = load_checkpoint(checkpoint)
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain")
    path = tmp_path / "plain.ckpt"
    torch.save(content | {"model": network.state_dict(), "ema": {}, "network": network.spec}, path)
    with pytest.raises(BadInput, match=r"plain\.ckpt.*no masks"):
        load_kernels(path)


def test_spread_of_known_kernels():
    delta = np.zeros((2, 9, 9, 9))
    delta[0, 4, 4, 4], delta[1, 4, 4, 8] = 3, -5  # channels count alike, whatever their size
    made = spread(delta)
    assert made["energy_within"] == {"1": 0.5, "2": 0.5, "3": 0.5, "5": 1.0}
    assert made["radius50"] == 0 and made["radius90"] == 4 and made["effective_radius"] == pytest.approx(np.sqrt(8))
    assert made["channel_radius"][0] == 0 and made["channel_radius"][-1] == 4
    prior = 1 / (1 + distances((11, 11, 11)))
    edge = prior[np.floor(distances((11, 11, 11)) + 0.5) == 5].mean()
    assert spread(prior)["centre_to_edge"] == pytest.approx(1 / edge)
    with pytest.raises(ValueError, match="zero everywhere"):
        spread(np.zeros((3, 3, 3)))


def test_how_far_a_mask_lies_from_its_prior():
    prior = 1 / (1 + distances((7, 7, 7)))
    assert moved(3 * prior[None], prior) == {
        "relative": pytest.approx(2),
        "correlation": pytest.approx(1),
        "mean": pytest.approx(2 * prior.mean()),
        "sd": pytest.approx(2 * prior.std()),
    }
    assert moved(np.ones((1, 7, 7, 7)), prior)["correlation"] is None


def test_files(tmp_path, checkpoint):
    kernels = load_kernels(checkpoint)
    rows = export_table(tmp_path, kernels)
    table = json.loads((tmp_path / "masks.json").read_text(encoding="utf-8"))
    assert table["blocks"] == json.loads(json.dumps(rows)) and table["origin"]["file"] == "best.ckpt"
    read = list(csv.DictReader(io.StringIO((tmp_path / "masks.csv").read_text(encoding="utf-8"))))
    assert float(read[7]["effective.radius90"]) == pytest.approx(rows[7]["effective"]["radius90"])
    assert read[0]["alive"] == "21 21 21" and (tmp_path / "masks.txt").read_text(encoding="utf-8").count("stage") == 8
    arrays = np.load(export_arrays(tmp_path / "m.npz", kernels))
    assert np.array_equal(arrays["stage2.block1/effective"], kernels.blocks[2].effective_CKKK)
    assert arrays["stage4.block1/alive"].tolist() == [3, 5, 3]


@pytest.mark.parametrize("fmt", ["nrrd", "nii.gz"])
def test_volumes_have_the_taps_as_voxels(tmp_path, checkpoint, fmt):
    kernels = load_kernels(checkpoint)
    written = export_volumes(tmp_path, kernels, fmt)
    assert len(written) == 8 * 5
    block = kernels.blocks[4]
    image = sitk.ReadImage(str(tmp_path / f"stage3.block1.effective.{fmt}"))
    values = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    assert np.allclose(values, volume_of(block.effective_CKKK), atol=1e-7)
    assert image.GetSpacing() == (8, 8, 8)  # 1 mm, halved three times
    centre = image.TransformIndexToPhysicalPoint((10, 10, 10))
    assert np.allclose(centre, 0)
    # the first index of the array runs to the patient's right: LPS x falls
    assert image.TransformIndexToPhysicalPoint((11, 10, 10))[0] == pytest.approx(-8)
    side = json.loads((tmp_path / "stage3.block1.effective.json").read_text(encoding="utf-8"))
    assert side["block"] == "stage3.block1" and side["alive"] == list(block.alive)
    if fmt == "nrrd":
        assert json.loads(image.GetMetaData("rep3d"))["origin"]["sha256"] == kernels.origin["sha256"]
    else:
        assert "stage3.block1" in image.GetMetaData("descrip")


def test_csv_takes_rows_of_different_kinds():
    text = to_csv([{"a": 1, "b": {"c": None}}, {"a": 2, "d": [1, 2]}])
    assert text == "a,b.c,d\n1,,\n2,,1 2\n"
