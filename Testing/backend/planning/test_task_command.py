"""`rep3d task new`, `check` and `show`: from data to a file that loads, and everything that is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from rep3d.cli import app
from rep3d.errors import BadInput, OutputFailed
from rep3d.planning.source import UNKNOWN, measure, read_source
from rep3d.tasks import load_task
from rep3d.tasks.store import TASK_FOLDER
from typer.testing import CliRunner

MEMORY = ("--memory", "8GB")


def invoke(*args, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.output


def refused(*args) -> BadInput:
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert isinstance(done.exception, BadInput), done.output + repr(done.exception)
    return done.exception


def test_from_an_msd_task_to_a_file_that_loads(msd, tmp_path):
    root = msd()
    target = tmp_path / "neu" / "mein task.yaml"
    said = invoke("task", "new", root / "dataset.json", "-o", target, *MEMORY)
    task = load_task(target)
    assert (task.key, task.title, task.modality) == ("hohle", "Höhle", "MR")
    assert [label.name for label in task.labels] == ["Left kidney", "Cyst"]
    assert task.labels[0].modifier.meaning == "Left" and task.labels[1].type.meaning == "Cyst"
    assert task.spacing_mm == (1.0, 1.0, 2.0) and task.patch == (32, 32, 32)
    assert task.intensity.percentiles == (0.5, 99.5)
    assert task.split == {"kind": "folds", "seed": 0, "folds": 5, "train": 9, "val": 1, "test": 2}
    assert task.dataset["licence"] == "CC-BY 4.0" and "A. Nonymous" in task.dataset["citation"]
    text = target.read_text(encoding="utf-8")
    assert "# Right, anterior, superior, in mm. The median over 9 cases." in text and "budget of 8.0 GB" in text
    assert f'rep3d prepare msd {root} prepared-hohle --task "{target}"' in said.replace("\n", "")
    assert "The task can be used." in invoke("task", "check", target)
    before = target.read_bytes()
    again = CliRunner().invoke(app, [str(a) for a in ("task", "new", root, "-o", target, *MEMORY)])
    assert isinstance(again.exception, OutputFailed) and "is there already" in str(again.exception)
    assert target.read_bytes() == before
    invoke("task", "new", root, "-o", target, *MEMORY, "--overwrite", "--title", "Zweite")
    assert load_task(target).title == "Zweite"


def test_dry_run_shows_everything_and_writes_nothing(msd, own_tasks):
    said = invoke("task", "new", msd(4), "--dry-run", *MEMORY, "--patch", "48,48,32", "--spacing", "0.5,0.5,1")
    text = said[said.index("# Höhle") :]
    assert yaml.safe_load(text)["patch"] == [48, 48, 32] and yaml.safe_load(text)["spacing_mm"] == [0.5, 0.5, 1.0]
    assert yaml.safe_load(text)["split"]["kind"] == "counts"  # four cases are too few for folds
    assert not own_tasks.exists()


def test_without_output_it_becomes_an_own_task(nnunet, own_tasks):
    said = invoke("task", "new", nnunet(), *MEMORY, "--network", "rep3d-xs", "--key", "meine-niere")
    task = load_task("meine-niere")
    assert task.modality == "CT" and task.network == "rep3d-xs" and task.dataset["licence"] == "CC0"
    assert task.dataset["citation"] == UNKNOWN and "dataset.citation is unknown" in said
    assert task.intensity.clip[0] < task.intensity.clip[1] and "--task meine-niere" in said
    shown = invoke("task", "show", "meine-niere")
    assert shown.startswith(f"# own: {own_tasks / 'meine-niere.yaml'}") and "intensity:" in shown
    assert json.loads(invoke("task", "show", "kits", "--json"))["key"] == "kits"
    rows = {row["key"]: row for row in json.loads(invoke("tasks", "--json"))}
    assert rows["meine-niere"]["origin"] == "own" and rows["kits"]["origin"] == "shipped"


def test_version_1_of_nnunet_is_told_from_msd(nnunet):
    listed = [{"image": f"./imagesTr/k{i}.nii.gz", "label": f"./labelsTr/k{i}.nii.gz"} for i in range(4)]
    content = {"name": "K", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "a", "2": "b"}}
    source = read_source(nnunet({**content, "numTraining": 4, "training": listed}))
    assert source.kind == "nnunet" and source.names == {1: "a", 2: "b"} and len(source.scans) == 4


def test_channels_have_to_be_chosen_and_are_measured(msd):
    root = msd(3, channels=2)
    assert "2 channels" in str(refused("task", "new", root, *MEMORY))
    means = []
    for channel in (0, 1):
        source = read_source(root, channel=channel)
        fingerprint, _ = measure(source, source.names, "MR")
        means.append(fingerprint.body.mean)
    assert means[1] - means[0] == pytest.approx(100, abs=10)
    assert "--channel 1" in invoke("task", "new", root, *MEMORY, "--channel", "1")


def test_plain_folders_need_to_be_told_what_they_hold(tmp_path, pairs):
    root = tmp_path / "plain"
    for part, count in (("train", 2), ("val", 1), ("test", 1)):
        for i in range(count):
            pairs(root / part / f"p{part}{i}_ct.nii.gz", root / part / f"p{part}{i}_seg.nii.gz", i)
    assert "--modality" in refused("task", "new", root, *MEMORY).hint
    said = invoke("task", "new", root, "--modality", "ct", "--names", "Mandible, thing", *MEMORY, "--dry-run")
    data = yaml.safe_load(said[said.index("# plain") :])
    assert data["split"] == {"kind": "folders", "train": "train", "val": "val", "test": "test"}
    assert [label["name"] for label in data["labels"]] == ["Mandible", "Thing"]
    assert "The median over 2 cases" in said
    nameless = invoke("task", "new", root, "--modality", "CT", *MEMORY, "--dry-run")
    assert "Structure 1" in nameless
    assert "[2], which have no name" in str(
        refused("task", "new", root, "--modality", "CT", "--names", "Mandible", *MEMORY)
    )


def test_a_prepared_folder_keeps_its_labels_and_is_not_measured_again(msd, tmp_path):
    invoke("task", "new", msd(4), "-o", tmp_path / "a.yaml", *MEMORY)
    source = read_source(msd(4))
    fingerprint, _ = measure(source, source.names, "MR")
    folder = tmp_path / "prepared"
    folder.mkdir()
    fingerprint.write(folder / "fingerprint.json")
    (folder / "data.json").write_text('{"format": "rep3d-dataset"}', encoding="utf-8")
    shutil.copy(tmp_path / "a.yaml", folder / "task.yaml")
    shutil.rmtree(source.root)  # whatever is read now is in the prepared folder
    said = invoke("task", "new", folder, "-o", tmp_path / "b.yaml", "--key", "b", *MEMORY, "--spacing", "2,2,2")
    made, base = load_task(tmp_path / "b.yaml"), load_task(tmp_path / "a.yaml")
    assert made.labels == base.labels and made.split == base.split and made.spacing_mm == (2.0, 2.0, 2.0)
    assert f"--data {folder}" in said and "rep3d prepare" not in said
    assert "do not apply" in str(refused("task", "new", folder, "--folds", "3", *MEMORY))


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (("--memory", "much"), "--memory"), (("--memory", "1MB"), "the budget is 1 MB"),
        (("--patch", "1,2"), "--patch"),
        (("--spacing", "a,b,c"), "--spacing"), (("--network", "none"), "none has not been measured"),
        (("--names", "a,b"), "--names does not apply"), (("--channel", "3"), "--channel 3"),
        (("--folds", "9"), "--folds"),
        (("--measure", "-1"), "--measure"), (("--key", "kits"), "comes with Rep3D"), (("--key", "A B"), "key"),
        (("-o", "task.txt"), "task.txt"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_anything_is_written(msd, own_tasks, extra, named):
    args = ("task", "new", msd(3)) + (extra if "--memory" in extra else (*extra, *MEMORY))
    error = refused(*args)
    assert named in str(error) and error.hint
    assert not own_tasks.exists()


def test_sources_that_are_none(tmp_path, msd):
    assert "does not exist" in str(refused("task", "new", tmp_path / "none"))
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    assert "not a dataset.json" in str(refused("task", "new", tmp_path / "x.json"))
    (tmp_path / "empty").mkdir()
    assert "plain folders" in str(refused("task", "new", tmp_path / "empty"))
    assert "without a gap" in str(
        refused("task", "new", msd(3, values=(1, 3), labels={"0": "b", "1": "a", "3": "c"}), *MEMORY)
    )
    assert "[2], which have no name" in str(refused("task", "new", msd(3, labels={"0": "b", "1": "a"}), *MEMORY))
    assert "2 cases cannot be split" in str(refused("task", "new", msd(2), *MEMORY))


def test_check_says_everything_and_fails(tmp_path, own_tasks):
    data = load_task("kits").to_dict()
    data |= {"patch": [96, 96, 100], "modality": "PET"}
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    said = json.loads(invoke("task", "check", path, "--json", code=1))
    errors = [f["text"] for f in said["findings"] if f["severity"] == "error"]
    assert len(errors) == 2 and "patch" in errors[0] + errors[1] and not said["usable"]
    assert any("comes with Rep3D" in f["text"] for f in said["findings"] if f["severity"] == "note")
    data |= {"patch": [96, 96, 96], "modality": "CT", "network": "nonsense", "key": "mine"}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert "unknown network 'nonsense'" in invoke("task", "check", path, code=1)
    own_tasks.mkdir()
    shutil.copy(TASK_FOLDER / "kits.yaml", own_tasks / "kits.yaml")
    assert "also the key of a task" in invoke("task", "check", "kits", code=1)
    path.write_text("key: [", encoding="utf-8")
    assert "not valid YAML" in invoke("task", "check", path, code=1)
    assert "left out" in CliRunner().invoke(app, ["tasks", "--json"]).stderr
