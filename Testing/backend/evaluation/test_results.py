"""Result files: both versions are read, conventions are kept apart, and what is something else is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from rep3d.errors import BadInput
from rep3d.evaluation.listing import as_csv, as_markdown, write_table
from rep3d.evaluation.results import as_result, read_result
from rep3d.evaluation.rows import labelmap_sha256, make_row, summarise
from rep3d.evaluation.tolerance import tolerances
from rep3d.provenance import code_sha256, environment, provenance
from rep3d.tasks import load_task

OLD = {
    "subject": {"weights": "w-1", "sha256": "00", "network": "rep3d"},
    "task": "t",
    "split": "test",
    "data_sha256": "aa",
    "settings": {},
    "summary": {"native": {"mean": 0.75, "per_class": {"a": 0.75, "b": None}}, "network": {}},
    "cases": [{"id": "x", "dice": {"native": {"a": 0.75, "b": None}, "network": {"a": 0.7, "b": None}}}],
}


def scores(dice, volume, truth, hd95=math.nan):
    values = {"dice": dice, "nsd": dice, "hd95_mm": hd95, "asd_mm": hd95, "volume_ml": volume, "truth_ml": truth}
    return values | {"volume_error_ml": volume - truth, "volume_error_percent": math.nan}


@pytest.fixture
def record():
    """Class a in both, in one, in both; class b in neither, in one, in neither."""
    nan = math.nan
    table = [
        (scores(0.5, 2.0, 3.0, 4.0), scores(nan, 0.0, 0.0)),
        (scores(0.0, 1.0, 0.0), scores(0.0, 0.0, 2.0)),
        (scores(1.0, 2.0, 2.0, 0.0), scores(nan, 0.0, 0.0)),
    ]
    rows = [make_row(f"c{i}", {"native": {"a": a, "b": b}}, 0.1, {}) for i, (a, b) in enumerate(table)]
    return {
        "format": "rep3d-evaluation", "version": 2, "name": "n", "subject": {}, "task": "t", "split": "", "cases": rows,
        "data_sha256": "", "same_data": None, "split_cases": 4, "missing": ["c3"], "postprocess": None,
        "settings": {"tolerance_mm": {"a": 2.0, "b": 2.0}}, "summary": summarise(rows),
    }  # fmt: skip


def test_files_of_version_1_are_read(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(OLD), encoding="utf-8")
    result = read_result(tmp_path / "r.json")
    assert (result.version, result.name, result.task_key, result.data_sha256) == (1, "w-1", "t", "aa")
    assert result.metrics == ("dice",) and result.grids == ("native", "network") and result.cases == ("x",)
    table = result.scores("dice")
    assert table["x"]["a"] == 0.75 and math.isnan(table["x"]["b"])
    assert result.scores("dice", empty="one")["x"]["b"] == 1
    with pytest.raises(BadInput, match="no metric 'nsd'"):
        result.scores("nsd")


def test_conventions_for_empty_classes(record):
    result = as_result(record)
    ignore, one = (result.scores("dice", empty=e) for e in ("ignore", "one"))
    assert [one[c]["b"] for c in result.cases] == [1, 0, 1]
    assert math.isnan(ignore["c0"]["b"]) and ignore["c1"]["b"] == one["c1"]["b"] == 0
    dice = record["summary"]["native"]["metrics"]["dice"]
    assert dice["ignore"]["per_class"]["b"] | {"low": 0, "high": 0} == {
        "mean": 0.0, "low": 0, "high": 0, "cases": 1, "undefined": 1, "absent": 2,
    }  # fmt: skip
    assert dice["one"]["per_class"]["b"]["mean"] == pytest.approx(2 / 3) and dice["one"]["per_class"]["b"]["cases"] == 3
    assert dice["ignore"]["mean"] == 0.25 and dice["one"]["mean"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert dice["ignore"]["low"] <= dice["ignore"]["mean"] <= dice["ignore"]["high"]


def test_undefined_distances_are_null_and_counted(record):
    hd95 = record["summary"]["native"]["metrics"]["hd95_mm"]["ignore"]["per_class"]
    assert record["cases"][1]["metrics"]["native"]["a"]["hd95_mm"] is None
    assert (hd95["a"]["mean"], hd95["a"]["cases"], hd95["a"]["undefined"]) == (2.0, 2, 1)
    assert hd95["b"]["mean"] is None and hd95["b"]["absent"] == 2
    assert math.isnan(as_result(record).scores("hd95_mm", empty="one")["c0"]["b"])


def test_tables_say_what_is_undefined_and_missing(record, tmp_path):
    text = as_markdown(record)
    assert "| a | 0.500 [" in text and "NSD 2 mm" in text
    assert "(a 1, b 1)" in text and "1 cases have no prediction" in text
    assert "Mean Dice 0.250" in text and "0.583 where it counts as 1 (one)" in text
    lines = as_csv(record).splitlines()
    assert lines[0].startswith("case,grid,structure,dice,nsd") and len(lines) == 7
    assert lines[2].startswith("c0,native,b,,,,,0.0")
    write_table(tmp_path / "t.md", record)
    assert (tmp_path / "t.md").read_text(encoding="utf-8") == text
    with pytest.raises(BadInput, match="neither"):
        write_table(tmp_path / "t.xls", record)


@pytest.mark.parametrize(
    "change",
    [{"format": "other"}, {"version": 3}, {"cases": [{"id": "x"}]}, {"summary": {}}, {"cases": "no"}],
)
def test_other_files_are_refused(record, tmp_path, change):
    (tmp_path / "r.json").write_text(json.dumps(record | change), encoding="utf-8")
    with pytest.raises(BadInput, match=r"r\.json"):
        read_result(tmp_path / "r.json")


def test_missing_and_unreadable_files(tmp_path):
    (tmp_path / "r.json").write_text("[1]", encoding="utf-8")
    for name in ("r.json", "none.json"):
        with pytest.raises(BadInput, match=name):
            read_result(tmp_path / name)


def test_hash_of_a_label_map_is_of_its_values():
    values = np.random.default_rng(0).integers(0, 9, (3, 4, 5))
    assert labelmap_sha256(values.astype(np.uint8)) == labelmap_sha256(np.asfortranarray(values.astype(np.uint16)))
    other = values.copy()
    other[0, 0, 0] += 1
    assert labelmap_sha256(values) != labelmap_sha256(other)
    assert labelmap_sha256(values) != labelmap_sha256(values.reshape(5, 4, 3))


def test_tolerances():
    fine, coarse = load_task("msd-hippocampus"), load_task("amos-ct")
    assert set(tolerances(None, fine)[0].values()) == {1.0} and set(tolerances("", coarse)[0].values()) == {2.0}
    own, how = tolerances("3,liver=1.5", coarse)
    assert own["liver"] == 1.5 and own["spleen"] == 3 and how == "given"
    assert tolerances({"liver": 1.0}, coarse)[0]["spleen"] == 2.0
    for wrong in ("0", "x", "1,2", "heart=1", "liver=nan"):
        with pytest.raises(BadInput, match="--tolerance"):
            tolerances(wrong, coarse)


def test_provenance_names_code_and_environment():
    made = provenance(weights="ab")
    assert made["hashes"] == {"weights": "ab"} and made["code_sha256"] == code_sha256() and len(code_sha256()) == 64
    assert {"python", "torch", "monai", "numpy", "platform", "cpu", "threads"} <= environment().keys()
    assert json.loads(json.dumps(made)) == made
