"""Splits: every case in exactly one part, the same everywhere, the sizes that the task names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.errors import BadInput
from rep3d.tasks import list_tasks, load_task, split_cases

NAMES = st.lists(st.text("abcxyz0123456789_", min_size=1, max_size=8), min_size=10, max_size=80, unique=True)


TASKS = list_tasks()


@settings(deadline=None, max_examples=30)
@given(NAMES, st.randoms())
def test_every_case_is_in_one_part_whatever_the_order(names: list[str], random) -> None:
    shuffled = random.sample(names, len(names))
    for task in TASKS:
        if task.split["kind"] == "folders":
            continue
        parts = split_cases(task.split, names)
        assert split_cases(task.split, shuffled) == parts
        assert sorted(parts["train"] + parts["val"] + parts["test"]) == sorted(names)
        assert all(parts.values())


def test_sizes_of_the_paper() -> None:
    for key, total in (("amos-ct", 200), ("amos-mri", 33), ("kits", 300), ("msd-pancreas", 282), ("msd-hepatic", 303)):
        split = load_task(key).split
        for fold in range(split.get("folds", 1)):
            parts = split_cases(split, [f"case_{i:03d}" for i in range(total)], fold)
            assert {part: len(cases) for part, cases in parts.items()} == {
                p: split[p] for p in ("train", "val", "test")
            }


def test_folds_differ_in_their_tests() -> None:
    split = load_task("kits").split
    names = [f"case_{i:03d}" for i in range(300)]
    tests = [frozenset(split_cases(split, names, fold)["test"]) for fold in range(5)]
    for i, one in enumerate(tests):
        for other in tests[i + 1 :]:
            assert not one & other


def test_hippocampus_keeps_every_fifth_case_for_the_test() -> None:
    names = [f"hippocampus_{i:03d}" for i in range(200)]
    parts = split_cases(load_task("msd-hippocampus").split, names[::-1])
    assert parts["test"] == names[4::5]
    rest = [n for i, n in enumerate(names) if i % 5 != 4]
    assert parts["val"] == rest[7::8]
    assert (len(parts["train"]), len(parts["val"]), len(parts["test"])) == (140, 20, 40)


def test_folders_are_the_data_set_s_own() -> None:
    split = load_task("openkbp").split
    parts = split_cases(split, ["train/pt_1", "val/pt_2", "test\\pt_3"])
    assert parts == {"train": ["train/pt_1"], "val": ["val/pt_2"], "test": ["test\\pt_3"]}
    with pytest.raises(BadInput, match="none of the split's folders"):
        split_cases(split, ["extra/pt_4"])


def test_faults() -> None:
    split = load_task("kits").split
    with pytest.raises(BadInput, match="repeated"):
        split_cases(split, ["a", "a", "b"])
    with pytest.raises(BadInput, match="fold 5"):
        split_cases(split, ["a", "b", "c"], 5)
    with pytest.raises(BadInput, match="2 cases"):
        split_cases(split, ["a", "b"])
