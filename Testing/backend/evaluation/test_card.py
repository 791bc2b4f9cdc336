"""Model cards say what the results say, and refuse results of other data, splits or weights."""

import copy
import json

import pytest
from rep3d.errors import BadInput
from rep3d.evaluation.card import CardSources, card_record, card_text, write_card
from rep3d.weights import load_weights


@pytest.fixture(scope="module")
def sources(weights_file):
    weights = load_weights(weights_file)
    per_class = {"anterior-hippocampus": 0.75, "posterior-hippocampus": None}
    results = {
        "subject": {"weights": weights.meta.id, "sha256": weights.sha256, "network": "rep3d-tiny"},
        "task": weights.meta.task.key,
        "split": "test",
        "data_sha256": weights.meta.data_sha256,
        "settings": {"overlap": 0.5, "tta": False, "precision": "float32", "device": "cpu"},
        "summary": {"native": {"mean": 0.75, "per_class": per_class, "cases": 1, "sd": 0.0, "lowest": 0.75}},
        "cases": [{"id": "a", "dice": {"native": per_class}}],
    }
    other = copy.deepcopy(results)
    other["subject"] = {"checkpoint": "best.ckpt", "network": "segresnet"}
    other["summary"]["native"]["mean"] = 0.5
    return CardSources(
        weights,
        results,
        "rep3d train ...",
        "Two cores.",
        ("Fails at night.",),
        "The data's makers",
        {"SegResNet": other},
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"overlap": 0.25}}, "SegResNet were made with other settings"),
        ({"split_cases": 3}, "SegResNet are of 1 of 3"),
    ],
)
def test_baselines_evaluated_otherwise_are_refused(sources, tmp_path, change, message):
    other = {**sources.baselines["SegResNet"], **change}
    with pytest.raises(BadInput, match=message):
        write_card(tmp_path, CardSources(**{**sources.__dict__, "baselines": {"SegResNet": other}}))


def test_card_of_a_single_case_and_a_baseline_that_tells_its_budget(sources, tmp_path):
    results, other = copy.deepcopy(sources.results), copy.deepcopy(sources.baselines["SegResNet"])
    results["summary"]["native"]["sd"] = None
    other["subject"]["config"] = sources.weights.meta.training["config"]
    changed = CardSources(**{**sources.__dict__, "results": results, "baselines": {"SegResNet": other}})
    words = card_text(changed)
    assert "Standard deviation over cases -" in words
    assert "The same data; the same steps, crops, augmentation and loss." in words
    assert "The same data; its settings of training are not recorded." in card_text(sources)
    other["subject"]["config"] = {**other["subject"]["config"], "steps": 9}
    assert "The same data; trained with other steps 9 (here 6)." in card_text(changed)


def test_card_states_the_results(sources, tmp_path):
    text, record = write_card(tmp_path, sources)
    words = text.read_text(encoding="utf-8")
    assert "| Anterior hippocampus | 0.750 | 0.750 |" in words
    assert "| Posterior hippocampus | - | - |" in words
    assert "| **mean** | 0.750 | 0.500 |" in words
    for part in ("rep3d train ...", "Fails at night.", "The data's makers", "not a medical device", "CC BY-SA 4.0"):
        assert part in words
    assert words == card_text(sources)
    assert json.loads(record.read_text(encoding="utf-8")) == card_record(sources)
    assert card_record(sources)["test"]["dice"]["mean"] == 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "test split"),
        ({"data_sha256": "cd" * 32}, "another data list"),
        ({"subject": {"sha256": "00"}}, "another weights file"),
        ({"split_cases": 2}, "1 of 2 test cases"),
    ],
)
def test_results_of_something_else_are_refused(sources, tmp_path, change, message):
    wrong = CardSources(**{**sources.__dict__, "results": {**sources.results, **change}})
    with pytest.raises(BadInput, match=message):
        write_card(tmp_path, wrong)
    assert list(tmp_path.iterdir()) == []


def test_surfaces_stand_in_the_card_where_the_results_have_them(sources):
    from rep3d.evaluation.rows import make_row, summarise

    assert "HD95" not in card_text(sources)
    names = ("dice", "nsd", "hd95_mm", "asd_mm", "volume_ml", "truth_ml", "volume_error_ml", "volume_error_percent")
    values = {key: dict.fromkeys(names, 0.5) for key in ("anterior-hippocampus", "posterior-hippocampus")}
    rows = [make_row("a", {"native": values}, 1.0, {})]
    settings = {**sources.results["settings"], "tolerance_mm": {"anterior-hippocampus": 1.0}}
    results = {**sources.results, "cases": rows, "summary": summarise(rows), "settings": settings}
    changed = CardSources(**{**sources.__dict__, "results": results})
    words = card_text(changed)
    assert "| structure | NSD 1 mm | HD95 mm | vol. error ml |" in words
    assert "| Posterior hippocampus | 0.500 [0.500, 0.500] |" in words
    assert card_record(changed)["test"]["metrics"]["hd95_mm"]["ignore"]["mean"] == 0.5
