"""The loop: exact resume, divergence, mode after validation, configuration checks, logs without duplicates."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rep3d.data.augment import AugmentConfig
from rep3d.data.cache import Sample
from rep3d.errors import BadInput, DeviceUnavailable
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.training import loop
from rep3d.training.checkpoint import load_checkpoint, save_checkpoint, trained_network
from rep3d.training.config import TrainConfig, differences
from rep3d.training.logs import read_log
from rep3d.training.loop import Diverged
from rep3d.training.optim import MovingAverage, Schedule, decays, make_loss, make_optimizer
from rep3d.training.run import run_training
from rep3d.training.validate import validate

TASK = load_task("msd-hippocampus")


def config_of(**changes) -> TrainConfig:
    values = dict(
        task=TASK.key, network="rep3d-tiny", network_args={"in_channels": 1, "reparam": "plain"}, patch=(32, 32, 32),
        steps=4, batch_size=1, crops_per_volume=1, lr=2e-3, device="cpu", threads=1, val_every=2, save_every=1,
        log_every=1, augment=AugmentConfig.off(),
    )  # fmt: skip
    return TrainConfig(**{**values, **changes})


def same_state(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def finished(tiny_data, tmp_path_factory):
    """A finished short run (averaged weights, bf16 off), its folder and its checkpoint."""
    run = tmp_path_factory.mktemp("run")
    run_training(config_of(ema=0.5), TASK, tiny_data, run)
    return run, load_checkpoint(run / "last.ckpt")


def test_a_run_leaves_what_others_need(finished):
    run, last = finished
    best = load_checkpoint(run / "best.ckpt")
    assert last["format"] == "rep3d-checkpoint" and last["step"] == 4 and best["optimizer"] is None
    for name in ("model", "ema", "optimizer", "scheduler", "rng", "config", "network", "task", "best", "history"):
        assert name in last
    network = create_network(last["network"]["name"], **last["network"]["args"])
    network.load_state_dict(best["ema"])
    assert last["history"][-1]["step"] == 4 and len(last["history"]) == 2
    listed = json.loads((run / "data.json").read_text(encoding="utf-8"))
    assert listed["sha256"] == last["data_sha256"] and listed["counts"] == {"train": 7, "val": 1, "test": 2}
    assert json.loads((run / "config.json").read_text(encoding="utf-8")) == last["config"]
    assert list((run / "tb").glob("events*"))


def test_best_dice_is_that_of_the_averaged_weights(finished, tiny_data):
    run, _ = finished
    best = load_checkpoint(run / "best.ckpt")
    from rep3d.data.cache import Cache, load_samples
    from rep3d.data.dataset import find_dataset

    samples = load_samples(find_dataset(tiny_data, TASK).of("val"), Cache(run / "cache", TASK))
    network = create_network(best["network"]["name"], **best["network"]["args"])
    network.load_state_dict(best["ema"])
    scores = validate(network, samples, (32, 32, 32), 3)
    assert np.nanmean(scores) == pytest.approx(best["best"]["dice"], abs=1e-9)


def test_logs_agree_with_each_other(finished):
    run, last = finished
    records = read_log(run / "log.jsonl")
    steps = [r["step"] for r in records if r["kind"] == "train"]
    assert steps == [1, 2, 3, 4] and [r["step"] for r in records if r["kind"] == "val"] == [2, 4]
    with open(run / "metrics.csv", encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [(int(r["step"]), r["kind"]) for r in rows] == [(r["step"], r["kind"]) for r in records]
    assert records[-1]["dice"] == pytest.approx(last["history"][-1]["dice"], abs=1e-6)
    assert set(rows[-1]) >= {"anterior-hippocampus", "posterior-hippocampus"}


def test_test_cases_are_never_read(tiny_data, tmp_path, monkeypatch):
    """Neither preprocessed nor loaded: only listed with their hash."""
    from rep3d.data import cache

    read = []
    original = cache.preprocess_case
    monkeypatch.setattr(cache, "preprocess_case", lambda case, task: read.append(case.id) or original(case, task))
    run_training(config_of(steps=1), TASK, tiny_data, tmp_path)
    listed = json.loads((tmp_path / "data.json").read_text(encoding="utf-8"))
    test = {c["id"] for c in listed["cases"] if c["split"] == "test"}
    assert test == {"case_04", "case_09"} and not test & set(read) and len(read) == 8


def test_running_a_finished_run_again_changes_nothing(finished, tiny_data):
    run, last = finished
    log_before = (run / "log.jsonl").read_text(encoding="utf-8")
    run_training(config_of(ema=0.5), TASK, tiny_data, run)
    again = load_checkpoint(run / "last.ckpt")
    assert same_state(again["model"], last["model"]) and same_state(again["ema"], last["ema"])
    assert (run / "log.jsonl").read_text(encoding="utf-8") == log_before


def test_more_steps_continue_exactly(tiny_data, tmp_path):
    """4 + 3 steps in two runs are the 7 steps of one run: weights, optimiser, schedule, history."""
    config = config_of(steps=7, augment=AugmentConfig(), plateau_patience=0, ema=0.9, workers=2)
    run_training(config, TASK, tiny_data, tmp_path / "one", cache=tmp_path / "cache")
    run_training(replace(config, steps=4), TASK, tiny_data, tmp_path / "two", cache=tmp_path / "cache")
    run_training(replace(config, workers=0), TASK, tiny_data, tmp_path / "two", cache=tmp_path / "cache")
    one, two = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("one", "two"))
    assert same_state(one["model"], two["model"]) and same_state(one["ema"], two["ema"])
    assert one["scheduler"] == two["scheduler"] and one["best"] == two["best"] and one["history"] == two["history"]
    moments = [[v for s in c["optimizer"]["state"].values() for v in s.values()] for c in (one, two)]
    assert all(torch.equal(a, b) for a, b in zip(*moments, strict=True))


@pytest.mark.parametrize(
    "change, named",
    [
        ({"lr": 1e-3}, "lr: 0.002 in the checkpoint, 0.001 now"),
        ({"network_args": {"in_channels": 1, "reparam": "fixed"}}, "network_args"),
        ({"seed": 3, "batch_size": 2}, "batch_size: 1 in the checkpoint, 2 now; seed"),
        ({"augment": AugmentConfig()}, "augment"),
    ],
)
def test_another_configuration_is_refused_and_named(finished, tiny_data, change, named):
    run, _ = finished
    files = {p: p.read_bytes() for p in run.iterdir() if p.is_file()}
    with pytest.raises(BadInput, match="another configuration") as caught:
        run_training(replace(config_of(ema=0.5), **change), TASK, tiny_data, run)
    assert named in str(caught.value) and "--restart" in caught.value.hint
    assert {p: p.read_bytes() for p in run.iterdir() if p.is_file()} == files


def test_changed_data_are_refused(finished, tiny_data, tmp_path, case_writer):
    import shutil

    run, _ = finished
    shutil.copytree(tiny_data, tmp_path / "data")
    case_writer(tmp_path / "data/images/case_00.nii.gz", tmp_path / "data/labels/case_00.nii.gz", seed=99)
    with pytest.raises(BadInput, match="data files or their split have changed"):
        run_training(config_of(ema=0.5), TASK, tmp_path / "data", run)


def test_changed_task_is_refused(finished, tiny_data):
    run, _ = finished
    other = replace(TASK, spacing_mm=(1.0, 1.0, 1.2))
    with pytest.raises(BadInput, match="spacing_mm has changed"):
        run_training(config_of(ema=0.5), other, tiny_data, run)


def test_restart_begins_anew(tiny_data, tmp_path):
    run_training(config_of(steps=2), TASK, tiny_data, tmp_path)
    progress = run_training(config_of(steps=1, seed=5), TASK, tiny_data, tmp_path, restart=True)
    assert progress.step == 1 and load_checkpoint(tmp_path / "last.ckpt")["config"]["seed"] == 5
    assert {r["step"] for r in read_log(tmp_path / "log.jsonl")} == {1}


def test_divergence_stops_with_the_state_before_and_the_cases(tiny_data, tmp_path, monkeypatch):
    config = config_of(steps=6, save_every=50, val_every=50)
    run_training(replace(config, steps=3), TASK, tiny_data, tmp_path / "good", cache=tmp_path / "cache")
    original, seen = loop.Batches.__getitem__, []

    def poisoned(self, step):
        batch = original(self, step)
        if step == 3:
            batch.image_BCDHW[0, 0, 5, 5, 5] = math.nan
            seen.extend(batch.ids)
        return batch

    monkeypatch.setattr(loop.Batches, "__getitem__", poisoned)
    with pytest.raises(Diverged) as caught:
        run_training(config, TASK, tiny_data, tmp_path / "bad", cache=tmp_path / "cache")
    assert "step 3" in str(caught.value) and seen[0] in str(caught.value)
    bad, good = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("bad", "good"))
    assert bad["step"] == 3 and same_state(bad["model"], good["model"])  # norm statistics too


def test_gradient_that_is_not_finite_stops_too(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "make_loss", lambda _: lambda logits, label: (logits.sum() * 0).sqrt() + 1)
    with pytest.raises(Diverged, match="a gradient is not finite"):
        run_training(config_of(), TASK, tiny_data, tmp_path)


class Constant(torch.nn.Module):
    """Says class 1 everywhere, or class 0 while training."""

    stride = 16

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm3d(1)

    def forward(self, x):
        out = torch.zeros(x.shape[0], 3, *x.shape[2:])
        out[:, 0 if self.training else 1] = 1
        return out


@pytest.mark.parametrize("training", [True, False])
def test_validation_evaluates_in_eval_mode_and_gives_the_mode_back(training):
    label = np.zeros((20, 20, 20), np.uint8)
    label[:10] = 1
    sample = Sample("a", np.ones(label.shape, np.float16), label, {})
    network = Constant().train(training)
    scores = validate(network, [sample], (32, 32, 32), 3)
    assert network.training is training and network.norm.training is training
    assert scores[0][0] == pytest.approx(2 * 4000 / 12000) and math.isnan(scores[0][1])

    def broken(*_):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        validate(network, [sample], (32, 32, 32), 3, progress=broken)
    assert network.training is training


def test_validation_sees_the_weights_as_they_are_now():
    """Nothing cached for constant weights survives a change of the weights."""
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain")
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (32, 32, 32)).astype(np.uint8)
    sample = Sample("a", rng.random((32, 32, 32)).astype(np.float16), label, {})
    validate(network, [sample], (32, 32, 32), 3)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn_like(p) * 0.3)
    fresh = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="plain")
    fresh.load_state_dict(network.state_dict())
    assert validate(network, [sample], (32, 32, 32), 3) == validate(fresh, [sample], (32, 32, 32), 3)


def test_schedules():
    cosine = Schedule(config_of(schedule="cosine", lr=1.0, warmup=10, steps=110))
    assert cosine.rate(0) == pytest.approx(0.1) and cosine.rate(9) == 1.0 and cosine.rate(10) == 1.0
    assert cosine.rate(60) == pytest.approx(0.5) and cosine.rate(109) < 1e-3
    plateau = Schedule(config_of(schedule="plateau", lr=1.0, plateau_patience=2, plateau_factor=0.5))
    for dice in (0.1, 0.2, 0.2, 0.1):
        plateau.validated(dice)
    assert plateau.rate(50) == 1.0
    plateau.validated(math.nan)
    assert plateau.rate(50) == 0.5
    other = Schedule(config_of(schedule="plateau", lr=1.0))
    other.load_state_dict(plateau.state_dict())
    assert other.rate(50) == 0.5


def test_weight_decay_spares_norms_biases_and_masks():
    network = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="lrbm")
    named = dict(network.named_parameters())
    masks = [n for n in named if ".mask." in n]
    assert masks and not any(decays(n, named[n]) for n in masks)
    assert all(decays(n, p) == (p.ndim > 1) for n, p in named.items() if n not in masks)
    with_decay, without = make_optimizer(network, config_of()).param_groups
    assert with_decay["weight_decay"] == 0.08 and without["weight_decay"] == 0
    assert len(with_decay["params"]) + len(without["params"]) == sum(p.requires_grad for p in named.values())


def test_loss_is_dice_plus_cross_entropy():
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 4, 4, 4), torch.randint(0, 3, (2, 1, 4, 4, 4), dtype=torch.uint8)
    p = logits.softmax(1)
    hot = torch.nn.functional.one_hot(label[:, 0].long(), 3).permute(0, 4, 1, 2, 3).float()
    ce = torch.nn.functional.cross_entropy(logits, label[:, 0].long())
    for name, axes in (("dice-ce", (2, 3, 4)), ("batch-dice-ce", (0, 2, 3, 4))):
        dice = 1 - (2 * (p * hot).sum(axes) + 1e-5) / ((p + hot).sum(axes) + 1e-5)
        assert make_loss(name)(logits, label).item() == pytest.approx((dice.mean() + ce).item(), rel=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert make_loss(name)(logits.bfloat16(), label).dtype == torch.float32


def test_moving_average():
    layer = torch.nn.BatchNorm1d(2)
    average = MovingAverage(layer, 0.9)
    with torch.no_grad():
        layer.weight.fill_(3.0)
    layer.num_batches_tracked.fill_(7)
    average.update(layer, 0)  # decay (1 + 0) / (10 + 0)
    assert torch.allclose(average.state["weight"], torch.full((2,), 0.1 * 1 + 0.9 * 3))
    average.update(layer, 10_000)
    assert torch.allclose(average.state["weight"], torch.full((2,), 0.9 * 2.8 + 0.1 * 3))
    assert average.state["num_batches_tracked"] == 7


@pytest.mark.parametrize(
    "change, message",
    [
        ({"optimizer": "adamm"}, "optimizer 'adamm' is unknown"),
        ({"precision": "fp8"}, "precision"),
        ({"steps": 0}, "--steps"),
        ({"ema": 1.5}, "--ema"),
        ({"lr": -1.0}, "--lr"),
        ({"foreground": 2.0}, "--foreground"),
        ({"patch": (32, 32)}, "--patch"),
    ],
)
def test_wrong_values_are_named(change, message):
    with pytest.raises(BadInput, match=message):
        config_of(**change)


def test_patch_that_does_not_fit_the_network(tiny_data, tmp_path):
    with pytest.raises(BadInput, match="does not fit rep3d-tiny") as caught:
        run_training(config_of(patch=(32, 32, 40)), TASK, tiny_data, tmp_path)
    assert "16" in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_an_error_not_a_fallback(tiny_data, tmp_path):
    with pytest.raises(DeviceUnavailable):
        run_training(config_of(device="cuda"), TASK, tiny_data, tmp_path)


def test_what_may_differ_between_a_run_and_its_continuation():
    config = config_of(augment=AugmentConfig(mirror_axes=(1, 2)), ema=0.9)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    assert differences(config.to_dict(), replace(config, threads=7, save_every=9, steps=9).to_dict()) == []
    cosine = replace(config, schedule="cosine")
    assert differences(cosine.to_dict(), replace(cosine, steps=9).to_dict()) == ["steps: 4 in the checkpoint, 9 now"]


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    garbage = tmp_path / "garbage.ckpt"
    for content in (b"", b"not a checkpoint", b"PK\x03\x04" + b"\0" * 50):
        garbage.write_bytes(content)
        with pytest.raises(BadInput, match=r"garbage\.ckpt is not a readable"):
            load_checkpoint(garbage)
    torch.save({"format": "something"}, garbage)
    with pytest.raises(BadInput, match="not a Rep3D"):
        load_checkpoint(garbage)
    torch.save({"format": "rep3d-checkpoint", "version": 99}, garbage)
    with pytest.raises(BadInput, match="newer"):
        load_checkpoint(garbage)
    torch.save(Path("x"), garbage)  # a pickled object must not be built
    with pytest.raises(BadInput, match="not a readable"):
        load_checkpoint(garbage)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    from rep3d.errors import OutputFailed

    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"step": 1})

    def full(content, stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputFailed, match="No space left"):
        save_checkpoint(path, {"step": 2})
    monkeypatch.undo()
    assert torch.load(path, weights_only=True)["step"] == 1 and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_half_written_is_removed_by_the_next(tmp_path):
    left = tmp_path / ".0123abcd-partial-last.ckpt"
    left.write_bytes(b"half")
    save_checkpoint(tmp_path / "last.ckpt", {"step": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_checkpoints_that_lack_or_confuse_something_are_named(finished, tmp_path):
    whole = load_checkpoint(finished[0] / "best.ckpt")
    path = tmp_path / "odd.ckpt"
    torch.save({k: v for k, v in whole.items() if k != "task"}, path)
    with pytest.raises(BadInput, match=r"odd\.ckpt lacks task"):
        load_checkpoint(path)
    torch.save({**whole, "version": "one"}, path)
    with pytest.raises(BadInput, match=r"odd\.ckpt was written by a newer"):
        load_checkpoint(path)
    with pytest.raises(BadInput, match=r"odd\.ckpt do not fit"):
        trained_network({**whole, "ema": {"a": torch.zeros(1)}}, path)


def test_a_restart_that_cannot_begin_deletes_nothing(tiny_data, tmp_path):
    """A mistyped folder or option must not cost the run that lies in --out."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.ckpt").write_bytes(b"weeks of work")
    for data, change in ((tmp_path / "typo", {}), (tiny_data, {"patch": (24, 32, 32)}), (tiny_data, {"device": "mps"})):
        with pytest.raises((BadInput, DeviceUnavailable)):
            run_training(config_of(**change), TASK, data, run, restart=True)
        assert [p.name for p in run.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network_args": {"in_channels": 1, "reparam": "magic"}}, "reparam must be"),
        ({"network_args": {"in_channels": 1, "kernel_size": 4}}, "odd"),
        ({"patch": (16, 32, 32)}, "16, 32, 32"),
        ({"fold": 2}, "--fold 2"),
    ],
)
def test_a_network_that_cannot_train_is_refused_before_the_data_are_read(tiny_data, tmp_path, change, message):
    with pytest.raises(BadInput, match=message):
        run_training(config_of(**change), TASK, tiny_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
