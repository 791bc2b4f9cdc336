"""Pairs by id, splits that never move, data lists with hashes, clear errors for folders that do not fit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from rep3d.data.dataset import Case, Dataset, assign_splits, data_list, find_dataset, stem
from rep3d.errors import BadInput
from rep3d.tasks import load_task

HIPPOCAMPUS, OPENKBP = load_task("msd-hippocampus"), load_task("openkbp")


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def images_and_labels(root, ids):
    touch(root, *(f"images/{i}.nii.gz" for i in ids), *(f"labels/{i}.nii.gz" for i in ids))


def test_every_fifth_hippocampus_case_by_name_is_test(tmp_path):
    ids = [f"hippocampus_{i:03d}" for i in (1, 3, 4, 6, 8, 11, 15, 17, 19, 20, 23, 24, 25, 33, 34, 35, 36, 37, 38, 39)]
    images_and_labels(tmp_path, ids)
    found = find_dataset(tmp_path, HIPPOCAMPUS)
    assert [c.id for c in found.of("test")] == [ids[4], ids[9], ids[14], ids[19]]
    assert {c.id for c in found.cases} == set(ids)
    parts = [{c.id for c in found.of(s)} for s in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(ids) and not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert parts[1]


def test_images_and_labels_meet_by_id_not_by_order(tmp_path):
    images_and_labels(tmp_path, [f"c{i:02d}" for i in range(1, 13)])
    (tmp_path / "images" / "c03.nii.gz").unlink()  # shifts every later pair when paired by order
    (tmp_path / "labels" / "c06.nii.gz").unlink()
    found = find_dataset(tmp_path, HIPPOCAMPUS)
    assert all(stem(c.image) == stem(c.label) == c.id for c in found.cases)
    assert found.unpaired == ("images/c06.nii.gz", "labels/c03.nii.gz")
    assert len(found.cases) == 10


def test_different_suffixes_still_pair_and_other_files_are_ignored(tmp_path):
    touch(tmp_path, *(f"images/k{i}.nrrd" for i in range(10)), *(f"labels/k{i}.nii.gz" for i in range(10)))
    touch(tmp_path, "images/notes.txt", "images/._k1.nii.gz", "images/.DS_Store")
    found = find_dataset(tmp_path, HIPPOCAMPUS)
    assert len(found.cases) == 10 and found.unpaired == ()


def test_msd_names_with_channel_number(tmp_path):
    ids = [f"x{i}" for i in range(10)]
    touch(tmp_path, *(f"imagesTr/{i}_0000.nii.gz" for i in ids), *(f"labelsTr/{i}.nii.gz" for i in ids))
    assert [c.id for c in find_dataset(tmp_path, HIPPOCAMPUS).cases] == ids


def test_openkbp_folders_are_the_split_and_seg7_is_left_alone(tmp_path):
    touch(
        tmp_path, "train/pt_1_ct.nii.gz", "train/pt_1_seg.nii.gz", "train/pt_1_seg7.nii.gz", "train/pt_2_ct.nii.gz",
        "val/pt_201_ct.nii.gz", "val/pt_201_seg.nii.gz", "test/pt_300_ct.nii.gz", "test/pt_300_seg.nii.gz",
        "train_partial/pt_9_ct.nii.gz", "train_partial/pt_9_seg.nii.gz",
    )  # fmt: skip
    found = find_dataset(tmp_path, OPENKBP)
    assert [(c.id, c.split, c.label.name) for c in found.cases] == [
        ("pt_1", "train", "pt_1_seg.nii.gz"),
        ("pt_201", "val", "pt_201_seg.nii.gz"),
        ("pt_300", "test", "pt_300_seg.nii.gz"),
    ]
    assert found.unpaired == ("train/pt_2_ct.nii.gz",)


def test_split_folders_with_images_and_labels_inside(tmp_path):
    images_and_labels(tmp_path / "train", ["a", "b"])
    images_and_labels(tmp_path / "val", ["c"])
    found = find_dataset(tmp_path, HIPPOCAMPUS)
    assert {c.id: c.split for c in found.cases} == {"a": "train", "b": "train", "c": "val"}


def test_hash_split_does_not_move_cases_when_others_come(tmp_path):
    ids = [f"case{i}" for i in range(300)]
    few, many = assign_splits(ids[:200], {"kind": "folders"}), assign_splits(ids, {"kind": "folders"})
    assert all(many[i] == few[i] for i in ids[:200])
    counts = [list(many.values()).count(s) for s in ("train", "val", "test")]
    assert counts[0] > 210 and min(counts[1:]) > 10


def test_one_case_in_two_splits_is_refused(tmp_path):
    images_and_labels(tmp_path / "train", ["a", "b"])
    images_and_labels(tmp_path / "val", ["b"])
    with pytest.raises(BadInput, match="b is there twice"):
        find_dataset(tmp_path, HIPPOCAMPUS)


def test_same_id_with_two_suffixes_is_refused(tmp_path):
    images_and_labels(tmp_path, ["a", "b"])
    touch(tmp_path, "images/a.mha")
    with pytest.raises(BadInput, match="same id a"):
        find_dataset(tmp_path, HIPPOCAMPUS)


@pytest.mark.parametrize(
    "names, message",
    [
        ((), "not a data folder"),
        (("images/a.nii.gz", "labels/b.nii.gz"), "no image with a label"),
        (("images/a.nii.gz",), "labels does not exist"),
        (("train/a_ct.nii.gz", "train/a_seg.nii.gz"), "no case for val"),
        (("val/a_ct.nii.gz", "val/a_seg.nii.gz"), "no case for train"),
    ],
)
def test_wrong_folders_have_clear_errors(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(BadInput, match=message):
        find_dataset(tmp_path, HIPPOCAMPUS)


def test_missing_folder(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        find_dataset(tmp_path / "nowhere", HIPPOCAMPUS)


def test_data_list_is_the_same_wherever_the_data_lie(tmp_path):
    lists = []
    for place in ("here", "there é"):
        root = tmp_path / place
        images_and_labels(root, [f"c{i}" for i in range(10)])
        found = find_dataset(root, HIPPOCAMPUS)
        hashes = {p: p.name for c in found.cases for p in (c.image, c.label)}
        lists.append(data_list(found, "t", hashes))
    assert lists[0] == lists[1]
    content, digest = lists[0]
    assert json.loads(json.dumps(content)) == content and content["sha256"] == digest
    moved = dataclasses.replace(found, cases=(dataclasses.replace(found.cases[0], split="test"), *found.cases[1:]))
    assert data_list(moved, "t", hashes)[1] != digest


def test_a_fold_that_does_nothing_is_refused(tmp_path):
    with pytest.raises(BadInput, match="--fold 1 does not apply"):
        find_dataset(tmp_path, load_task("msd-hippocampus"), fold=1)
    (tmp_path / "train").mkdir()
    with pytest.raises(BadInput, match=r"folders in .* are the split"):
        find_dataset(tmp_path, load_task("kits"), fold=1)


def test_the_same_image_in_two_splits_is_refused(tmp_path):
    from rep3d.training.run import check_no_leak

    cases = tuple(Case(n, s, Path(f"{n}.nii"), Path(f"{n}_l.nii")) for n, s in zip("abc", ("train", "train", "test")))
    hashes = {Path(f"{n}.nii"): h for n, h in zip("abc", ("1", "1", "2"))}
    check_no_leak(Dataset(tmp_path, cases), hashes)
    with pytest.raises(BadInput, match=r"a\.nii \(train\) and c\.nii \(test\) are the same image"):
        check_no_leak(Dataset(tmp_path, cases), {**hashes, Path("c.nii"): "1"})
