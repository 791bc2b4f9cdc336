"""Post-processing: rules do what they say, are learned where they help and only there, and never on test cases."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from rep3d.cli import app
from rep3d.data.reading import read_labelmap
from rep3d.errors import BadInput
from rep3d.evaluation.evaluate import evaluate
from rep3d.evaluation.learn import LearnConfig, choose, count, dice_of, learn_postprocess
from rep3d.evaluation.metrics import dice_per_class
from rep3d.evaluation.postprocess import PostProcess, Rule, read_postprocess
from rep3d.inference.islands import components
from rep3d.tasks import load_task
from typer.testing import CliRunner

from .threshold import make_islands, threshold_subject

TASK = load_task("msd-hippocampus")
A, P = (label.key for label in TASK.labels)


def rules_of(a: Rule, p: Rule) -> PostProcess:
    return PostProcess(TASK.key, {A: a, P: p})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_islands(tmp_path_factory.mktemp("islands"))


@pytest.fixture(scope="module")
def learned(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("rules") / "post.json"
    learn_postprocess(threshold_subject(), data, output=path)
    return path


def test_rules_remove_what_they_say_and_leave_the_rest():
    labelmap = np.zeros((8, 8, 8), np.uint8)
    labelmap[0:3, 0:3, 0:3] = 1
    labelmap[3, 3, 3] = 1  # touches at a corner: the same component
    labelmap[6:8, 6:8, 6:8] = 1
    labelmap[6, 0, 0] = labelmap[0, 6, 0] = 2
    before = labelmap.copy()
    out, removed = rules_of(Rule(largest=True), Rule()).apply(labelmap, TASK, 0.001)
    np.testing.assert_array_equal(labelmap, before)
    np.testing.assert_array_equal(out, np.where((labelmap == 1) & (np.indices((8, 8, 8))[0] >= 6), 0, labelmap))
    assert removed == {A: {"components": 1, "ml": 0.008}}
    out, removed = rules_of(Rule(min_ml=0.008), Rule(min_ml=0.002)).apply(labelmap, TASK, 0.001)
    assert removed == {P: {"components": 2, "ml": 0.002}} and (out == 2).sum() == 0 and (out == 1).sum() == 36
    same, removed = rules_of(Rule(), Rule(largest=False)).apply(labelmap, TASK, 0.001)
    assert same is labelmap and removed == {}


def test_dice_from_counts_is_the_dice_of_the_label_map():
    rng = np.random.default_rng(0)
    for _ in range(30):
        pred, truth = (rng.random((2, 6, 7, 5)) < 0.25).astype(np.uint8) * rng.integers(1, 3, (2, 6, 7, 5)).astype("u1")
        row = {"voxel_ml": 0.5, "classes": count(pred, truth, TASK)}
        for rule in (Rule(), Rule(largest=True), Rule(min_ml=1.0), Rule(min_ml=3.0)):
            out = rules_of(rule, rule).apply(pred, TASK, 0.5)[0]
            direct = [1.0 if np.isnan(v) else v for v in dice_per_class(out, truth, 3)]
            assert [dice_of(row, key, rule) for key in (A, P)] == pytest.approx(direct)


def test_a_rule_is_taken_only_where_validation_says_that_it_helps(learned):
    record = json.loads(learned.read_text(encoding="utf-8"))
    rules = read_postprocess(learned).rules
    assert rules[A].active and not rules[P].active  # class 1 has islands, class 2 is two pieces in truth
    gains = {tried["rule"]: tried["gain"] for tried in record["classes"][P]["tried"]}
    assert gains["largest component"]["mean"] < 0
    taken = {tried["rule"]: tried["gain"] for tried in record["classes"][A]["tried"]}[str(rules[A])]
    assert taken["low"] > 0 and taken["mean"] == max(t["gain"]["mean"] for t in record["classes"][A]["tried"])
    assert record["learned_on"]["split"] == "val" and len(record["learned_on"]["cases"]) == 4


def test_margin_and_bootstrap_hold_a_rule_back():
    gainful = {"truth": 10, "sizes": [10, 1], "hits": [10, 0]}
    harmful = {"truth": 20, "sizes": [10, 9], "hits": [10, 9]}
    rows = [{"voxel_ml": 1.0, "classes": {A: counts}} for counts in [gainful] * 9 + [harmful]]
    only = LearnConfig(min_ml=())
    assert choose(rows[:9], A, only)["largest_component"] is True
    assert choose(rows[:9], A, LearnConfig(min_ml=(), margin=0.2))["largest_component"] is False
    assert choose(rows, A, only)["largest_component"] is False  # the mean may gain, the interval says it may not
    with pytest.raises(BadInput, match="margin"):
        LearnConfig(margin=-1)


def test_never_learned_on_test_cases(data, learned, tmp_path):
    with pytest.raises(BadInput, match="never learned on 'test'"):
        learn_postprocess(threshold_subject(), data, "test")
    record = json.loads(learned.read_text(encoding="utf-8"))
    record["learned_on"]["split"] = "test"
    (tmp_path / "post.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(BadInput, match="learned on 'test'"):
        read_postprocess(tmp_path / "post.json")
    # the same images, now called test
    for split, source in (("train", "train"), ("val", "test"), ("test", "val")):
        shutil.copytree(data / source, tmp_path / "data" / split)
    with pytest.raises(BadInput, match="learned on 4 of these test cases"):
        evaluate(threshold_subject(), tmp_path / "data", rules=read_postprocess(learned), device="cpu")


def test_evaluation_with_and_without(data, learned):
    result = evaluate(threshold_subject(), data, rules=read_postprocess(learned), device="cpu", grids=("native",))
    native, after = (result["summary"][grid]["per_class"] for grid in ("native", "postprocessed"))
    assert native[A] < 1 and after[A] == 1 and after[P] == native[P] == 1
    assert result["cases"][0]["removed"][A]["components"] == 1
    assert result["postprocess"]["learned_on_these_cases"] == 0
    on_val = evaluate(threshold_subject(), data, "val", rules=read_postprocess(learned), device="cpu", limit=1)
    assert on_val["postprocess"]["learned_on_these_cases"] == 1


def test_rules_of_another_task_and_damaged_files_are_refused(learned, tmp_path):
    with pytest.raises(BadInput, match="not for kits"):
        read_postprocess(learned).check_task(load_task("kits"))
    record = json.loads(learned.read_text(encoding="utf-8"))
    for change in ({"format": "other"}, {"version": 9}, {"classes": {A: {}}}, {"connectivity": 6}):
        (tmp_path / "p.json").write_text(json.dumps(record | change), encoding="utf-8")
        with pytest.raises(BadInput, match=r"p\.json"):
            read_postprocess(tmp_path / "p.json")


def test_learning_goes_on_where_it_was_stopped(data, tmp_path, monkeypatch):
    import rep3d.evaluation.learn as learning

    done, segment = [], learning.segment_case

    def stop(index: int, total: int, case: str) -> None:
        if index == 2:
            raise KeyboardInterrupt

    out = tmp_path / "post.json"
    with pytest.raises(KeyboardInterrupt):
        learn_postprocess(threshold_subject(), data, output=out, progress=stop)
    monkeypatch.setattr(learning, "segment_case", lambda s, c, i: done.append(c.id) or segment(s, c, i))
    learn_postprocess(threshold_subject(), data, output=out)
    assert done == ["val2", "val3"] and [p.name for p in tmp_path.iterdir()] == ["post.json"]


def test_segment_command_applies_rules_and_says_so(weights_file, tiny_data, learned, tmp_path):
    record = json.loads(learned.read_text(encoding="utf-8"))
    for rule in record["classes"].values():
        rule["largest_component"], rule["min_ml"] = True, 0.0
    (tmp_path / "post.json").write_text(json.dumps(record), encoding="utf-8")
    out = tmp_path / "made.nii.gz"
    command = ["segment", str(tiny_data / "images" / "case_00.nii.gz"), "-o", str(out), "--device", "cpu"]
    command += ["--weights", str(weights_file), "--postprocess", str(tmp_path / "post.json")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    said = record["settings"]["postprocess"]
    assert said["file"] == "post.json" and len(said["sha256"]) == 64 and said["rules"][A] == "largest component"
    assert said["removed"]  # noise gives more than one component
    made = read_labelmap(out)
    for label, row in zip(TASK.labels, record["structures"], strict=True):
        mask = made.array == label.value
        assert len(components(mask)[1]) <= 1 and row["voxels"] == mask.sum()
