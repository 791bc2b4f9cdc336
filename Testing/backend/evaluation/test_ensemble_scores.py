"""Ensembles are evaluated like weights, and are known to be tested on cases that no member was trained on, or not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rep3d.data.dataset import data_list, find_dataset
from rep3d.ensemble import write_ensemble
from rep3d.evaluation import evaluate as evaluation
from rep3d.files import sha256_file
from rep3d.tasks import load_task


def test_an_ensemble_of_a_checkpoint_and_its_weights_scores_like_the_weights(
    checkpoint, weights_file, tiny_data, tmp_path
):
    """Training and deployed form are one function, so their mean is it too."""
    path = tmp_path / "both.ensemble.json"
    ensemble = write_ensemble(path, [checkpoint, weights_file])
    assert [m.path.name for m in ensemble.members] == ["best.ckpt", weights_file.name]
    both = evaluation.evaluate(evaluation.from_weights(path), tiny_data, grids=("native",), limit=1, device="cpu")
    one = evaluation.evaluate(
        evaluation.from_weights(weights_file), tiny_data, grids=("native",), limit=1, device="cpu"
    )
    assert both["same_data"] and both["subject"]["sha256"] == sha256_file(path)
    assert [m["sha256"] for m in both["subject"]["members"]] == [sha256_file(checkpoint), sha256_file(weights_file)]
    for key, value in one["cases"][0]["dice"]["native"].items():
        assert both["cases"][0]["dice"]["native"][key] == pytest.approx(value, abs=1e-3)


def test_folds_are_held_out_only_where_every_member_held_them_out(tiny_data):
    task = load_task("msd-hippocampus")
    dataset = find_dataset(tiny_data, task, 0)
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    digest = data_list(dataset, task.key, hashes)[1]
    subject = evaluation.Subject(None, task, task.patch, "", {}, None, ((0, digest), (0, digest)))

    def held_out(subject, split, cases):
        return evaluation._held_out_of_all(subject, tiny_data, split, cases, hashes)

    assert held_out(subject, "test", dataset.of("test"))
    assert not held_out(subject, "test", dataset.of("train")), "another fold's training case"
    assert not held_out(replace(subject, folds=((0, digest), (0, "other data"))), "test", dataset.of("test"))
    assert not held_out(replace(subject, folds=((None, digest),)), "test", dataset.of("test"))
    assert not held_out(replace(subject, folds=()), "test", dataset.of("test"))
