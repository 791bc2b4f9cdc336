"""`rep3d train --folds`: a run a fold with one cache, a table at the end, continued where it was stopped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from rep3d.errors import BadInput
from rep3d.tasks import load_task
from rep3d.training import folds as folding
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.folds import parse_folds, summarise, train_folds

PLAIN = load_task("msd-hippocampus")
TASK = replace(PLAIN, split={"kind": "folds", "seed": 1, "folds": 5, "train": 3, "val": 1, "test": 1})


def test_which_folds(tiny_data):
    assert parse_folds("all", tiny_data, TASK) == [0, 1, 2, 3, 4]
    assert parse_folds("2,0,2", tiny_data, TASK) == [0, 2]
    for text, message in (("5", "no fold 5"), ("-1", "no fold -1"), ("a", "neither all")):
        with pytest.raises(BadInput, match=message):
            parse_folds(text, tiny_data, TASK)
    with pytest.raises(BadInput, match="one split"):
        parse_folds("all", tiny_data, PLAIN)


def test_runs_table_and_continuation(config_of, tiny_data, tmp_path, monkeypatch, capsys):
    args = {"in_channels": 1, "reparam": "plain", "kernel_size": 3}
    config, trained = config_of(steps=1, network_args=args), []
    original = folding.run_training

    def stopped_at_fold_3(config, *rest, **named):
        trained.append(config.fold)
        if trained == [1, 3]:
            raise SystemExit(143)
        return original(config, *rest, **named)

    monkeypatch.setattr(folding, "run_training", stopped_at_fold_3)
    with pytest.raises(SystemExit):
        train_folds(config, TASK, tiny_data, tmp_path, [1, 3])
    assert not (tmp_path / "folds.json").exists()
    content = train_folds(config, TASK, tiny_data, tmp_path, [1, 3])
    assert trained == [1, 3, 1, 3] and json.loads((tmp_path / "folds.json").read_text(encoding="utf-8")) == content
    assert not (tmp_path / "fold-1" / "cache").exists() and (tmp_path / "cache" / "hashes.json").exists()

    saved = [load_checkpoint(tmp_path / f"fold-{fold}" / "best.ckpt") for fold in (1, 3)]
    cases = [row for s in saved for row in s["best_cases"].values()]
    assert len({name for s in saved for name in s["best_cases"]}) == len(cases) == 4
    posterior = content["structures"]["posterior-hippocampus"]
    assert posterior["cases"]["mean"] == pytest.approx(np.mean([row[1] for row in cases]))
    assert posterior["cases"]["sd"] == pytest.approx(np.std([row[1] for row in cases], ddof=1))
    means = [np.mean([row[1] for row in s["best_cases"].values()]) for s in saved]
    assert posterior["folds"]["mean"] == pytest.approx(np.mean(means))
    assert content["mean"]["mean"] == pytest.approx(np.mean([s["best"]["dice"] for s in saved]))
    assert content["mean"]["sd"] == pytest.approx(np.std([s["best"]["dice"] for s in saved], ddof=1))
    text = (tmp_path / "folds.txt").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out and f"{content['mean']['mean']:.4f}" in text and ", 4\n" in text


def test_a_structure_without_a_score_is_a_dash(monkeypatch, tmp_path):
    saved = {"best": {"dice": 0.5, "step": 2}, "best_cases": {"a": [None, 0.5]}}
    monkeypatch.setattr(folding, "load_checkpoint", lambda path: saved)
    content = summarise(tmp_path, [0], TASK)
    assert content["structures"]["anterior-hippocampus"]["folds"] == {"mean": None, "sd": None, "count": 0}
    assert "anterior-hippocampus   -" in folding.as_text(content)
