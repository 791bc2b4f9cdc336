"""What Slicer's generic tests of a scripted module assert (qSlicerModuleGenericTest.py), of both modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


def told(name: str) -> SimpleNamespace:
    """What a module tells the application about itself when it is made."""
    path = ROOT / name / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_told", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parent = SimpleNamespace(path=str(path))
    getattr(module, name)(parent)
    return parent


@pytest.mark.parametrize("name", ["Rep3DSegmentation", "SegmentEditorRep3D"])
def test_a_module_tells_all_that_slicer_asserts(slicer_host, name):
    parent = told(name)
    for text in (parent.title, parent.helpText, parent.acknowledgementText):
        assert isinstance(text, str) and text.strip()
    for names in (parent.categories, parent.contributors):
        assert names and all(isinstance(item, str) and item.strip() for item in names)
    assert parent.categories == ["Segmentation"] and parent.contributors == ["The Rep3D developers"]
    assert "cite" in parent.acknowledgementText
