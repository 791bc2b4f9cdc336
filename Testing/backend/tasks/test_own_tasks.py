"""A user's own tasks: found by key beside the shipped ones, never in their place; every fault of a file at once."""

from __future__ import annotations

import copy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.errors import BadInput
from rep3d.tasks import Task, list_shipped, list_tasks, load_task
from rep3d.tasks.findings import faults
from rep3d.tasks.store import TASK_FOLDER, find_task_file, list_task_files, own_folder

SOUND = {**load_task("msd-pancreas").to_dict(), "key": "mine"}


def put(folder, name: str, data) -> None:
    folder.mkdir(exist_ok=True)
    text = data if isinstance(data, str) else yaml.safe_dump(data, allow_unicode=True)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_an_own_task_is_found_by_its_key(own_tasks):
    assert own_folder() == own_tasks and list_tasks() == list_shipped()  # the folder is not there yet
    put(own_tasks, "mine", SOUND)
    assert load_task("mine").key == "mine" and find_task_file("mine") == own_tasks / "mine.yaml"
    assert [t.key for t in list_tasks()] == sorted([t.key for t in list_shipped()] + ["mine"])
    origins = {file.key: file.origin for file in list_task_files()}
    assert origins["mine"] == "own" and origins["kits"] == "shipped"
    with pytest.raises(BadInput, match="no task is called 'other'") as caught:
        load_task("other")
    assert "mine" in caught.value.hint and "kits" in caught.value.hint


def test_an_own_task_never_takes_the_place_of_a_shipped_one(own_tasks):
    put(own_tasks, "kits", {**SOUND, "key": "kits"})
    with pytest.raises(BadInput, match="also the key of a task that comes with Rep3D") as caught:
        load_task("kits")
    assert str(own_tasks) in str(caught.value)
    assert load_task(TASK_FOLDER / "kits.yaml").key == "kits"
    assert load_task(own_tasks / "kits.yaml").title == SOUND["title"]
    assert list_tasks() == list_shipped()
    left_out = [file for file in list_task_files() if file.error]
    assert [(file.key, file.origin) for file in left_out] == [("kits", "own")]


def test_own_files_that_cannot_be_used_do_not_hide_the_others(own_tasks):
    put(own_tasks, "broken", "key: [\n")
    put(own_tasks, "mine", SOUND)
    put(own_tasks, "renamed", {**SOUND, "key": "other-name"})
    assert {t.key for t in list_tasks()} - {t.key for t in list_shipped()} == {"mine"}
    errors = {file.key: str(file.error) for file in list_task_files() if file.error}
    assert "not valid YAML" in errors["broken"] and "its task other-name" in errors["renamed"]
    with pytest.raises(BadInput, match="the file is called renamed"):
        load_task("renamed")


def test_every_fault_is_named_at_once():
    data = copy.deepcopy(SOUND)
    del data["title"], data["labels"][1]["name"]
    data |= {"patch": [96, 96, 100], "colour": 1, "modality": "PET", "spacing_mm": [1, 1, 0], "network": ""}
    data["labels"][0] |= {"color": [1, 2, 256], "type": ["1", "SCT"]}
    data["dataset"] |= {"licence": None, "url": "x"}
    data["split"] |= {"train": 0, "folds": 1}
    found = faults(data, "f.yaml")
    named = [
        "title: missing", "labels[1].name: missing", "patch:", "colour: unknown key", "modality:", "spacing_mm:",
        "network:", "labels[0].color", "labels[0].type", "dataset.licence", "dataset.url", "split.train", "split.folds",
    ]  # fmt: skip
    for name in named:
        assert sum(f"f.yaml: {name}" in text for text in found) == 1, (name, found)
    assert len(found) == len(named)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"labels": "none"}, "labels: a list"),
        ({"labels": [1, 2]}, "labels[0]: a mapping"),
        ({"split": {"kind": "random"}}, "split.kind"),
        ({"split": 5}, "split.kind"),
        ({"dataset": "here"}, "dataset: a mapping"),
        ({"labels": [SOUND["labels"][0]] * 2}, "already used"),
    ],
)
def test_faults_of_whole_parts(change, named):
    assert any(named in text for text in faults({**SOUND, **change}, "f.yaml"))


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_task_at_all(data):
    assert faults(data, "f.yaml") == [f"f.yaml: a mapping is expected, not {type(data).__name__}"]


FIELDS = sorted(Task.__dataclass_fields__)
JUNK = st.sampled_from([None, 0, "", "a b", [], {}, [1, 2, 3], {"kind": "folds"}, float("nan"), [{"value": 1}]])


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=4), st.sets(st.sampled_from(FIELDS), max_size=3))
def test_there_is_a_fault_exactly_where_loading_fails(junk, without):
    data = {k: v for k, v in {**SOUND, **junk}.items() if k not in without}
    try:
        Task.from_dict(data, "f.yaml")
    except BadInput as error:
        assert str(error) in faults(data, "f.yaml")
    else:
        assert faults(data, "f.yaml") == []
