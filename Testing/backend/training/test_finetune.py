"""Starting from other weights: checkpoints, deployed files, other label sets; parts that stay as they are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import yaml
from rep3d.errors import BadInput
from rep3d.fuse import fuse_network
from rep3d.networks import create_network
from rep3d.tasks import Task, load_task
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.finetune import class_axes, initial_weights, lines
from rep3d.training.freeze import freeze, hold_norms
from rep3d.training.norms import calibrate
from typer.testing import CliRunner

from ..fused_weights import PATCH, checkpoint, trained_network, weights_file

__all__ = ["checkpoint", "weights_file"]

TASK = load_task("msd-hippocampus")


def other_task(*keys: str) -> Task:
    """The same task with labels of these keys."""
    content = TASK.to_dict()
    colours = ([10, 20, 30], [40, 50, 60], [70, 80, 90])
    pairs = zip(keys, colours)
    content["labels"] = [
        {**content["labels"][0], "value": i + 1, "key": key, "name": key, "color": colour}
        for i, (key, colour) in enumerate(pairs)
    ]
    return Task.from_dict({**content, "key": "other-task"}, "test")


def fresh(config, classes: int) -> torch.nn.Module:
    torch.manual_seed(5)
    return create_network(config.network, out_channels=classes, **config.network_args)


@pytest.fixture
def lrbm_config(config_of):
    return config_of(network_args={"in_channels": 1}, patch=PATCH)


@pytest.fixture
def plain_config(config_of):
    return config_of(network_args={"in_channels": 1, "reparam": "plain"}, patch=PATCH)


def test_output_layers_are_found_in_any_network():
    heads = class_axes("rep3d-tiny", {"deep_supervision": 1})
    parts = ("decoder.out.conv.conv", "decoder.deep_heads.0.conv.conv")
    assert heads == {f"{part}.{kind}": 0 for part in parts for kind in ("weight", "bias")}
    assert class_axes("segresnet", {}) and set(class_axes("segresnet", {}).values()) == {0}


def test_match_copies_the_rows_of_labels_with_the_same_key(checkpoint, lrbm_config):
    config = replace(lrbm_config, init_labels="match")
    task = other_task("new-structure", "posterior-hippocampus", "third")
    initial = initial_weights(checkpoint, config, task)
    network, before = fresh(config, 4), fresh(config, 4).state_dict()
    initial.apply(network)
    old, new = trained_network().state_dict(), network.state_dict()
    for name in ("decoder.out.conv.conv.weight", "decoder.out.conv.conv.bias"):
        assert torch.equal(new[name][[0, 2]], old[name][[0, 2]])
        assert torch.equal(new[name][[1, 3]], before[name][[1, 3]])
    assert all(torch.equal(new[n], old[n]) for n in new if ".out." not in n)
    report = initial.report
    assert report["classes_copied"] == ["background", "posterior-hippocampus"]
    assert report["classes_fresh"] == ["new-structure", "third"]
    assert report["classes_left_out"] == ["anterior-hippocampus"]
    assert any("start afresh: new-structure, third" in line for line in lines(report))


def test_a_new_head_is_all_random_and_strict_asks_for_as_many_classes(checkpoint, lrbm_config):
    task = other_task("one", "two", "three")
    with pytest.raises(BadInput, match="2 structures apart, task other-task has 3"):
        initial_weights(checkpoint, lrbm_config, task)
    with pytest.raises(BadInput, match="no label of"):
        initial_weights(checkpoint, replace(lrbm_config, init_labels="match"), task)
    config = replace(lrbm_config, init_labels="new-head")
    network = fresh(config, 4)
    initial_weights(checkpoint, config, task).apply(network)
    old, new, random = trained_network().state_dict(), network.state_dict(), fresh(config, 4).state_dict()
    assert all(torch.equal(new[n], random[n] if ".out." in n else old[n]) for n in new)
    assert (
        "labels are taken by position"
        in lines(initial_weights(checkpoint, lrbm_config, other_task("a", "b")).report)[-1]
    )


def test_levels_of_deep_supervision_may_be_new(checkpoint, lrbm_config):
    config = replace(lrbm_config, deep_supervision=1)
    initial = initial_weights(checkpoint, config, TASK)
    assert initial.fresh == ("decoder.deep_heads.0.conv.conv.weight", "decoder.deep_heads.0.conv.conv.bias")


@pytest.mark.parametrize("norm", ["batch", "batch-first", "layer"])
def test_a_deployed_file_becomes_a_plain_network_of_the_same_function(norm, plain_config, tmp_path, weights_file):
    from rep3d.weights import load_weights, save_weights

    trained = trained_network(norm=norm)
    meta = load_weights(weights_file).meta
    fused = fuse_network(trained, PATCH)
    save_weights(tmp_path / "w.safetensors", fused.state_dict(), replace(meta, network=fused.spec))
    config = replace(plain_config, network_args={**plain_config.network_args, "norm": norm})
    network = fresh(config, 3)
    initial = initial_weights(tmp_path / "w.safetensors", config, TASK)
    assert initial.fused
    initial.apply(network)
    generator = torch.Generator().manual_seed(2)
    images = [torch.rand(2, 1, *PATCH, generator=generator) for _ in range(2)]
    with torch.no_grad():
        expected = fused.eval()(images[0])
        assert (network.eval()(images[0]) - expected).abs().max() < 1e-4 * expected.abs().max()
        without = (network.train()(images[0]) - expected).abs().mean()
        initial.apply(network)
        held = calibrate(network, images)
        assert (network.eval()(images[0]) - expected).abs().max() < 1e-4 * expected.abs().max()
        apart = (network.train()(images[0]) - expected).abs().mean()
    if norm == "layer":
        assert held == [] and apart < 1e-4
    else:  # in training mode the norms use the batch's own statistics: near, where it was far off
        assert len(held) == 8 and apart < 0.5 * without


def test_a_file_of_a_network_without_large_kernels_is_copied_as_it_is(config_of, tmp_path, weights_file):
    from rep3d.weights import load_weights, save_weights

    trained = create_network("segresnet", out_channels=3, init_filters=8)
    fused = fuse_network(trained, PATCH)
    meta = replace(load_weights(weights_file).meta, network=fused.spec)
    save_weights(tmp_path / "w.safetensors", fused.state_dict(), meta)
    config = config_of(network="segresnet", network_args={"init_filters": 8})
    initial = initial_weights(tmp_path / "w.safetensors", config, TASK)
    network = fresh(config, 3)
    initial.apply(network)
    assert not initial.fused and not initial.fresh
    assert all(torch.equal(t, network.state_dict()[n]) for n, t in trained.state_dict().items())


def test_what_cannot_be_started_from_is_refused(checkpoint, weights_file, lrbm_config, plain_config, tmp_path):
    args = plain_config.network_args
    for path, config, message in (
        (weights_file, lrbm_config, "masks are multiplied into the kernels"),
        (weights_file, replace(plain_config, network_args={**args, "kernel_size": 3}), r"kernels of .* in stage 1"),
        (weights_file, replace(plain_config, network_args={**args, "norm": "batch-first"}), "norm: 'batch' there"),
        (weights_file, replace(plain_config, network="rep3d-xs"), "network rep3d-tiny, not rep3d-xs"),
        (checkpoint, plain_config, "reparam: 'lrbm' there, 'plain' here"),
        (tmp_path / "no.ckpt", plain_config, "does not exist"),
    ):
        with pytest.raises(BadInput, match=message):
            initial_weights(path, config, TASK)


def test_freezing_by_pattern():
    network = create_network("rep3d-tiny", out_channels=3)
    names = freeze(network, ["encoder.stages.0.*", "*.mask.prior.exponent"])
    assert len([n for n in names if n.endswith("exponent")]) == 8
    assert all(p.requires_grad is (n not in names) for n, p in network.named_parameters())
    held = hold_norms(network, names)
    assert held == ["encoder.stages.0.0.norm", "encoder.stages.0.1.norm"]
    network.train()
    modes = {n: m.training for n, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm3d)}
    assert [n for n, training in modes.items() if not training] == held
    for pattern, message in (("encoder", "matches no parameter"), ("*", "leaves nothing to train")):
        with pytest.raises(BadInput, match=message):
            freeze(create_network("rep3d-tiny"), [pattern])


def test_the_command_starts_from_a_deployed_file_keeps_what_is_frozen_and_says_what_it_took(
    weights_file, tiny_data, tmp_path
):
    from rep3d.cli import app

    task = other_task("posterior-hippocampus", "anterior-hippocampus")
    content = task.to_dict()
    path = tmp_path / "other-task.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    common = ["train", "--task", str(path), "--data", str(tiny_data), "--network", "rep3d-tiny", "--device", "cpu",
              "--patch", "32,32,32", "--threads", "1", "--batch-size", "1", "--crops-per-volume", "1", "--no-augment",
              "--val-limit", "1", "--val-overlap", "0", "--cache", str(tmp_path / "cache"),
              "--schedule", "constant"]  # fmt: skip
    run = tmp_path / "run"
    options = ["--out", str(run), "--init", str(weights_file), "--init-labels", "match", "--reparam", "plain",
               "--freeze", "encoder.*", "--lr", "1e-2"]  # fmt: skip
    first = CliRunner().invoke(app, [*common, *options, "--steps", "1"])
    assert first.exit_code == 0, first.output
    assert "classes kept: background, posterior-hippocampus, anterior-hippocampus" in first.output
    report = json.loads((run / "initial.json").read_text(encoding="utf-8"))
    assert report["format"] == "rep3d-initial-weights" and report["labels"] == "match"
    one = load_checkpoint(run / "last.ckpt")
    assert one["config"]["freeze"] == ["encoder.*"]
    second = CliRunner().invoke(app, [*common, *options, "--steps", "2"])
    assert second.exit_code == 0, second.output
    two = load_checkpoint(run / "last.ckpt")["model"]
    same = {n for n, t in one["model"].items() if torch.equal(t, two[n])}
    assert {n for n in two if n.startswith("encoder.")} <= same  # statistics of norms too, over a continuation
    assert not any(n.startswith("decoder.") and n.endswith("conv.weight") for n in same)
    from rep3d.weights import load_weights

    fused = load_weights(weights_file).tensors["encoder.stages.0.0.conv.weight"]
    kernel = two["encoder.stages.0.0.conv.weight"]
    assert torch.equal(kernel, fused) and kernel.abs().sum() > 0
    alone = CliRunner().invoke(app, [*common, "--out", str(tmp_path / "n"), "--init-labels", "match", "--steps", "1"])
    assert isinstance(alone.exception, BadInput) and "without --init" in str(alone.exception)
