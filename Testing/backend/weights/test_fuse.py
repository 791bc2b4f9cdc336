"""Fusing: the deployed form is the same function, without masks, batch norms and dead taps."""

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.fuse import alive_kernels, block_masks, fuse_checkpoint, fuse_network, fusion_error
from rep3d.networks import create_network
from rep3d.weights import load_weights
from typer.testing import CliRunner

from ..fused_weights import PATCH, trained_network


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("rep3d-tiny", {}),
        ("rep3d-tiny", {"norm": "batch-first"}),
        ("rep3d-tiny", {"norm": "layer"}),
        ("rep3d-tiny", {"reparam": "fixed"}),
        ("rep3d-tiny", {"reparam": "plain"}),
        ("rep3d-tiny", {"lrbm": {"channels": "depthwise", "bounded": True}}),
        ("uxnet-tiny", {}),
        ("uxnet-tiny", {"reparam": "lrbm", "kernel_size": 21}),
        ("rep3d-tiny", {"reparam": "csla", "csla": {"small_kernel_size": 5, "large_scale": 0.7, "small_scale": -1.3}}),
        ("rep3d-tiny", {"reparam": "csla", "norm": "batch-first", "deep_supervision": 2}),
        ("uxnet-tiny", {"reparam": "csla", "deep_supervision": 3}),
    ],
)
def test_fused_and_training_form_agree(name, args):
    network = trained_network(name, **args)
    fused = fuse_network(network, PATCH)
    assert fusion_error(network, fused, PATCH) <= 1e-4
    assert not any("mask" in n or "prior" in n for n in fused.state_dict())
    assert not any(isinstance(m, torch.nn.BatchNorm3d) for m in fused.modules())
    assert not any("weight_small" in n or "deep_heads" in n for n in fused.state_dict())
    rebuilt = create_network(fused.spec["name"], **fused.spec["args"])
    rebuilt.load_state_dict(fused.state_dict())


@pytest.mark.parametrize(
    "args", [{"reparam": "plain"}, {"reparam": "csla"}, {"reparam": "plain", "norm": "batch-first"}]
)
def test_the_eps_of_batch_norms_is_folded_too(args):
    """Where a map hardly varies eps is much of the variance; the norms that follow would hide a wrong scale."""
    network = trained_network(**args)
    for stage in network.encoder.stages:
        for block in stage:
            block.norm.running_var.fill_(4e-5)  # eps is a fifth of the sum
    fused = fuse_network(network, PATCH)
    for stage, (trained, deployed) in enumerate(zip(network.encoder.stages, fused.encoder.stages, strict=True)):
        x = torch.rand(1, trained[0].conv.weight.shape[0], *(n >> (stage + 1) for n in PATCH))
        with torch.no_grad():
            expected = trained[0](x)
            assert (deployed[0](x) - expected).abs().max() < 1e-4 * expected.abs().max()


def test_fusing_notices_a_wrong_fold():
    network = trained_network()
    fused = fuse_network(network, PATCH)
    with torch.no_grad():
        fused.encoder.stages[0][0].conv.bias += 0.05
    assert fusion_error(network, fused, PATCH) > 1e-4


def test_dead_taps_are_dropped_and_a_larger_window_does_not_wake_them():
    assert alive_kernels(21, (96, 96, 96)) == [(21, 21, 21), (21, 21, 21), (21, 21, 21), (11, 11, 11)]
    assert alive_kernels(21, (48, 64, 48)) == [(21, 21, 21), (21, 21, 21), (11, 15, 11), (5, 7, 5)]
    network = trained_network()
    fused = fuse_network(network, PATCH)
    before = fused.state_dict()
    with torch.no_grad():  # random values in every tap that never met data
        for stage, kernel in zip(network.encoder.stages, alive_kernels(21, PATCH)):
            for block in stage:
                dead = torch.ones_like(block.conv.weight, dtype=torch.bool)
                low = [(21 - k) // 2 for k in kernel]
                dead[(..., *(slice(o, o + k) for o, k in zip(low, kernel)))] = False
                block.conv.weight[dead] = 1e3
    after = fuse_network(network, PATCH).state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before)
    x = torch.rand(1, 1, 64, 64, 64)
    with torch.no_grad():
        assert torch.isfinite(fused(x)).all() and fused(x).abs().max() < 100


