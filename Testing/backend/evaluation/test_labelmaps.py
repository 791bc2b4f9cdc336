"""Label maps of anybody: matched by id, refused when they do not fit, and scored as the network that made them."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from rep3d.cli import app
from rep3d.data.reading import read_labelmap
from rep3d.errors import BadInput
from rep3d.evaluation.evaluate import evaluate
from rep3d.evaluation.labelmaps import evaluate_labelmaps, find_labelmaps
from rep3d.evaluation.listing import remarks
from rep3d.evaluation.results import read_result
from rep3d.tasks import load_task
from typer.testing import CliRunner

from .threshold import make_islands, threshold_subject, write

TASK = load_task("msd-hippocampus")
REAL = os.environ.get("REP3D_DATA")


@pytest.fixture
def folders(tmp_path):
    """Two predictions with other names than their truths, in folders with a space and a letter beyond ASCII."""
    rng = np.random.default_rng(0)
    for name in ("b", "a_1"):
        truth = (rng.random((6, 7, 8)) > 0.5).astype(np.uint8)
        write(tmp_path / "wahr ü" / f"{name}_seg.nii.gz", truth, (1, 2, 3))
        write(tmp_path / "wahr ü" / f"{name}_ct.nii.gz", 100 * truth, (1, 2, 3))
        write(tmp_path / "pred x" / f"{name}_ct_seg.nii.gz", np.roll(truth, 1, 0), (1, 2, 3))
    return tmp_path / "pred x", tmp_path / "wahr ü"


def test_matched_by_id_and_scored(folders):
    pred, truth = folders
    result = evaluate_labelmaps(TASK, pred, truth=truth)
    assert [row["id"] for row in result["cases"]] == ["a_1", "b"] and list(result["summary"]) == ["native"]
    for row in result["cases"]:
        p, t = (
            read_labelmap(f).array == 1
            for f in (pred / f"{row['id']}_ct_seg.nii.gz", truth / f"{row['id']}_seg.nii.gz")
        )
        got = row["metrics"]["native"]["anterior-hippocampus"]
        assert got["dice"] == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()), abs=1e-6)
        assert got["truth_ml"] == pytest.approx(t.sum() * 6 / 1000)
        assert row["prediction_file_sha256"] and row["label_sha256"] and row["image_sha256"] is None
    assert result["name"] == "pred x" and result["missing"] == []


def test_the_network_and_its_saved_label_maps_have_one_score(tmp_path):
    data = make_islands(tmp_path / "data", val=1)
    subject = threshold_subject()
    first = evaluate(subject, data, device="cpu", grids=("native",))
    for case in ("test0", "test1"):
        from rep3d.data.reading import read_volume
        from rep3d.inference.pipeline import segment_volume

        volume = read_volume(data / "test" / "images" / f"{case}.nii.gz")
        made = segment_volume(volume, subject.network, subject.task, patch=subject.patch, device="cpu")
        write(tmp_path / "made" / f"{case}_seg.nii.gz", made.labelmap)
    second = evaluate_labelmaps(subject.task, tmp_path / "made", data=data)
    assert second["summary"] == first["summary"] and second["data_sha256"] == first["data_sha256"]
    for a, b in zip(first["cases"], second["cases"], strict=True):
        assert a["prediction_sha256"] == b["prediction_sha256"] and a["metrics"] == b["metrics"]


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.ones((6, 7, 9), np.uint8), {}, "6 x 7 x 9 voxels"),
        (np.ones((6, 7, 8), np.uint8), {"spacing": (1, 2, 3.2)}, "do not lie on one grid"),
        (np.ones((6, 7, 8), np.uint8), {"spacing": (1, 2, 3), "origin": (0, 5, 0)}, "do not lie on one grid"),
        (np.full((6, 7, 8), 7, np.uint8), {"spacing": (1, 2, 3)}, r"holds the values \[7\]"),
    ],
)
def test_predictions_that_do_not_fit_are_named(folders, array, options, message):
    pred, truth = folders
    write(pred / "b_ct_seg.nii.gz", array, **options)
    with pytest.raises(BadInput, match=message) as error:
        evaluate_labelmaps(TASK, pred, truth=truth)
    assert str(pred / "b_ct_seg.nii.gz") in str(error.value)


def test_missing_predictions_are_an_error_unless_allowed(folders):
    pred, truth = folders
    (pred / "b_ct_seg.nii.gz").unlink()
    with pytest.raises(BadInput, match=r"1 of 2 cases have no prediction .*: b"):
        evaluate_labelmaps(TASK, pred, truth=truth)
    result = evaluate_labelmaps(TASK, pred, truth=truth, allow_missing=True)
    assert result["missing"] == ["b"] and len(result["cases"]) == 1 and result["split_cases"] == 2


def test_ambiguous_and_foreign_names(folders, tmp_path):
    pred, truth = folders
    write(pred / "b_seg.nii.gz", np.ones((6, 7, 8), np.uint8))
    with pytest.raises(BadInput, match="both predictions for b"):
        evaluate_labelmaps(TASK, pred, truth=truth)
    write(tmp_path / "other" / "z.nii.gz", np.ones((2, 2, 2), np.uint8))
    with pytest.raises(BadInput, match=r"no file in .* belongs to a truth"):
        evaluate_labelmaps(TASK, tmp_path / "other", truth=truth)
    write(tmp_path / "other" / "z.nrrd", np.ones((2, 2, 2), np.uint8))
    with pytest.raises(BadInput, match="same id z"):
        find_labelmaps(tmp_path / "other")
    for options in ({}, {"truth": truth, "data": truth}):
        with pytest.raises(BadInput, match="one of --truth and --data"):
            evaluate_labelmaps(TASK, pred, **options)


def test_command(folders, tmp_path):
    pred, truth = folders
    out, table = tmp_path / "r.json", tmp_path / "r.csv"
    command = ["evaluate", "--predictions", str(pred), "--truth", str(truth), "-o", str(out), "--table", str(table)]
    done = CliRunner().invoke(app, [*command, "--task", TASK.key, "--name", "Ours"])
    assert done.exit_code == 0, done.output
    assert "Ours: msd-hippocampus, 2 cases" in done.output and "hippocampus" in done.output
    assert read_result(out).name == "Ours" and len(table.read_text(encoding="utf-8").splitlines()) == 5
    assert isinstance(CliRunner().invoke(app, command).exception, BadInput)


@pytest.mark.skipif(not REAL, reason="REP3D_DATA is not set")
def test_a_published_prediction(tmp_path):
    """The abdominal ground truth and a network's published label map, through the command's own path."""
    folder = Path(REAL) / "open" / "label_only"
    task = load_task("amos-ct").to_dict()
    task["key"], task["labels"] = "eight-organs", task["labels"][:8]
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    for name, source in (("pred", "abdomen_multiorgan_11_pred_dicece"), ("truth", "abdomen_multiorgan_11_gt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "11.nii.gz").write_bytes((folder / f"{source}.nii.gz").read_bytes())
    result = evaluate_labelmaps(load_task(tmp_path / "task.yaml"), tmp_path / "pred", truth=tmp_path / "truth")
    values = result["cases"][0]["metrics"]["native"]
    assert len(values) == 8 and all(v["dice"] > 0.6 and v["hd95_mm"] > 1 for v in values.values())
    assert json.loads(json.dumps(result)) == result


def test_grids_of_reports(cases, tmp_path):
    """Larger by 4.5 %, turned by 2.5 degrees, larger by 13 %, shifted by half a voxel: all refused, each by name."""
    with zipfile.ZipFile(cases / "reading" / "evaluate_grids.zip") as archive:
        archive.extractall(tmp_path)
    for name in "abcd":
        pred, truth = tmp_path / "one" / "p", tmp_path / "one" / "t"
        for folder, kind in ((pred, "p"), (truth, "t")):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            shutil.copy(tmp_path / "ev" / kind / f"{name}.nii.gz", folder)
        with pytest.raises(BadInput, match=rf"{name}\.nii\.gz and .* do not lie on one grid"):
            evaluate_labelmaps(TASK, pred, truth=truth)


def test_grids_that_are_nearly_one_are_scored_with_a_remark(tmp_path):
    truth = (np.random.default_rng(0).random((6, 7, 8)) > 0.5).astype(np.uint8)
    write(tmp_path / "t" / "a.nii.gz", truth, (1, 2, 3))
    write(tmp_path / "p" / "a.nii.gz", truth, (1, 2, 3), origin=(0.1, 0, 0))
    result = evaluate_labelmaps(TASK, tmp_path / "p", truth=tmp_path / "t")
    assert result["cases"][0]["dice"]["native"]["anterior-hippocampus"] == 1
    assert any("not quite on one grid" in text and "0.1 voxels" in text for text in remarks(result))
