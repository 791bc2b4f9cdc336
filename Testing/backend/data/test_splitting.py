"""Splits of a preparation: patients stay whole, folds are the same everywhere, own split files are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rep3d.data.dataset import find_dataset
from rep3d.data.layouts.base import Scan
from rep3d.data.prepare import PrepareConfig, prepare
from rep3d.data.splitting import divide, proportions_note, with_patients
from rep3d.errors import BadInput
from rep3d.tasks import load_task

TASK = load_task("msd-hippocampus")


def test_patients_stay_whole_in_every_fold(tmp_path):
    scans = [Scan(f"sub-{p:02d}_ses-{s}_T1w", "", Path("i"), Path("l")) for p in range(20) for s in range(1 + p % 3)]
    scans = with_patients(scans)
    assert {s.patient for s in scans} == {f"sub-{p:02d}" for p in range(20)}
    patient = {s.id: s.patient for s in scans}
    for policy in (TASK.split, load_task("amos-ct").split, load_task("kits").split, load_task("openkbp").split):
        _, parts = divide(scans, policy)
        for fold in range(len(next(iter(parts.values())))):
            part_of: dict = {}
            assert all(part_of.setdefault(patient[key], of[fold]) == of[fold] for key, of in parts.items())
    policy, parts = divide(scans, TASK.split, fold_count=6)  # 20 patients, 6 folds: every one is tested once
    assert policy["folds"] == 6 and all(of.count("test") == 1 for of in parts.values())
    assert divide(scans[::-1], TASK.split, fold_count=6)[1] == parts
    assert divide(scans, TASK.split, fold_count=6, seed=1)[1] != parts
    table = tmp_path / "who.csv"
    table.write_text("id,patient\n" + "".join(f"{s.id},p{i % 7}\n" for i, s in enumerate(scans)), encoding="utf-8")
    assert len({s.patient for s in with_patients(scans, table=table)}) == 7
    assert with_patients(scans, "sub-(..)_.*")[0].patient == "00"
    for wrong, message in (("sub-.*", "one group"), ("(", "no regular expression"), ("(x).*", "no patient for")):
        with pytest.raises(BadInput, match=message):
            with_patients(scans, wrong)


def test_own_split_files(source, tmp_path):
    ids = [f"hippocampus_{i:03d}" for i in range(1, 11)]
    folds = [{"train": ids[:8], "val": ids[8:9]}, {"train": ids[2:], "val": ids[:1], "test": ids[1:2]}]
    (tmp_path / "splits.json").write_text(json.dumps(folds))
    done = prepare(
        PrepareConfig("msd", TASK, workers=1, cache=False, splits=tmp_path / "splits.json"), source, tmp_path / "o"
    )
    assert done.content["folds"] == 2 and done.content["counts"][0] == {"train": 8, "val": 1, "test": 0}
    assert [len(find_dataset(tmp_path / "o", TASK, k).cases) for k in (0, 1)] == [9, 10]
    with pytest.raises(BadInput, match="fold 2 does not exist"):
        find_dataset(tmp_path / "o", TASK, 2)
    for wrong, message in (
        ([{"train": ["x"]}], "unknown cases: x"),
        ({"train": ids, "val": ids[:1]}, "twice"),
        ([], "no case"),
    ):
        (tmp_path / "w.json").write_text(json.dumps(wrong))
        with pytest.raises(BadInput, match=message):
            prepare(PrepareConfig("msd", TASK, workers=1, splits=tmp_path / "w.json"), source, tmp_path / "w")


def test_the_paper_s_counts_and_other_numbers_of_patients():
    for key, total, counts in (("amos-ct", 200, (160, 20, 20)), ("kits", 300, (240, 30, 30)), ("amos-mri", 40, None)):
        scans = with_patients([Scan(f"s{i:03d}", "", Path("i"), Path("l")) for i in range(total)])
        policy, parts = divide(scans, load_task(key).split)
        have = tuple(sum(of[0] == part for of in parts.values()) for part in ("train", "val", "test"))
        note = proportions_note(policy, parts, total)
        assert (have, note) == (counts, "") if counts else "22/4/7 are for 33 patients; with 40" in note
        assert sum(have) == total


def test_what_does_not_go_together():
    scans = [Scan(f"s{i}", f"s{i}", Path("i"), Path("l"), part) for i, part in enumerate(("train", "train", "val"))]
    with pytest.raises(BadInput, match="folders are the split"):
        divide(scans, TASK.split, fold_count=3)
    assert divide(scans, TASK.split)[0]["kind"] == "folders"
    with pytest.raises(BadInput, match="--split-seed does not apply"):
        divide([Scan(f"s{i}", f"s{i}", Path("i"), Path("l")) for i in range(9)], TASK.split, seed=3)
    with pytest.raises(BadInput, match="is too few"):
        divide([Scan(f"s{i}", f"s{i}", Path("i"), Path("l")) for i in range(9)], TASK.split, fold_count=2)
    with pytest.raises(BadInput, match="no case is left for val"):
        divide([Scan(f"s{i}", f"s{i}", Path("i"), Path("l")) for i in range(4)], TASK.split)
