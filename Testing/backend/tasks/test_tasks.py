"""Task files: what the paper says, what is refused and how, and the round trip into weights metadata."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from rep3d.errors import BadInput
from rep3d.tasks import INTENSITY_PRESETS, Intensity, Task, list_tasks, load_task
from rep3d.tasks.store import TASK_FOLDER

KEYS = ["amos-ct", "amos-mri", "kits", "msd-hepatic", "msd-hippocampus", "msd-pancreas", "openkbp", "phantom-abdomen"]
AMOS = [
    "spleen", "right-kidney", "left-kidney", "gallbladder", "esophagus", "liver", "stomach", "aorta",
    "inferior-vena-cava", "pancreas", "right-adrenal", "left-adrenal", "duodenum", "bladder", "prostate-uterus",
]  # fmt: skip


def as_yaml(key: str = "msd-pancreas") -> dict:
    return yaml.safe_load((TASK_FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))


def write(tmp_path: Path, data: dict) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return path


def test_the_tasks_of_the_package() -> None:
    assert [task.key for task in list_tasks()] == KEYS
    for task in list_tasks():
        assert load_task(task.key) == task


@pytest.mark.parametrize("key", KEYS)
def test_round_trip_through_json(key: str) -> None:
    task = load_task(key)
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert task.num_classes == len(task.labels) + 1
    assert [label.value for label in task.labels] == list(range(1, task.num_classes))


@pytest.mark.parametrize(
    ("key", "spacing", "clip", "labels"),
    [
        ("amos-ct", (1.5, 1.5, 2.0), (-175, 250), AMOS),
        ("amos-mri", (1.0, 1.0, 1.0), (0, 1000), AMOS[:13]),
        ("kits", (1.5, 1.5, 2.0), (-175, 250), ["kidney", "tumor", "cyst"]),
        ("msd-pancreas", (1.5, 1.5, 2.0), (-175, 250), ["pancreas", "tumor"]),
        ("msd-hepatic", (1.5, 1.5, 2.0), (0, 230), ["vessel", "tumor"]),
    ],
)
def test_the_paper_s_table(key: str, spacing: tuple, clip: tuple, labels: list[str]) -> None:
    task = load_task(key)
    assert task.spacing_mm == spacing
    assert task.intensity == Intensity(tuple(map(float, clip)), (1.0, 99.0))
    assert [label.key for label in task.labels] == labels
    assert task.patch == (96, 96, 96)
    assert task.network == "rep3d"
    assert task.modality == ("MR" if key == "amos-mri" else "CT")


def test_split_sizes_of_the_paper() -> None:
    sizes = {key: tuple(load_task(key).split[part] for part in ("train", "val", "test")) for key in KEYS[:4]}
    assert sizes == {
        "amos-ct": (160, 20, 20), "amos-mri": (22, 4, 7), "kits": (240, 30, 30), "msd-hepatic": (242, 30, 31),
    }  # fmt: skip
    assert tuple(load_task("msd-pancreas").split[p] for p in ("train", "val", "test")) == (225, 27, 30)


@pytest.mark.parametrize("key", KEYS)
def test_colours_can_be_told_apart(key: str) -> None:
    colours = np.array([label.color for label in load_task(key).labels], dtype=float)
    gap = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e3 * np.eye(len(colours))
    assert gap.min() > 30


@pytest.mark.parametrize("key", KEYS)
def test_codes_are_in_dicom_s_tables(key: str) -> None:
    concepts = pytest.importorskip("pydicom.sr._concepts_dict").concepts["SCT"]
    known = {value for meanings in concepts.values() for value in meanings}
    for label in load_task(key).labels:
        for code in (label.category, label.type, label.modifier):
            if code is not None:
                assert code.scheme == "SCT"
                assert code.value in known, (label.key, code)
        if label.key.startswith(("right", "left")):
            assert label.modifier is not None
            side = label.key.split("-")[0]
            assert (label.modifier.value, label.modifier.meaning.lower()) in {
                ("24028007", "right"),
                ("7771000", "left"),
            }
            assert label.modifier.meaning.lower() == side


def test_phantom_weights_say_what_they_are_for() -> None:
    assert "NOT for patients" in load_task("phantom-abdomen").purpose


def test_presets() -> None:
    assert INTENSITY_PRESETS["ct-authors-code"] == Intensity((-125.0, 275.0), None)
    data = as_yaml()
    data["intensity"] = "ct-authors-code"
    task = Task.from_dict(data)
    assert task.intensity == INTENSITY_PRESETS["ct-authors-code"]
    assert Task.from_dict(task.to_dict()) == task


def test_a_task_file_of_one_s_own(tmp_path: Path) -> None:
    data = as_yaml()
    data["key"], data["labels"][0]["name"] = "mine", "Bauchspeicheldrüse"
    task = load_task(write(tmp_path, data))
    assert task.key == "mine"
    assert task.labels[0].name == "Bauchspeicheldrüse"


def test_unknown_task_lists_the_known() -> None:
    with pytest.raises(BadInput, match="no task is called 'amos'") as caught:
        load_task("amos")
    for key in KEYS:
        assert key in caught.value.hint


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("colour", 1, "colour: unknown key"),
        ("labels.0.colour", 1, r"labels\[0\].colour: unknown key"),
        ("intensity.window", 1, "intensity.window: unknown key"),
        ("split.ratio", 1, "split.ratio: unknown key"),
        ("labels.1.value", 1, r"labels\[1\].value: 1 is already used by labels\[0\]"),
        ("labels.1.value", 3, "values must be 1, 2, 3"),
        ("labels.0.value", 0, r"labels\[0\].value"),
        ("labels.0.value", True, r"labels\[0\].value"),
        ("labels.1.key", "pancreas", "already used"),
        ("labels.0.color", [1, 2], r"labels\[0\].color"),
        ("labels.0.color", [1, 2, 256], r"labels\[0\].color"),
        ("labels.0.type", ["15776009", "SCT"], r"labels\[0\].type"),
        ("labels.0.type", [15776009, "SCT", "Pancreas"], r"labels\[0\].type\[0\]"),
        ("labels", [], "at least one label"),
        ("patch", [96, 96, 100], "multiple of 16"),
        ("patch", [96, 96], "patch: 3 whole numbers"),
        ("patch", [96, 96, 96.0], "patch"),
        ("spacing_mm", [1, 1, 0], "spacing_mm"),
        ("spacing_mm", [1, 1, float("nan")], "spacing_mm"),
        ("spacing_mm", "1 1 1", "spacing_mm"),
        ("modality", "PET", "modality"),
        ("intensity", {"clip": [250, -175], "percentiles": None}, "intensity.clip"),
        ("intensity", {"clip": None, "percentiles": [1, 101]}, "intensity.percentiles"),
        ("intensity", {"clip": None, "percentiles": None}, "cannot both be null"),
        ("intensity", "ct-nonsense", "ct-nonsense"),
        ("split.kind", "random", "split.kind"),
        ("split.folds", 1, "split.folds"),
        ("split.train", 0, "split.train"),
        ("key", "My Task", "key"),
        ("network", "", "network"),
        ("purpose", None, "purpose"),
        ("dataset.licence", None, "dataset.licence"),
    ],
)
def test_faults_name_the_file_and_the_key(tmp_path: Path, path: str, value, named: str) -> None:
    data = copy.deepcopy(as_yaml())
    target = data
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for parent in parents:
        target = target[parent]
    target[last] = value
    with pytest.raises(BadInput, match=named) as caught:
        load_task(write(tmp_path, data))
    assert "mine.yaml" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("key", ["title", "labels", "patch", "split", "dataset"])
def test_missing_keys_are_named(tmp_path: Path, key: str) -> None:
    data = as_yaml()
    del data[key]
    with pytest.raises(BadInput, match=f"{key}: missing"):
        load_task(write(tmp_path, data))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("key: a\nkey: b\n", "repeated"),
        ("key: [a\n", "not valid YAML"),
        ("- a\n", "a mapping is expected"),
        ("", "a mapping is expected"),
        ("key: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_files_that_are_no_task(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=named):
        load_task(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such task file"):
        load_task(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"key: \xff\xfe")
    with pytest.raises(BadInput, match="cannot be read as text"):
        load_task(tmp_path / "latin.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(BadInput):
        load_task(tmp_path / "folder.yaml")
