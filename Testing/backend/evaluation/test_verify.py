"""`rep3d verify`: an honest result holds, every change is caught and named; a stopped evaluation goes on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.cli import app
from rep3d.errors import BadInput
from rep3d.evaluation import evaluate as evaluation
from rep3d.evaluation.evaluate import evaluate, from_checkpoint
from rep3d.evaluation.labelmaps import evaluate_labelmaps
from rep3d.evaluation.verify import Inputs, Tolerance, verify
from rep3d.tasks import load_task
from typer.testing import CliRunner

from .threshold import write

KEY = "anterior-hippocampus"
RUN = dict(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def honest(checkpoint, tiny_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("result") / "r.json"
    evaluate(from_checkpoint(checkpoint), tiny_data, output=path, grids=("native",), **RUN)
    return path


def changed(honest, tmp_path, change):
    record = json.loads(honest.read_text(encoding="utf-8"))
    change(record)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def test_an_honest_result_holds(honest):
    report = verify(honest, device="cpu")
    assert report.ok and report.cases == report.of == 2, report.failures
    assert {"the same code", "the same network", "the same data list"} <= set(report.checked) and not report.notes


def test_a_tampered_number_is_named_with_both_values(honest, tmp_path):
    def forge(record):
        from rep3d.evaluation.rows import overlap_of, summarise

        row = record["cases"][1]
        row["metrics"]["native"][KEY]["dice"] = 0.987654
        row |= overlap_of(row["metrics"])  # a careful forger makes everything else agree
        record["summary"] = summarise(record["cases"])

    report = verify(changed(honest, tmp_path, forge), device="cpu")
    (failure,) = report.failures
    assert f"case case_09, native grid, {KEY}, dice: the file says 0.987654, recomputed 0." in failure


def test_a_tampered_summary_is_caught_without_recomputing(honest, tmp_path):
    def forge(record):
        record["summary"]["native"]["mean"] += 0.01

    report = verify(changed(honest, tmp_path, forge), device="cpu", cases=1)
    assert len(report.failures) == 1 and "summary, native, mean: the file says" in report.failures[0]
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "changed.json"), "--device", "cpu", "--cases", "1"])
    assert done.exit_code == 1 and "FAILS" in done.output and "1 checks failed" in done.output


def test_changed_data_are_caught(honest, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    path = tmp_path / "data" / "labels" / "case_04.nii.gz"
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    label[0, 0, 0] = 1
    write(path, label.transpose(2, 1, 0))
    report = verify(honest, Inputs(data=tmp_path / "data"), device="cpu")
    assert any("the data in" in text for text in report.failures)
    assert "case case_04: the label has changed" in report.failures and report.cases == 1


def test_changed_weights_are_caught(honest, checkpoint, tmp_path):
    import torch

    content = torch.load(checkpoint, weights_only=True)
    state = content["ema"] or content["model"]
    name = next(n for n, t in state.items() if t.ndim == 5)
    state[name] = state[name] * 1.001
    torch.save(content, tmp_path / "best.ckpt")
    report = verify(honest, Inputs(weights=tmp_path / "best.ckpt"), device="cpu")
    assert len(report.failures) == 1 and "is another network" in report.failures[0] and report.cases == 0
    (tmp_path / "broken.ckpt").write_bytes(checkpoint.read_bytes()[:-100])
    report = verify(honest, Inputs(weights=tmp_path / "broken.ckpt"), device="cpu")
    assert "cannot be loaded" in report.failures[0]


def test_other_code_is_told_and_not_fatal(honest, tmp_path):
    def forge(record):
        record["provenance"]["code_sha256"] = "00"
        record["provenance"]["environment"]["torch"] = "1.0"

    report = verify(changed(honest, tmp_path, forge), device="cpu", cases=1)
    assert report.ok and "other code: 00" in report.notes[0] and "torch 1.0" in report.notes[1]


def test_another_label_map_must_agree_within_the_tolerance(honest, tmp_path):
    def elsewhere(record):
        record["cases"][0]["prediction_sha256"] = "00"  # as if another processor had rounded otherwise
        record["cases"][0]["metrics"]["native"][KEY]["nsd"] += 0.003

    path = changed(honest, tmp_path, elsewhere)
    metrics = [text for text in verify(path, device="cpu", cases=1).failures if "recomputed" in text]
    assert metrics == []
    report = verify(path, device="cpu", cases=1, tolerance=Tolerance(overlap=0.002))
    assert any("nsd" in text and "recomputed" in text for text in report.failures)
    assert any("not bit for bit" in text for text in report.notes)


def test_files_without_hashes_and_lost_inputs_are_refused(honest, tmp_path):
    def old(record):
        del record["format"], record["version"]

    with pytest.raises(BadInput, match="version 1"):
        verify(changed(honest, tmp_path, old))

    def moved(record):
        record["inputs"]["data"] = str(tmp_path / "gone")

    with pytest.raises(BadInput, match="gone") as error:
        verify(changed(honest, tmp_path, moved))
    assert "--data" in error.value.hint


def test_label_maps_of_anybody_are_verified_too(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("pred", "truth"):
        for name in ("a", "b"):
            write(tmp_path / folder / f"{name}.nii.gz", rng.integers(0, 3, (5, 6, 7)).astype(np.uint8))
    out = tmp_path / "r.json"
    evaluate_labelmaps(load_task("msd-hippocampus"), tmp_path / "pred", truth=tmp_path / "truth", output=out)
    assert verify(out).ok
    write(tmp_path / "pred" / "a.nii.gz", rng.integers(0, 3, (5, 6, 7)).astype(np.uint8))
    report = verify(out)
    assert report.failures == ["case a: the prediction file has changed"] and report.cases == 1
    (tmp_path / "pred" / "b.nii.gz").unlink()
    assert any("case b is not in" in text for text in verify(out).failures)


def test_a_stopped_evaluation_goes_on_and_ends_with_the_same_result(
    honest, checkpoint, tiny_data, tmp_path, monkeypatch
):
    subject, out, scored = from_checkpoint(checkpoint), tmp_path / "r.json", []
    options = dict(output=out, grids=("native",), **RUN)

    def stop(done, total, row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(subject, tiny_data, progress=stop, **options)
    assert not out.exists() and (tmp_path / "r.json.partial").exists()
    score = evaluation.score_case
    monkeypatch.setattr(
        evaluation, "score_case", lambda s, case, *rest: scored.append(case.id) or score(s, case, *rest)
    )
    notices = []
    again = evaluate(subject, tiny_data, notice=notices.append, **options)
    assert scored == ["case_09"] and not notices and [p.name for p in tmp_path.iterdir()] == ["r.json"]
    whole = json.loads(honest.read_text(encoding="utf-8"))
    assert again["summary"] == whole["summary"]
    for a, b in zip(again["cases"], whole["cases"], strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_cases_that_were_done_otherwise_are_done_again(checkpoint, tiny_data, tmp_path):
    subject, out, notices = from_checkpoint(checkpoint), tmp_path / "r.json", []

    def stop(done, total, row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(subject, tiny_data, output=out, grids=("native",), progress=stop, **RUN)
    content = json.loads((tmp_path / "r.json.partial").read_text(encoding="utf-8"))
    content["cases"][0]["label_sha256"] = "00"  # its file was another one
    content["cases"][0]["metrics"]["native"][KEY]["dice"] = 0.5
    (tmp_path / "r.json.partial").write_text(json.dumps(content), encoding="utf-8")
    shutil.copy(tmp_path / "r.json.partial", tmp_path / "kept")
    first = evaluate(subject, tiny_data, output=out, grids=("native",), limit=1, **RUN)
    assert first["cases"][0]["metrics"]["native"][KEY]["dice"] != 0.5
    shutil.copy(tmp_path / "kept", tmp_path / "r.json.partial")
    evaluate(subject, tiny_data, output=out, grids=("native",), limit=1, tolerance=3, notice=notices.append, **RUN)
    assert len(notices) == 1 and "another settings" in notices[0]
