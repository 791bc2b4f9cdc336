"""``rep3d segment`` as a user runs it: one scan, folders, bad files among good ones, results that exist already."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import typer
from rep3d.commands import segment
from rep3d.errors import BadInput, Cancelled, OutputFailed, WeightsMissing
from rep3d.inference import batch
from rep3d.inference.batch import find_scans, plan, run_jobs, stem_of
from rep3d.inference.pipeline import segment_volume
from typer.testing import CliRunner


@pytest.fixture
def run(tiny_weights):
    """run(*arguments) -> result of ``rep3d segment`` with the tiny weights; a Rep3DError is in ``exception``."""
    app = typer.Typer()
    segment.register(app)

    def call(*arguments, weights: Path | None = tiny_weights):
        chosen = ["--weights", str(weights)] if weights else []
        return CliRunner().invoke(app, [*map(str, arguments), *chosen, "--device", "cpu"])

    return call


@pytest.fixture
def segmenter(small_task, threshold):
    return lambda volume: segment_volume(volume, threshold, small_task, device="cpu")


def test_one_scan_into_a_file(run, tmp_path, scan_file):
    out = tmp_path / "Ergebnis ä" / "ball.seg.nrrd"
    done = run(scan_file, "-o", out)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in out.parent.iterdir()) == ["ball.csv", "ball.json", "ball.seg.nrrd"]
    assert sitk.ReadImage(str(out)).GetSize() == (24, 30, 20)
    data = json.loads((out.parent / "ball.json").read_text(encoding="utf-8"))
    assert data["weights"]["id"] == "tiny" and len(data["weights"]["sha256"]) == 64
    assert "Brainstem" in done.output and "volume mL" in done.output


def test_one_scan_into_a_folder_and_again(run, tmp_path, scan_file):
    out = tmp_path / "out"
    assert run(scan_file, "-o", out).exit_code == 0
    labels = out / "ball_seg.nii.gz"
    before = labels.stat().st_mtime_ns
    again = run(scan_file, "-o", out)
    assert again.exit_code == 0 and "there already" in again.output
    assert labels.stat().st_mtime_ns == before
    assert run(scan_file, "-o", out, "--overwrite").exit_code == 0
    assert labels.stat().st_mtime_ns > before
    (out / "ball_seg.csv").unlink()  # a result without its numbers is not whole
    before = labels.stat().st_mtime_ns
    assert run(scan_file, "-o", out).exit_code == 0
    assert labels.stat().st_mtime_ns > before


@pytest.mark.parametrize("name", ["ball_seg.nii.gz", "ball_seg.json", "ball_seg.csv"])
def test_what_is_not_ours_stays(run, tmp_path, scan_file, name, monkeypatch):
    """Labels drawn by hand, another program's sidecar, a table of the user's."""
    monkeypatch.setattr(batch, "read_volume", lambda *_, **__: pytest.fail("work has begun"))
    (tmp_path / "out").mkdir()
    theirs = tmp_path / "out" / name
    theirs.write_text('{"EchoTime": 0.03}', encoding="utf-8")
    done = run(scan_file, "-o", tmp_path / "out")
    assert isinstance(done.exception, OutputFailed) and str(theirs) in str(done.exception)
    assert "--overwrite" in done.exception.hint
    assert theirs.read_text(encoding="utf-8") == '{"EchoTime": 0.03}' and len(list(theirs.parent.iterdir())) == 1


def test_another_scan_is_not_replaced_by_a_result(run, tmp_path, scan, scan_file, save_scan):
    other = save_scan(tmp_path / "scans" / "other.nii.gz", scan)
    before = other.read_bytes()
    assert isinstance(run(scan_file, "-o", other).exception, OutputFailed)
    both = run(scan_file, other, "-o", other.parent)  # results beside the scans, no name is taken
    assert both.exit_code == 0 and other.read_bytes() == before
    assert run(scan_file, "-o", other, "--overwrite").exit_code == 0 and other.read_bytes() != before


def test_changed_labels_are_not_ours_any_more_and_a_moved_scan_is_the_same(run, tmp_path, scan_file):
    out = tmp_path / "out"
    assert run(scan_file, "-o", out).exit_code == 0
    moved = tmp_path / "elsewhere" / scan_file.name
    moved.parent.mkdir()
    scan_file.rename(moved)
    assert "there already" in run(moved, "-o", out).output
    (out / "ball_seg.nii.gz").write_bytes(b"drawn by hand")
    assert "there already" in run(moved, "-o", out).output
    (out / "ball_seg.csv").unlink()
    assert isinstance(run(moved, "-o", out).exception, OutputFailed)
    assert (out / "ball_seg.nii.gz").read_bytes() == b"drawn by hand"


def test_result_of_other_weights_is_told(run, tmp_path, scan_file):
    out = tmp_path / "out"
    run(scan_file, "-o", out)
    path = out / "ball_seg.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["weights"]["sha256"] = "0" * 64
    path.write_text(json.dumps(data), encoding="utf-8")
    assert "other weights" in run(scan_file, "-o", out).output


def test_batch_goes_on_after_a_bad_file(run, tmp_path, scan, save_scan):
    folder = tmp_path / "scans"
    save_scan(folder / "a.nii.gz", scan)
    (folder / "b.nii.gz").write_bytes(b"not an image")
    save_scan(folder / "c.mha", scan)
    (folder / "notes.txt").write_text("no scan", encoding="utf-8")
    done = run(folder, "-o", tmp_path / "out")
    assert done.exit_code == 1
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == [f"{n}_seg.{e}" for n in "ac" for e in ("csv", "json", "nii.gz")]
    assert "b.nii.gz: not an image" in done.output and "2 done, 0 skipped, 1 failed" in done.output
    again = run(folder, "-o", tmp_path / "out")
    assert again.exit_code == 1 and "0 done, 2 skipped, 1 failed" in again.output


def test_one_bad_scan_is_the_commands_error(run, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"no")
    done = run(tmp_path / "bad.nii.gz", "-o", tmp_path / "out")
    assert isinstance(done.exception, BadInput) and "bad.nii.gz" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--overlap", "0.95"], "overlap"),
        (["--batch-size", "0"], "at once"),
        (["--roi", "1,2,3"], "six numbers"),
        (["--roi", "0,nan,0,1,0,1"], "six numbers"),
        (["--structures", "brainstem,lung"], "lung"),
        (["--format", "jpg"], "jpg"),
        (["--precision", "int4"], "int4"),
        (["--task", "amos-ct"], "was trained for"),
    ],
)
def test_wrong_options_are_refused_before_work(run, tmp_path, scan_file, arguments, words):
    done = run(scan_file, "-o", tmp_path / "out", *arguments)
    assert isinstance(done.exception, BadInput) and words in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_weights_by_task(run, tmp_path, scan_file, tiny_weights, monkeypatch):
    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(tiny_weights.parent))
    assert run(scan_file, "-o", tmp_path / "out", "--task", "openkbp", weights=None).exit_code == 0
    missing = run(scan_file, "-o", tmp_path / "out", "--task", "kits", weights=None)
    assert isinstance(missing.exception, WeightsMissing) and "kits" in str(missing.exception)
    neither = run(scan_file, "-o", tmp_path / "out", weights=None)
    assert isinstance(neither.exception, BadInput) and "--task or --weights" in str(neither.exception)


def test_roi_and_structures_reach_the_result(run, tmp_path, scan_file):
    done = run(scan_file, "-o", tmp_path / "o", "--structures", "brainstem", "--roi", "0,12,0,12,0,12", "--tta")
    assert done.exit_code == 0, done.output
    data = json.loads((tmp_path / "o" / "ball_seg.json").read_text(encoding="utf-8"))
    assert data["settings"]["roi_mm_ras"] == [0, 12, 0, 12, 0, 12] and data["settings"]["tta"] == "shift"
    assert [s["key"] for s in data["structures"]] == ["brainstem"]
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "o" / "ball_seg.nii.gz"))).transpose(2, 1, 0)
    assert not labels[13:].any() and not labels[:, 13:].any() and not labels[..., 13:].any() and labels.max() <= 1


def test_dicom_folders(tmp_path, scan, write_series, segmenter):
    """One folder of slices is one scan; a folder of such folders is a batch, named after them."""
    array = scan.array.astype(np.int16)
    write_series(tmp_path / "study" / "patient 1", array)
    write_series(tmp_path / "study" / "patient 2", array)
    assert find_scans([tmp_path / "study" / "patient 1"]) == [tmp_path / "study" / "patient 1"]
    jobs = plan([tmp_path / "study"], tmp_path / "out", None)
    assert [j.files.labels.name for j in jobs] == ["patient 1_seg.nii.gz", "patient 2_seg.nii.gz"]
    outcomes = run_jobs(jobs, segmenter)
    assert [o.status for o in outcomes] == ["done", "done"]
    expected = np.select([scan.array > 80, scan.array > 50], [2, 1], 0)
    first = sitk.GetArrayFromImage(sitk.ReadImage(str(jobs[0].files.labels))).transpose(2, 1, 0)
    assert first.shape == expected.shape and (first > 0).any()


def test_names():
    assert stem_of(Path("a/scan.v2.nii.gz")) == "scan.v2"
    assert stem_of(Path("scan.mha")) == "scan" and stem_of(Path("IM0001")) == "IM0001"


def test_plans_that_cannot_work(tmp_path, scan, save_scan):
    one, two = save_scan(tmp_path / "a" / "s.nii.gz", scan), save_scan(tmp_path / "b" / "s.mha", scan)
    same = save_scan(tmp_path / "a" / "s.mha", scan)
    with pytest.raises(BadInput, match="both be written"):
        plan([one, same], tmp_path / "out", None)
    with pytest.raises(BadInput, match="one file"):
        plan([one, two], tmp_path / "x.nii.gz", None)
    with pytest.raises(BadInput, match="contradicts"):
        plan([one], tmp_path / "x.nii.gz", "nrrd")
    with pytest.raises(BadInput, match="overwrite the scan"):
        plan([one], one, None)
    with pytest.raises(BadInput, match="no such file"):
        plan([tmp_path / "nowhere"], tmp_path / "out", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no scan in this folder"):
        plan([tmp_path / "empty"], tmp_path / "out", None)


def test_scans_of_the_same_name_are_told_apart_by_their_folders(tmp_path, scan, save_scan):
    def names(*scans):
        return [job.files.labels.name for job in plan([tmp_path / s for s in scans], tmp_path / "out", None)]

    for folder in ("a/1", "b/1", "b/2"):
        save_scan(tmp_path / folder / "ct.nii.gz", scan)
    save_scan(tmp_path / "a" / "1" / "other.nii.gz", scan)
    assert names("b/1/ct.nii.gz") == ["ct_seg.nii.gz"]
    assert names("b/1/ct.nii.gz", "b/2/ct.nii.gz") == ["1_ct_seg.nii.gz", "2_ct_seg.nii.gz"]
    assert names("a/1", "b/1", "b/2") == [
        "a_1_ct_seg.nii.gz",
        "other_seg.nii.gz",
        "b_1_ct_seg.nii.gz",
        "2_ct_seg.nii.gz",
    ]
    assert names("b/1/ct.nii.gz", "b/2/../1/ct.nii.gz") == ["ct_seg.nii.gz"], "one scan given twice is one scan"


def test_the_result_of_another_scan_is_never_taken_for_this_ones(tmp_path, scan, save_scan, segmenter):
    """Two patients, one file name, one output folder, two runs."""
    one, two = (save_scan(tmp_path / who / "ct.nii.gz", scan.with_array(scan.array + i)) for i, who in enumerate("ab"))
    out = tmp_path / "out"
    assert [o.status for o in run_jobs(plan([one], out, None), segmenter)] == ["done"]
    (outcome,) = run_jobs(plan([two], out, None), segmenter)
    assert outcome.status == "failed" and "another scan" in str(outcome.error) and str(one) in str(outcome.error)
    assert [o.status for o in run_jobs(plan([one], out, None), segmenter)] == ["skipped"]
    assert [o.status for o in run_jobs(plan([two], out, None), segmenter, overwrite=True)] == ["done"]
    assert [o.status for o in run_jobs(plan([two], out, None), segmenter)] == ["skipped"]


def test_the_result_of_another_series_is_never_taken_for_this_ones(tmp_path, scan, write_series, segmenter):
    array = scan.array.astype(np.int16)
    first = write_series(tmp_path / "study", array, prefix="a")
    second = write_series(tmp_path / "study", array[:20], prefix="b")
    jobs = plan([tmp_path / "study"], tmp_path / "out", None)
    assert run_jobs(jobs, segmenter, series_uid=first)[0].status == "done"
    assert run_jobs(jobs, segmenter, series_uid=first)[0].status == "skipped"
    assert "another series" in str(run_jobs(jobs, segmenter, series_uid=second)[0].error)


def test_dicom_results_and_indexes_do_not_make_a_folder_a_series(tmp_path, scan, write_series):
    write_series(tmp_path / "disc" / "patient", scan.array.astype(np.int16))
    slice_file = next((tmp_path / "disc" / "patient").iterdir())
    for name in ("DICOMDIR", "patient_seg.dcm"):
        (tmp_path / "disc" / name).write_bytes(slice_file.read_bytes())
    assert find_scans([tmp_path / "disc"]) == [tmp_path / "disc" / "patient"]


def test_results_beside_the_scans_are_no_scans(tmp_path, scan, save_scan, segmenter):
    folder = tmp_path / "scans"
    save_scan(folder / "a.nii.gz", scan)
    jobs = plan([folder], folder, None)
    run_jobs(jobs, segmenter)
    assert plan([folder], folder, None) == jobs
    assert [o.status for o in run_jobs(jobs, segmenter)] == ["skipped"]


def test_output_folder_is_tried_before_the_first_scan(tmp_path, scan_file, segmenter):
    (tmp_path / "file").write_text("", encoding="utf-8")
    started = []
    with pytest.raises(OutputFailed):
        run_jobs(plan([scan_file], tmp_path / "file" / "out", None), segmenter, on_start=lambda *a: started.append(a))
    assert started == []


def test_cancel_ends_the_batch(tmp_path, scan, save_scan):
    folder = tmp_path / "scans"
    for name in "ab":
        save_scan(folder / f"{name}.nii.gz", scan)

    def cancel(volume):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        run_jobs(plan([folder], tmp_path / "out", None), cancel)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unexpected_error_is_reported_with_its_scan(tmp_path, scan_file, monkeypatch):
    def broken(volume):
        raise ZeroDivisionError("oops")

    monkeypatch.delenv("REP3D_TRACEBACK", raising=False)
    (outcome,) = run_jobs(plan([scan_file], tmp_path / "out", None), broken)
    assert outcome.status == "failed" and "ZeroDivisionError: oops" in str(outcome.error)
    assert outcome.error.code == "internal" and "ball.nii.gz" in str(outcome.error)
    monkeypatch.setenv("REP3D_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run_jobs(plan([scan_file], tmp_path / "out", None), broken)


def test_reading_time_is_in_the_timings(tmp_path, scan_file, segmenter):
    (outcome,) = run_jobs(batch.plan([scan_file], tmp_path / "out", "nrrd"), segmenter)
    assert list(outcome.result.timings_s) == ["read", "prepare", "engine", "network", "map back", "measure"]


def test_the_real_command_line(tmp_path, scan_file, tiny_weights):
    """In a process of its own: a missing file is one clear line and exit code 1, a scan gives a result and 0."""
    command = [sys.executable, "-m", "rep3d.cli", "segment", "-o", str(tmp_path / "o"), "--weights", str(tiny_weights)]
    bad = subprocess.run([*command, str(tmp_path / "no.nii")], capture_output=True, text=True, encoding="utf-8")
    assert bad.returncode == 1 and "Traceback" not in bad.stderr
    assert "error (bad_input)" in bad.stderr and "no.nii: no such file" in bad.stderr
    good = subprocess.run([*command, str(scan_file)], capture_output=True, text=True, encoding="utf-8")
    assert good.returncode == 0, good.stderr
    assert (tmp_path / "o" / "ball_seg.nii.gz").is_file()
