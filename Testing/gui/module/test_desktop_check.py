"""The check for desktop Slicer runs in the test host as far as this reaches: every step, with the real worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_every_step_passes_in_the_host(panel, slicer_host, data, tmp_path, monkeypatch):
    import slicer

    monkeypatch.syspath_prepend(str(ROOT / "Testing" / "desktop"))
    from check import main

    if not hasattr(slicer.modules, "segmenteditorrep3d"):
        slicer_host.load_module(ROOT / "SegmentEditorRep3D" / "SegmentEditorRep3D.py")
        slicer_host.process_events(20)
    scan = sorted((data / "open/hippocampus/images").glob("*.nii.gz"))[4]
    out = tmp_path / "out"
    code = main(["--scan", str(scan), "--task", "msd-hippocampus", "-o", str(out)])
    report = json.loads((out / "desktop-check.json").read_text(encoding="utf-8"))
    assert [step["name"] for step in report["steps"] if not step["passed"]] == [], report
    assert code == 0 and report["passed"] and len(report["steps"]) == 13
    assert len(list(out.glob("*.png"))) >= 13


def test_the_layout_of_the_masks_is_known_when_slicer_has_started(panel, slicer_host):
    import slicer
    from Rep3DSegmentationLib.why.layout import LAYOUT_ID

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLayoutNode")
    assert not node.IsLayoutDescription(LAYOUT_ID)
    slicer_host._real_app.startupCompleted.emit()
    assert node.IsLayoutDescription(LAYOUT_ID)
    slicer.mrmlScene.RemoveNode(node)
