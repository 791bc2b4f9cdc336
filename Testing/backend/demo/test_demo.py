"""The demo from scan to page, with untrained weights: what is written, refused, and left after a failure."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.demo import inputs, run
from rep3d.demo.run import DemoOptions, run_demo
from rep3d.errors import BadInput, OutputFailed, WeightsMissing
from rep3d.evaluation.metrics import dice_per_class
from typer.testing import CliRunner


class References(HTMLParser):
    """Everything that a page loads or links."""

    def __init__(self, text: str):
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action"):
                self.loads.append(value)
            elif name == "href":
                (self.links if tag == "a" else self.loads).append(value)


def check_page(folder: Path) -> str:
    """The page loads nothing from outside itself and links only files that lie beside it."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    found = References(text)
    assert all(load.startswith("data:image/png;base64,") for load in found.loads)
    assert found.links and all((folder / link).is_file() for link in found.links)
    assert not {"script", "link", "iframe"} & set(found.tags)
    assert "url(" not in text and "@import" not in text
    return text


def test_a_scan_with_truth(tmp_path, weights_folder, scan_files):
    scan, truth = scan_files
    stages = []
    page, _ = run_demo(
        DemoOptions(tmp_path / "out", scan=scan, truth=truth, task="openkbp", device="cpu"),
        lambda fraction, stage: stages.append(fraction),
    )
    folder = tmp_path / "out"
    assert page == (folder / "index.html").resolve()
    assert {p.name for p in folder.iterdir()} == {
        "hâls scan_seg.nii.gz",
        "hâls scan_seg.seg.nrrd",
        "hâls scan_seg.json",
        "hâls scan_seg.csv",
        "overlay.png",
        "render3d.png",
        "mask.png",
        "erf.png",
        "index.html",
        "demo.json",
    }
    text = check_page(folder)
    assert "openkbp-untrained" in text and "not a medical device" in text and "hâls scan.nii.gz" in text
    assert str(tmp_path) not in text + (folder / "demo.json").read_text(encoding="utf-8")
    assert "not for patients" not in text
    labels = read_labelmap(folder / "hâls scan_seg.nii.gz")
    original = read_volume(scan)
    assert labels.shape == original.shape and np.allclose(labels.affine, original.affine)
    summary = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    expected = dice_per_class(labels.array, read_labelmap(truth).array, 6)
    assert summary["dice"]["right-parotid"] == pytest.approx(expected[2], abs=1e-4)
    assert summary["volumes_ml"]["mandible"] == pytest.approx(
        (labels.array == 5).sum() * 3.9 * 3.9 * 2.5 / 1000, abs=2e-3
    )
    assert stages == sorted(stages) and stages[0] >= 0 and stages[-1] <= 1
    nrrd = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "hâls scan_seg.seg.nrrd")))
    assert np.array_equal(nrrd.transpose(2, 1, 0), labels.array)


@pytest.mark.slow
def test_the_generated_abdomen_is_rebuilt_cleanly(tmp_path, weights_folder, monkeypatch):
    monkeypatch.setattr(inputs, "DEMO_OPTIONS", inputs.DEMO_OPTIONS.replace(spacing=(8.0, 8.0, 8.0)))
    options = DemoOptions(tmp_path / "out", seed=5, device="cpu")
    run_demo(options)
    folder = tmp_path / "out"
    theirs = folder / "notes.txt"
    theirs.write_text("of a person", encoding="utf-8")
    with pytest.raises(OutputFailed, match=r"holds notes\.txt"):
        run_demo(options)
    theirs.unlink()
    first = read_labelmap(folder / "scan_seg.nii.gz").array
    _, demo = run_demo(options)
    assert np.array_equal(read_labelmap(folder / "scan_seg.nii.gz").array, first)
    text = check_page(folder)
    assert "for trying the software, not for patients" in text and "no patient is behind it" in text
    assert len(demo.dice) == 15
    assert (folder / "truth.nii.gz").is_file() and (folder / "scan.nii.gz").is_file()
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name or "-old-" in p.name] == []


def test_a_failure_leaves_the_old_demo_and_nothing_half_written(tmp_path, weights_folder, scan_files, monkeypatch):
    scan, _ = scan_files
    options = DemoOptions(tmp_path / "out", scan=scan, task="openkbp", device="cpu")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "demo.json").write_text('{"files": []}', encoding="utf-8")  # of an earlier demo

    def fail(*_args, **_kwargs):
        raise OutputFailed("the disk is full")

    monkeypatch.setattr(run, "overlay", fail)
    with pytest.raises(OutputFailed, match="disk is full"):
        run_demo(options)
    assert [p.name for p in folder.iterdir()] == ["demo.json"]
    assert not list(tmp_path.glob(".*"))


def test_a_folder_of_someone_else_is_left_alone(tmp_path, weights_folder, scan_files):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.tex").write_text("x", encoding="utf-8")
    with pytest.raises(OutputFailed, match="not made by the demo"):
        run_demo(DemoOptions(folder, scan=scan_files[0], task="openkbp"))
    with pytest.raises(OutputFailed, match="a file has this name"):
        run_demo(DemoOptions(folder / "chapter.tex", scan=scan_files[0], task="openkbp"))
    assert [p.name for p in folder.iterdir()] == ["chapter.tex"]


def test_what_is_refused_before_anything_starts(tmp_path, weights_folder, scan_files, monkeypatch):
    scan, truth = scan_files
    out = tmp_path / "out"
    with pytest.raises(BadInput) as error:
        run_demo(DemoOptions(out, scan=scan))
    assert "needs a task" in str(error.value) and "openkbp (Head-and-neck" in error.value.hint
    with pytest.raises(BadInput, match="makes no sense"):
        run_demo(DemoOptions(out, task="openkbp"))
    with pytest.raises(BadInput, match="--truth"):
        run_demo(DemoOptions(out, truth=truth))
    with pytest.raises(BadInput, match="trained for openkbp"):
        run_demo(DemoOptions(out, scan=scan, task="kits", weights=weights_folder / "openkbp.safetensors"))
    with pytest.raises(WeightsMissing) as missing:
        run_demo(DemoOptions(out, scan=scan, task="kits"))
    assert "openkbp" in missing.value.hint
    with pytest.raises(BadInput, match=r"nothing\.nii"):
        run_demo(DemoOptions(out, scan=tmp_path / "nothing.nii", task="openkbp"))
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_truth_on_another_grid_or_of_another_task(tmp_path, weights_folder, scan_files):
    scan, truth = scan_files
    image = sitk.ReadImage(str(truth))
    image.SetOrigin((0, 0, 0))
    sitk.WriteImage(image, str(tmp_path / "moved.nii.gz"))
    with pytest.raises(BadInput, match="not on the grid"):
        run_demo(DemoOptions(tmp_path / "out", scan=scan, truth=tmp_path / "moved.nii.gz", task="openkbp"))
    with pytest.raises(BadInput, match="label 40"):
        volume = read_labelmap(truth)
        inputs.dice_scores(volume.array, volume.with_array(np.where(volume.array, 40, 0)), 6)


def test_the_command_prints_the_table_and_ends_with_the_page(tmp_path, weights_folder, scan_files):
    from rep3d.cli import app

    scan, truth = scan_files
    args = ["demo", "--scan", str(scan), "--truth", str(truth), "--task", "openkbp", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*args, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == str((tmp_path / "out" / "index.html").resolve())
    assert re.search(r"Mandible .*\d", done.stdout) and "Dice" in done.stdout
