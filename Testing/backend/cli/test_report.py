"""`rep3d report`: what a page holds, that it needs no network, and that a browser shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from rep3d.cli import app
from rep3d.errors import BadInput, Rep3DError
from rep3d.report import write as write_module
from rep3d.report.gather import gather
from rep3d.report.timing import benchmark_rows, measure_layers
from rep3d.training.checkpoint import load_checkpoint, trained_network
from rep3d.weights import load_weights
from typer.testing import CliRunner

pytest.importorskip("matplotlib")

RECORDS = [
    *({"step": s, "kind": "train", "loss": 2 / (s + 1), "lr": 1e-3, "seconds": 1.0} for s in range(1, 8)),
    {"step": 7, "kind": "val", "dice": 0.5, "seconds": 2.0, "anterior-hippocampus": 0.6, "posterior-hippocampus": 0.4},
]


def evaluation(subject: dict) -> dict:
    cases = [{"id": n, "dice": {"native": {"anterior-hippocampus": a, "posterior-hippocampus": p}}}
             for n, a, p in (("one", 0.9, 0.75), ("two", 0.8, None))]  # fmt: skip
    native = {"mean": 0.8, "per_class": {"anterior-hippocampus": 0.85, "posterior-hippocampus": 0.75}, "cases": 2}
    return {
        "subject": subject,
        "task": "msd-hippocampus",
        "split": "test",
        "summary": {"native": native},
        "cases": cases,
    }


class Page(HTMLParser):
    """What a page loads, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "srcset", "data", "poster", "action", "href")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def run(tmp_path, checkpoint):
    """A run folder as training leaves it, under a name with a space and a letter beyond ASCII."""
    folder = tmp_path / "lauf zwölf"
    folder.mkdir()
    shutil.copy(checkpoint, folder / "best.ckpt")
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, RECORDS)) + "\n", encoding="utf-8")
    (folder / "test.json").write_text(json.dumps(evaluation({"step": 7})), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def fewer_blocks(monkeypatch):
    monkeypatch.setattr(write_module, "BLOCKS", ("stage1.block1", "stage4.block1"))


def report(source, out, *args) -> Page:
    done = CliRunner().invoke(app, ["report", str(source), "-o", str(out), "--patches", "1", *map(str, args)])
    if done.exception and isinstance(done.exception, Rep3DError):
        raise done.exception
    assert done.exit_code == 0, (done.output, done.exception)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads and all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert not {"script", "link", "iframe"} & set(page.tags) and "url(" not in text and "@import" not in text
    assert str(source.parent) not in text
    return page


def test_a_run_in_a_browser(tmp_path, run):
    out = tmp_path / "bericht.html"
    page = report(run, out)
    assert page.tags.count("img") == 4  # curves, two blocks, receptive fields
    for text in (
        "Hippocampus on MR", "not a medical device", "0.850", "0.800", "0.750", "2 test cases", "test.json",
        "stage3.block2", "Anterior hippocampus", "stage 1", "measured for this report", "rep3d-tiny", "ab" * 32,
    ):  # fmt: skip
        assert text in page.text, text
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium to open the page with")
    shot = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,4200", f"--screenshot={shot}"]
    flags.append(f"--user-data-dir={tmp_path / 'profile'}")
    subprocess.run([chromium, *flags, out.as_uri()], check=True, capture_output=True, timeout=240)
    from matplotlib.image import imread

    picture = imread(shot)[..., :3]
    bands = [picture[i * 700 : (i + 1) * 700] for i in range(5)]
    assert all(band.std() > 0.03 for band in bands)  # something on every part of it, pictures among them
    assert (picture.max(-1) - picture.min(-1) > 0.4).mean() > 0.01  # colours of the maps


def test_weights_with_their_card_and_a_benchmark(tmp_path, weights_file):
    path = tmp_path / "msd-hippocampus.safetensors"
    shutil.copy(weights_file, path)
    card = {
        "weights_sha256": load_weights(path).sha256,
        "command": "rep3d train <all>",
        "machine": "Some machine.",
        "known_failures": ["It fails here."],
        "test": {
            "cases": 3,
            "dice": {"mean": 0.7, "anterior-hippocampus": 0.81, "posterior-hippocampus": 0.59},
            "per_case": {"a": {"anterior-hippocampus": 0.62, "posterior-hippocampus": None}},
        },
        "baselines": {
            "SegResNet": {"dice": {"mean": 0.66, "anterior-hippocampus": 0.77, "posterior-hippocampus": None}}
        },
    }
    path.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    benchmark = tmp_path / "bench.json"
    row = {"channels": 48, "size": 24, "kernel": 21, "forward_constant_weight_ms": {"auto": 2.5, "aten": 20.0}}
    machine = {"processor": "CPU X", "threads": 2, "torch": "2.13", "date": "2026-01-02T00:00:00"}
    benchmark.write_text(json.dumps({"machine": machine, "rows": [row]}), encoding="utf-8")
    page = report(path, tmp_path / "r.html", "--benchmark", benchmark)
    for text in (
        "0.810",
        "0.620",
        "SegResNet",
        "0.770",
        "It fails here.",
        "rep3d train <all>",
        "8.0×",
        "CPU X, 2 threads",
    ):
        assert text in page.text, text
    assert page.tags.count("img") == 3  # there are no curves
    with pytest.raises(BadInput, match="not a result of benchmarks"):
        benchmark_rows({"rows": [{}]}, "x.json")
    path.with_suffix(".json").write_text(json.dumps(card | {"weights_sha256": "0" * 64}), encoding="utf-8")
    assert gather(path).results is None  # the card of other weights is not taken for theirs
    with pytest.raises(BadInput, match="card of other weights"):
        gather(path, card=path.with_suffix(".json"))


def test_a_network_without_masks(tmp_path, run):
    from rep3d.networks import create_network

    network = create_network("segresnet", in_channels=1, out_channels=3, init_filters=8)
    content = load_checkpoint(run / "best.ckpt")
    torch.save(content | {"model": network.state_dict(), "network": network.spec}, run / "best.ckpt")
    page = report(run, tmp_path / "r.html")
    assert "has no masks" in page.text and "Operator" not in page.text and page.tags.count("img") == 2


def test_what_cannot_be_reported(tmp_path, run):
    with pytest.raises(BadInput, match=r"does not end in \.html"):
        report(run, tmp_path / "r.pdf")
    with pytest.raises(BadInput, match=r"neither best\.ckpt"):
        report(tmp_path, tmp_path / "r.html")
    with pytest.raises(BadInput, match="no run folder"):
        report(tmp_path / "x.txt", tmp_path / "r.html")
    for change, message in (
        ({"task": "kits"}, "of task kits"),
        ({"subject": {"step": 9}}, "made at step 9"),
        ({"summary": {}}, "it lacks 'native'"),
    ):
        (run / "test.json").write_text(json.dumps(evaluation({"step": 7}) | change), encoding="utf-8")
        with pytest.raises(BadInput, match=message):
            gather(run)
    (run / "test.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match="not a result"):
        gather(run)
    (run / "test.json").unlink()
    assert gather(run).results is None
    (run / "log.jsonl").unlink()
    with pytest.raises(BadInput, match="no training log"):
        gather(run)


def test_names_of_others_are_text_not_markup(tmp_path, run):
    material = gather(run)
    label = replace(material.task.labels[0], name="<script>alert(1)</script>")
    task = replace(material.task, labels=(label, *material.task.labels[1:]))
    changed = replace(material, task=task, subject=replace(material.subject, task=task))
    out = tmp_path / "r.html"
    write_module.write_report(out, changed, write_module.ReportOptions(patches=1, timing=False), torch.device("cpu"))
    page = Page(out.read_text(encoding="utf-8"))
    assert "script" not in page.tags and "<script>alert(1)</script>" in page.text


def test_layers_are_timed(checkpoint):
    network = trained_network(load_checkpoint(checkpoint), checkpoint)
    rows = measure_layers(network, (32, 48, 32), torch.device("cpu"))
    assert [r["stage"] for r in rows] == [1, 2, 3, 4] and rows[0]["size"] == [16, 24, 16]
    assert all(r["auto_ms"] > 0 and (r["direct_ms"] is None or r["direct_ms"] > 0) for r in rows)
