"""The shipped weights do on held-out scans what their model cards say, and the demo shows it on a page.

Scans of patients come from REP3D_DATA; none of them was trained or tuned on. Floors are taken from the cards.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rep3d.demo.run import DemoOptions, run_demo
from rep3d.weights import SHIPPED_FOLDER, load_weights

pytest.importorskip("matplotlib")

#: One scan may be harder than the average one of the card by this much mean Dice.
ALLOWANCE = 0.15


def shipped(task: str) -> tuple[Path, float]:
    """The weights file of a task and the mean test Dice that its card states; skips while it is not shipped."""
    path, card = SHIPPED_FOLDER / f"{task}.safetensors", SHIPPED_FOLDER / f"{task}.json"
    if not path.is_file():
        pytest.skip(f"no weights are shipped for {task} yet")
    assert card.is_file(), f"{path.name} has no model card {card.name}"
    assert path.stat().st_size < 8e6
    stated = stated_dice(json.loads(card.read_text(encoding="utf-8")))
    assert stated is not None, f"{card.name} does not state the Dice on test cases"
    return path, stated


def stated_dice(card: Any, inside_test: bool = False) -> float | None:
    """Mean Dice of the part of a card that speaks of test cases, whether a number or one a structure."""
    if not isinstance(card, dict):
        return None
    for key, value in card.items():
        here = inside_test or "test" in key.lower()
        if here and "dice" in key.lower():
            if isinstance(value, (int, float)):
                return float(value)
            if isinstance(value, dict):
                if isinstance(value.get("mean"), (int, float)):
                    return float(value["mean"])
                known = [v for v in value.values() if isinstance(v, (int, float)) and math.isfinite(v)]
                if known:
                    return sum(known) / len(known)
        found = stated_dice(value, here)
        if found is not None:
            return found
    return None


def data(*parts: str) -> Path:
    root = os.environ.get("REP3D_DATA")
    if not root:
        pytest.skip("REP3D_DATA is not set, so there are no real scans")
    path = Path(root, *parts)
    if not path.exists():
        pytest.skip(f"{path} is not in REP3D_DATA")
    return path


def check(out: Path, options: DemoOptions, floor: float) -> None:
    page, demo = run_demo(options)
    text = page.read_text(encoding="utf-8")
    assert set(demo.pictures) == {"overlay", "render3d", "mask", "erf"}
    assert 'src="http' not in text and "url(" not in text and "<script" not in text and "<link" not in text
    assert demo.mean_dice >= floor, f"mean Dice {demo.mean_dice:.3f} on {demo.source.name}, {floor:.3f} expected"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium:
        shot = out.with_name("page.png")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=900,1400", f"--screenshot={shot}"]
        subprocess.run([chromium, *flags, page.as_uri()], check=True, capture_output=True, timeout=240)
        from matplotlib.image import imread

        assert imread(shot)[..., :3].std() > 0.05  # pictures are there, not an empty page


@pytest.mark.slow
def test_generated_abdomen(tmp_path):
    _, stated = shipped("phantom-abdomen")
    out = tmp_path / "out"
    check(out, DemoOptions(out, device="cpu"), stated - ALLOWANCE)


@pytest.mark.slow
def test_hippocampus_on_a_test_case(tmp_path):
    path, stated = shipped("msd-hippocampus")
    images = sorted(data("open", "hippocampus", "images").glob("*.nii.gz"))
    scan = images[4]  # every fifth case, index % 5 == 4, is a test case
    truth = data("open", "hippocampus", "labels", scan.name)
    out = tmp_path / "out"
    check(out, DemoOptions(out, scan, truth, "msd-hippocampus", path, device="cpu"), stated - ALLOWANCE)


@pytest.mark.slow
def test_head_and_neck_on_a_test_case(tmp_path):
    path, stated = shipped("openkbp")
    scan = sorted(data("hn", "test").glob("*_ct.nii.gz"))[0]
    truth = scan.with_name(scan.name.replace("_ct", "_seg"))
    out = tmp_path / "out"
    check(out, DemoOptions(out, scan, truth, "openkbp", path, device="cpu"), stated - ALLOWANCE)


@pytest.mark.parametrize("task", ["msd-hippocampus", "openkbp", "phantom-abdomen"])
def test_cards_tell_what_a_user_must_know(task):
    path, stated = shipped(task)
    assert 0 < stated <= 1
    text = path.with_suffix(".md").read_text(encoding="utf-8").lower()
    for word in ("licence", "rep3d train", "test", "fail", "not a medical device"):
        assert word in text, f"{path.with_suffix('.md').name} says nothing of {word!r}"
    if task.startswith("phantom-"):
        assert "not for patients" in text
    assert load_weights(path).meta.task.key == task


def test_16_bits_cost_no_dice():
    """The first test scans of the hippocampus score as the card says, whose figures are of the weights in 32 bits."""
    from rep3d.data.reading import read_labelmap, read_volume
    from rep3d.inference.pipeline import segment_with_weights

    path, _ = shipped("msd-hippocampus")
    weights = load_weights(path)
    assert {str(tensor.dtype) for tensor in weights.tensors.values()} == {"torch.float16"}
    stated = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["test"]["per_case"]
    network = weights.build_network()
    for scan in sorted(data("open", "hippocampus", "images").glob("*.nii.gz"))[4:30:5]:
        result = segment_with_weights(read_volume(scan), weights, network, device="cpu", precision="float32")
        assert result.cautions == ()
        truth = read_labelmap(data("open", "hippocampus", "labels", scan.name)).array
        found = {}
        for label in result.labels:
            mine, theirs = result.labelmap == label.value, truth == label.value
            found[label.key] = 2 * (mine & theirs).sum() / (mine.sum() + theirs.sum())
        case = stated[scan.name.removesuffix(".nii.gz")]
        assert sum(found.values()) / len(found) == pytest.approx(sum(case.values()) / len(case), abs=5e-4)


@pytest.mark.parametrize("task", ["msd-hippocampus", "openkbp", "phantom-abdomen"])
def test_shipped_weights_know_what_they_are_for(task):
    path, _ = shipped(task)
    meta = load_weights(path).meta
    assert meta.demo_only is (task == "phantom-abdomen")
    assert meta.expected is not None and meta.expected.region == meta.expected_region != ""
    assert set(meta.expected.volumes_ml) <= {label.key for label in meta.task.labels}
