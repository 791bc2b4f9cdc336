"""What is concluded from runs: a difference that cases and seeds show is found, noise is not, gaps are named."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from rep3d.experiments.analysis import analyse
from rep3d.experiments.execute import Setting, planned
from rep3d.experiments.recipes import recipe_of
from rep3d.experiments.studies import studies
from rep3d.experiments.tables import write_study
from rep3d.tasks import load_task

TASK = load_task("msd-hippocampus")
STUDY = studies({})["lrbm-depth"]
CLASSES = [label.key for label in TASK.labels]


def write_run(run, table):
    """A result file whose Dice of case i and class j is table[i][j]."""
    cases = [
        {"id": f"c{i}", "dice": {"native": {k: None if math.isnan(v) else float(v) for k, v in zip(CLASSES, row)}}}
        for i, row in enumerate(table)
    ]
    mean = float(np.mean([np.nanmean(column) for column in np.array(table).T]))
    content = {
        "config": run.config.to_dict(),
        "parameters": 1000,
        "train_seconds": 10.0,
        "evaluation": {"summary": {"native": {"mean": mean}}, "cases": cases},
        "provenance": {"environment": {"torch": "1"}, "code_sha256": "ab"},
    }
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "result.json").write_text(json.dumps(content))


def study_with(tmp_path, shift, seeds=(0, 1, 2), skip=()):
    """Runs whose arms differ by shift[arm] plus noise of 0.01 a case."""
    setting = Setting(TASK, tmp_path, tmp_path, recipe_of("small", TASK), seeds)
    rng = np.random.default_rng(3)
    base = rng.uniform(0.6, 0.8, (20, 2))
    for variant, seed, run in planned(STUDY, setting):
        if (variant.key, seed) not in skip:
            write_run(run, base + shift[variant.key] + rng.normal(0, 0.01, base.shape))
    return setting


def test_a_clear_difference_is_shown_and_noise_is_not(tmp_path):
    setting = study_with(tmp_path, {"depth1": 0.05, "depth2": 0.0, "depth3": 0.0})
    outcome = analyse(STUDY, setting)
    first, third = outcome.contrasts
    assert (first.variant, first.reference, first.verdict) == ("depth1", "depth2", "higher")
    assert first.difference.low < 0.05 < first.difference.high and first.difference.low > 0.04
    assert first.p < first.p_holm < 0.01 and first.agreeing == 3 and first.effect == 1
    assert third.verdict == "no difference shown"
    assert outcome.missing == ()
    arm = outcome.arms[0]
    assert arm.dice == pytest.approx(np.mean(arm.by_seed)) and arm.sd == pytest.approx(np.std(arm.by_seed, ddof=1))


def test_seeds_that_disagree_show_nothing(tmp_path):
    """Cases may agree with p = 2e-6 while the training's own noise is as large as the effect."""
    setting = study_with(tmp_path, {"depth1": 0.0, "depth2": 0.0, "depth3": 0.0})
    runs = {(v.key, s): run for v, s, run in planned(STUDY, setting)}
    rng = np.random.default_rng(0)
    base = rng.uniform(0.6, 0.8, (20, 2))
    for seed, shift in enumerate((0.2, 0.2, -0.05)):
        write_run(runs["depth1", seed], base + shift + rng.normal(0, 0.001, base.shape))
        write_run(runs["depth2", seed], base)
    contrast = analyse(STUDY, setting).contrasts[0]
    assert contrast.p_holm < 0.01 and contrast.agreeing == 2
    assert contrast.verdict == "no difference shown"


def test_one_seed_is_not_judged_and_gaps_are_named(tmp_path):
    skip = {("depth1", 1), ("depth1", 2), ("depth3", 0), ("depth3", 1), ("depth3", 2)}
    setting = study_with(tmp_path, {"depth1": 0.3, "depth2": 0.0, "depth3": 0.0}, skip=skip)
    outcome = analyse(STUDY, setting)
    assert set(outcome.missing) == skip
    (contrast,) = outcome.contrasts
    assert contrast.seeds == (0,) and contrast.verdict == "one seed: not judged"


def test_a_damaged_result_counts_as_none(tmp_path):
    setting = study_with(tmp_path, {"depth1": 0.0, "depth2": 0.0, "depth3": 0.0}, seeds=(0,))
    run = planned(STUDY, setting)[0][2]
    (run.folder / "result.json").write_text('{"config":')
    assert analyse(STUDY, setting).missing == (("depth1", 0),)


def test_classes_that_a_case_lacks_are_left_out(tmp_path):
    setting = Setting(TASK, tmp_path, tmp_path, recipe_of("small", TASK), (0, 1))
    for variant, _, run in planned(STUDY, setting):
        high = 0.9 if variant.key == "depth1" else 0.8
        write_run(run, [[high, math.nan], [high, high], [math.nan, high]])
    outcome = analyse(STUDY, setting)
    assert outcome.arms[0].per_class == pytest.approx(dict.fromkeys(CLASSES, 0.9))
    assert outcome.contrasts[0].difference.mean == pytest.approx(0.1)


def test_tables_and_figure(tmp_path):
    setting = study_with(tmp_path, {"depth1": 0.05, "depth2": 0.0, "depth3": -0.05}, skip={("depth3", 2)})
    table, rows, results, picture = write_study(STUDY, setting, tmp_path / "tables")
    text = table.read_text()
    assert "higher" in text and "lower" in text and "Not run: depth3 (seed 2)" in text
    assert "0.904" in text  # the paper's figure beside ours
    assert len(rows.read_text().splitlines()) == 1 + 8
    content = json.loads(results.read_text())
    assert content["format"] == "rep3d-experiment" and content["arms"][2]["seeds"] == [0, 1]
    assert content["environments"] == [{"environment": {"torch": "1"}, "code_sha256": "ab"}]
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_nothing_has_run(tmp_path):
    setting = Setting(TASK, tmp_path, tmp_path, recipe_of("small", TASK), (0,))
    paths = write_study(STUDY, setting, tmp_path / "tables")
    assert [p.name for p in paths] == ["table.md", "table.csv", "results.json"]
    assert "Not run" in paths[0].read_text()
