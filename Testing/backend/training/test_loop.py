"""The loop: exact resume, divergence, refusals, logs without duplicates."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rep3d.data.augment import AugmentConfig
from rep3d.errors import BadInput, DeviceUnavailable
from rep3d.networks import create_network
from rep3d.tasks import load_task
from rep3d.training import loop
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.logs import read_log
from rep3d.training.run import run_training
from rep3d.training.step import Diverged
from rep3d.training.validate import validate

TASK = load_task("msd-hippocampus")


def same_state(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


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


def test_test_cases_are_never_read(config_of, tiny_data, tmp_path, monkeypatch):
    """Neither preprocessed nor loaded: only listed with their hash."""
    from rep3d.data import cache

    read = []
    original = cache.preprocess_case
    monkeypatch.setattr(cache, "preprocess_case", lambda case, task: read.append(case.id) or original(case, task))
    run_training(config_of(steps=1), TASK, tiny_data, tmp_path)
    listed = json.loads((tmp_path / "data.json").read_text(encoding="utf-8"))
    test = {c["id"] for c in listed["cases"] if c["split"] == "test"}
    assert test == {"case_04", "case_09"} and not test & set(read) and len(read) == 8


def test_running_a_finished_run_again_changes_nothing(config_of, finished, tiny_data):
    run, last = finished
    log_before = (run / "log.jsonl").read_text(encoding="utf-8")
    run_training(config_of(ema=0.5), TASK, tiny_data, run)
    again = load_checkpoint(run / "last.ckpt")
    assert same_state(again["model"], last["model"]) and same_state(again["ema"], last["ema"])
    assert (run / "log.jsonl").read_text(encoding="utf-8") == log_before


def test_more_steps_continue_exactly(config_of, tiny_data, tmp_path):
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
def test_another_configuration_is_refused_and_named(config_of, finished, tiny_data, change, named):
    run, _ = finished
    files = {p: p.read_bytes() for p in run.iterdir() if p.is_file()}
    with pytest.raises(BadInput, match="another configuration") as caught:
        run_training(replace(config_of(ema=0.5), **change), TASK, tiny_data, run)
    assert named in str(caught.value) and "--restart" in caught.value.hint
    assert {p: p.read_bytes() for p in run.iterdir() if p.is_file()} == files


def test_changed_data_are_refused(config_of, finished, tiny_data, tmp_path, case_writer):
    import shutil

    run, _ = finished
    shutil.copytree(tiny_data, tmp_path / "data")
    case_writer(tmp_path / "data/images/case_00.nii.gz", tmp_path / "data/labels/case_00.nii.gz", seed=99)
    with pytest.raises(BadInput, match="data files or their split have changed"):
        run_training(config_of(ema=0.5), TASK, tmp_path / "data", run)


def test_changed_task_is_refused(config_of, finished, tiny_data):
    run, _ = finished
    other = replace(TASK, spacing_mm=(1.0, 1.0, 1.2))
    with pytest.raises(BadInput, match="spacing_mm has changed"):
        run_training(config_of(ema=0.5), other, tiny_data, run)


def test_restart_begins_anew(config_of, tiny_data, tmp_path):
    run_training(config_of(steps=2), TASK, tiny_data, tmp_path)
    progress = run_training(config_of(steps=1, seed=5), TASK, tiny_data, tmp_path, restart=True)
    assert progress.step == 1 and load_checkpoint(tmp_path / "last.ckpt")["config"]["seed"] == 5
    assert {r["step"] for r in read_log(tmp_path / "log.jsonl")} == {1}


def test_divergence_stops_with_the_state_before_and_the_cases(config_of, tiny_data, tmp_path, monkeypatch):
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


def test_gradient_that_is_not_finite_stops_too(config_of, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "make_loss", lambda *_: lambda logits, label: (logits.sum() * 0).sqrt() + 1)
    with pytest.raises(Diverged, match="a gradient is not finite"):
        run_training(config_of(), TASK, tiny_data, tmp_path)


def test_patch_that_does_not_fit_the_network(config_of, tiny_data, tmp_path):
    with pytest.raises(BadInput, match="does not fit rep3d-tiny") as caught:
        run_training(config_of(patch=(32, 32, 40)), TASK, tiny_data, tmp_path)
    assert "16" in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_an_error_not_a_fallback(config_of, tiny_data, tmp_path):
    with pytest.raises(DeviceUnavailable):
        run_training(config_of(device="cuda"), TASK, tiny_data, tmp_path)


def test_a_restart_that_cannot_begin_deletes_nothing(config_of, tiny_data, tmp_path):
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
def test_a_network_that_cannot_train_is_refused_early(config_of, tiny_data, tmp_path, change, message):
    with pytest.raises(BadInput, match=message):
        run_training(config_of(**change), TASK, tiny_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
