"""The console recipes of docs/slicer.md run as they stand, in order, on a small volume called "scan"."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs" / "slicer.md").read_text(encoding="utf-8")


@pytest.fixture
def scan(slicer_host, module):
    """A T1-like crop of 36 x 50 x 36 voxels at 1 mm around the origin of the world."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    k, j, i = np.mgrid[0:36, 0:50, 0:36]
    tissue = 400 + 300 * np.exp(-(((i - 18) / 7.0) ** 2 + ((j - 25) / 14.0) ** 2 + ((k - 18) / 7.0) ** 2))
    noise = np.random.default_rng(0).normal(0, 15, tissue.shape)
    slicer.util.updateVolumeFromArray(node, (tissue + noise).astype(np.float32))
    node.SetOrigin(-18, -25, -18)
    return node


def test_console_recipes_run(scan, capsys):
    import slicer

    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) >= 4
    names: dict = {"slicer": slicer}
    for block in blocks:
        exec(compile(block, "docs/slicer.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "msd-hippocampus" in printed and "mL" in printed  # tasks, and the table
    assert "100%" in printed and "scan msd-hippocampus" in printed  # progress, and the run that is not waited for
    assert "All Python packages" in printed
    segmentation = names["segmentation"]
    assert segmentation.IsA("vtkMRMLSegmentationNode") and slicer.mrmlScene.IsNodePresent(segmentation)


def test_pictures_and_links_of_the_guide_exist():
    for page in (ROOT / "docs").glob("*.md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_error_codes_of_the_guide_are_those_of_the_protocol():
    from Rep3DSegmentationLib.backend_location import worker_module

    codes = set(worker_module("protocol").ERROR_CODES)
    told = set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE))
    assert told <= codes
    assert codes - told <= {"cancelled", "internal", "bad_request"}, "codes that a user can meet need a row"
