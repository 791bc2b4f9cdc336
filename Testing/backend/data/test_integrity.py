"""Every fault of a data set is found, all at once, and a sound data set has none."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.data.agreement import WARNING_VOXELS, disagreement
from rep3d.data.case_scan import CaseRecord, look_at
from rep3d.data.findings import Report, error, warning
from rep3d.data.integrity import judge
from rep3d.data.layouts.base import Layout, Scan
from rep3d.data.volume import SAME_GRID_VOXELS, Geometry, same_grid
from rep3d.tasks import load_task

from .layout_trees import put_image, scan

TASK = load_task("msd-hippocampus")
CT = dataclasses.replace(load_task("amos-ct"), labels=load_task("amos-ct").labels[:2])


def found(tmp_path, cases: dict, task=TASK, **scans):
    """Findings about cases written as {id: (image, label, options of the image's grid, of the label map's)}."""
    listed, records = [], {}
    for key, (image, label, *grids) in cases.items():
        files = tmp_path / f"{key}.nii.gz", tmp_path / f"{key}_l.nii.gz"
        for path, array, grid in zip(files, (image, label), (*grids, {}, {}), strict=False):
            path.write_bytes(array) if isinstance(array, bytes) else put_image(path, array, **grid)
        extra = scans.get(key, {})
        listed.append(Scan(key, extra.get("patient", key), *files, part=extra.get("part", "")))
        records[key] = look_at(*files, task.modality)
    return judge(Layout("folder", tmp_path, tuple(listed), ()), records, task)


def only(findings, severity=None):
    return {(f.code, f.cases) for f in findings if severity in (None, f.severity)}


def test_sound_cases_have_no_findings(tmp_path):
    assert found(tmp_path, {k: scan(i) for i, k in enumerate("abc")}) == ()


def test_all_faults_of_a_cohort_at_once(tmp_path):
    image, label = scan(1)
    other = [scan(i)[0] for i in range(20)]
    strange, empty = label.copy(), np.zeros_like(label)
    strange[0, 0, 0] = 9
    holes = other[4].astype(np.float32)
    holes[1, 1, 1], holes[2, 2, 2] = np.nan, np.inf
    halves = label * np.float32(0.5)
    cases = {
        "good": (image, label),
        "strange": (other[2], strange),
        "empty": (other[3], empty),
        "holes": (holes, label[::-1].copy()),
        "flat": (np.full_like(image, 7), np.roll(label, 1, 0)),
        "copy": (image, np.roll(label, 1, 1)),
        "cut": (other[6], label[:, :, :-1]),
        "moved": (other[7], np.roll(label, 2, 0), {}, {"origin": (0.0, 4.0, 0.0)}),
        "stretched": (other[8], np.roll(label, 2, 1), {}, {"spacing": (1.0, 1.0, 1.1)}),
        "nudged": (other[9], np.roll(label, 1, 2), {}, {"origin": (0.0, 0.1, 0.0)}),
        "halves": (other[10], halves),
        "negative": (other[11], label.astype(np.int16) - 1),
        "microns": (other[12], np.roll(label, 3, 0), {"spacing": (900.0,) * 3}, {"spacing": (900.0,) * 3}),
        "twin": (other[13], label),
        "image as label": (other[14], np.arange(label.size).reshape(label.shape).astype(np.int32)),
    }
    cases |= {f"more{i}": scan(30 + i) for i in range(4)}
    findings = found(tmp_path, cases)
    assert only(findings, "error") == {
        ("label-values", ("strange",)),
        ("label-values", ("halves",)),
        ("label-values", ("negative",)),
        ("label-values", ("image as label",)),
        ("constant-image", ("flat",)),
        ("duplicate-image", ("copy", "good")),
        ("geometry", ("cut",)),
        ("geometry", ("moved",)),
        ("geometry", ("stretched",)),
        ("grid-too-large", ("microns",)),
        ("spacing", ("microns",)),
    }
    warnings = only(findings, "warning")
    assert {("empty-label", ("empty",)), ("not-finite", ("holes",)), ("geometry", ("nudged",))} <= warnings
    assert ("duplicate-label", ("good", "twin")) in warnings and ("spacing-outlier", ("microns",)) in warnings
    text = {f.cases[0]: f.message for f in findings if f.code in ("geometry", "label-values", "not-finite")}
    assert "size 14 x 12 x 10 and 14 x 12 x 9" in text["cut"] and "9 (1 voxels)" in text["strange"]
    assert "origin" in text["moved"] and "4 mm (4 voxels)" in text["moved"] and "spacing" in text["stretched"]
    assert "2 voxels" in text["holes"]


def test_unreadable_files_are_findings_too(tmp_path):
    image, label = scan(1)
    put_image(tmp_path / "x.nii", image)
    whole = (tmp_path / "x.nii").read_bytes()
    for key, content, part in (("short", whole[:-50], 0), ("nothing", b"", 0), ("text", b"hello " * 200, 1)):
        pair = [tmp_path / f"{key}_{k}.nii" for k in "il"]
        for path, array in zip(pair, (image, label), strict=True):
            put_image(path, array)
        pair[part].write_bytes(content)
        record = look_at(*pair, "MR")
        code = "image-unreadable" if part == 0 else "label-unreadable"
        assert [(s, c) for s, c, _ in record.problems] == [("error", code)]
        assert str(tmp_path) not in record.problems[0][2]  # a record holds for every copy of a file
        assert CaseRecord.from_json(record.to_json()) == record


def test_class_missing_and_label_order_and_modality(tmp_path):
    cases = {k: scan(i, classes=1) for i, k in enumerate("ab")} | {"c": scan(7)}
    findings = found(tmp_path, cases)
    assert [(f.code, f.cases, f.severity) for f in findings] == [("class-missing", ("a", "b"), "warning")]
    none = found(tmp_path, {k: scan(i, classes=1) for i, k in enumerate("ab")})
    assert [f.message for f in none] == ["Posterior hippocampus (2) is in no case at all"]
    layout = Layout("msd", tmp_path, (), (), names={1: "right kidney", 2: "Spleen"}, modality="CT")
    (order,) = [f for f in judge(layout, {}, CT) if f.severity == "error"]
    assert order.code == "label-order" and "Spleen is 2 in the data set and 1 in the task" in order.message
    right = dataclasses.replace(layout, names={1: "spleen", 2: "Right Kidney", 3: "other"})
    assert not judge(right, {}, CT)
    assert only(judge(dataclasses.replace(right, modality="MR"), {}, CT)) == {("modality", ())}


def test_window_and_offset_of_ct(tmp_path):
    image, label = scan(1)
    cases = {
        "hu": (image - 150, label),
        "no offset": (scan(2)[0] + 50, np.roll(label, 1, 0)),
        "outside": (scan(3)[0] + 2000, np.roll(label, 1, 1)),
    }
    findings = [f for f in found(tmp_path, cases, CT) if f.code in ("not-hu", "outside-window")]
    assert only(findings) == {("not-hu", ("no offset",)), ("outside-window", ("outside",))}


def test_one_image_twice_matters_by_patient_and_part(tmp_path):
    image, label = scan(1)
    pair = {"a": (image, label), "b": (image, label)}

    def severity(**scans):
        (one,) = [f for f in found(tmp_path, pair, **scans) if f.code == "duplicate-image"]
        return one.severity, one.to_drop(())

    assert severity() == ("error", ("b",))
    assert severity(a={"patient": "p"}, b={"patient": "p"})[0] == "warning"
    assert severity(a={"part": "train"}, b={"part": "train"})[0] == "warning"
    # The case to leave out is the one that trains, so that the test set stays what it was.
    assert severity(a={"part": "train"}, b={"part": "test"}) == ("error", ("a",))
    split = found(tmp_path, pair, a={"part": "train", "patient": "p"}, b={"part": "val", "patient": "p"})
    assert ("patient-split", ("a", "b")) in only(split, "error")


GRID = Geometry((40, 30, 20), (0.8, 0.9, 2.5), (10.0, -20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
SHIFT = st.tuples(*(st.floats(-2, 2) for _ in range(3)))


@settings(deadline=None, max_examples=50)
@given(SHIFT, st.floats(0.9, 1.1), st.floats(-0.02, 0.02))
def test_the_decision_is_how_far_a_corner_moves(shift, stretch, turn):
    c, s = np.cos(turn), np.sin(turn)
    other = Geometry(
        GRID.size,
        (0.8 * stretch, 0.9, 2.5),
        tuple(np.add(GRID.origin, shift)),
        (c, -s, 0, s, c, 0, 0, 0, 1.0),
    )
    corners = np.array([[x, y, z, 1] for x in (0, 39) for y in (0, 29) for z in (0, 19)])
    moved = max(np.linalg.norm((GRID.affine_ras - other.affine_ras) @ corner) for corner in corners) / (
        0.8 * min(1, stretch)
    )
    got = disagreement(GRID, other)
    expected = "error" if moved > SAME_GRID_VOXELS else "warning" if moved > WARNING_VOXELS else None
    assert same_grid(GRID, other, moved * 1.001) and same_grid(other, GRID, moved * 1.001)
    assert moved == 0 or not same_grid(GRID, other, moved * 0.999)
    if min(abs(moved - SAME_GRID_VOXELS), abs(moved - WARNING_VOXELS)) > 1e-9:
        assert (got and got.severity) == expected


def test_report_says_what_is_settled(tmp_path):
    findings = (
        error("label-values", "x", "a"),
        error("duplicate-image", "y", "b", "c", keep_one=True),
        error("duplicate-image", "y", "a", "d", keep_one=True),  # settled by a, which is gone for another reason
        error("label-order", "z"),
        warning("empty-label", "w", *(f"case{i}" for i in range(20))),
    )
    report = Report("src", "t", ("seen",), 5, findings, {"a": "--exclude", "c": "--skip-broken"})
    assert [f.code for f in report.errors] == ["label-order"]
    report.write(tmp_path)
    content = json.loads((tmp_path / "integrity.json").read_text())
    assert content["counts"] == {"errors": 1, "errors_excluded": 3, "warnings": 1}
    assert content["format"] == "rep3d-integrity" and len(content["findings"][4]["cases"]) == 20
    text = (tmp_path / "integrity.txt").read_text()
    assert "Errors: 1 (label-order 1)" in text and "case7 and 12 more: w" in text and "a: --exclude" in text


@pytest.mark.parametrize("text", ["", "{}", '{"version": 0}', "[1]"])
def test_a_damaged_record_is_not_taken(text):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        CaseRecord.from_json(text)