def test_fuse_command_writes_everything_inference_needs(checkpoint, tmp_path):
    from rep3d.cli import app

    output = tmp_path / "out.safetensors"
    result = CliRunner().invoke(app, ["fuse", str(checkpoint), "-o", str(output), "--id", "mine"])
    assert result.exit_code == 0, result.output
    weights = load_weights(output)
    assert weights.meta.id == "mine"
    assert weights.meta.task.key == "msd-hippocampus"
    assert weights.meta.patch == PATCH
    assert weights.meta.training["steps"] == 7
    assert weights.meta.data_sha256 == "ab" * 32
    assert weights.meta.licence == "CC BY-SA 4.0"
    network = weights.build_network()
    trained = trained_network()
    assert fusion_error(trained, network, PATCH) <= 1e-4
    masks = block_masks(trained)
    assert set(weights.masks()) == set(masks) and len(masks) == 8
    assert weights.exponents() == pytest.approx(dict.fromkeys(masks, 0.4))
    for name, mask in weights.masks().items():
        assert torch.allclose(mask, masks[name], atol=2e-3)


def test_averaged_weights_are_preferred(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    content["ema"] = {n: t * 0.9 if t.is_floating_point() else t for n, t in content["model"].items()}
    path = tmp_path / "ema.ckpt"
    torch.save(content, path)
    averaged, plain = fuse_checkpoint(path)[0], fuse_checkpoint(checkpoint)[0]
    name = "decoder.out.conv.conv.bias"
    assert torch.allclose(averaged[name], 0.9 * plain[name])


def test_a_fused_network_is_not_fused_twice():
    fused = fuse_network(trained_network(), PATCH)
    with pytest.raises(BadInput, match="fused already"):
        fuse_network(fused, PATCH)


def test_wrong_suffix_and_missing_checkpoint_are_clear(checkpoint, tmp_path):
    from rep3d.cli import app

    result = CliRunner().invoke(app, ["fuse", str(checkpoint), "-o", str(tmp_path / "out.pt")])
    assert isinstance(result.exception, BadInput) and "out.pt" in str(result.exception)
    result = CliRunner().invoke(app, ["fuse", str(tmp_path / "no.ckpt"), "-o", str(tmp_path / "out.safetensors")])
    assert isinstance(result.exception, BadInput) and "no.ckpt" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_fuse_records_the_training_scans_and_stores_16_bits(checkpoint, tmp_path):
    """`rep3d fuse` measures the cases that the checkpoint was trained on, and only those."""
    import numpy as np
    import SimpleITK as sitk
    from rep3d.cli import app
    from rep3d.data.dataset import data_list, find_dataset
    from rep3d.files import sha256_file
    from rep3d.tasks import load_task
    from rep3d.weights import load_weights
    from typer.testing import CliRunner

    task = load_task("msd-hippocampus")
    rng = np.random.default_rng(0)
    for i in range(10):
        labels = np.zeros((20, 24 + 2 * i, 16), np.uint8)
        labels[4:8, 4:8, 4 : 6 + i] = 1
        for folder, array in (("images", rng.random(labels.shape, np.float32) * 100), ("labels", labels)):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
            image.SetSpacing((1.0, 1.0, 2.0))
            sitk.WriteImage(image, str(tmp_path / "data" / folder / f"case{i}.nii.gz"))
    dataset = find_dataset(tmp_path / "data", task)
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    run = tmp_path / "run"
    run.mkdir()
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content | {"data_sha256": data_list(dataset, task.key, hashes)[1]}, run / "best.ckpt")

    def fuse(*options, code=0):
        arguments = ["fuse", str(run / "best.ckpt"), "-o", str(tmp_path / "w.safetensors"), "--overwrite", *options]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == code, done.output
        return load_weights(tmp_path / "w.safetensors")

    full = fuse()
    assert full.meta.expected is None and full.meta.demo_only is False and full.meta.remove_islands is False
    half = fuse("--data", str(tmp_path / "data"), "--demo-only", "--half", "--remove-islands")
    assert half.meta.remove_islands is True
    sizes = [24 + 2 * int(case.id[-1]) for case in dataset.of("train")]
    expected = half.meta.expected
    assert expected.extent_mm == ((20.0, 20.0), (min(sizes), max(sizes)), (32.0, 32.0))
    assert expected.cases == len(sizes) and expected.region == "hippocampus" and half.meta.demo_only is True
    thick = [2 + int(case.id[-1]) for case in dataset.of("train")]
    assert list(expected.volumes_ml) == ["anterior-hippocampus"]
    assert expected.volumes_ml["anterior-hippocampus"] == pytest.approx((min(thick) * 0.032, max(thick) * 0.032))
    assert {tensor.dtype for tensor in half.tensors.values()} == {torch.float16}
    assert {p.dtype for p in half.build_network().parameters()} == {torch.float32}
    for name, tensor in full.tensors.items():
        torch.testing.assert_close(half.tensors[name].float(), tensor.float(), rtol=1e-3, atol=1e-6)
    (tmp_path / "data" / "images" / "case0.nii.gz").unlink()
    fuse("--data", str(tmp_path / "data"), code=1)  # other data than it was trained on
