"""The effect in the test host, in front of a worker whose answers are known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
for _folder in (ROOT / "Rep3DSegmentation", ROOT / "SegmentEditorRep3D"):  # one folder once they are installed
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

if find_spec("slicer") is None or find_spec("PyQt5") is None:
    collect_ignore_glob = ["test_*.py"]

    def pytest_report_header() -> str:
        return "Testing/gui/effect is skipped: needs slicer-core and PyQt5 (pip install -e 'backend[slicer]')"


@pytest.fixture(scope="session")
def registered(started_host: Any) -> Any:
    """The host with the effect registered, as after a start of Slicer."""
    started_host.publish()
    started_host.load_module(ROOT / "SegmentEditorRep3D" / "SegmentEditorRep3D.py")
    started_host.process_events(20)
    return started_host


@pytest.fixture
def session(registered: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The application's click session, with known answers; and tasks that are known."""
    import Rep3DSegmentationLib.click.session as session_module
    import SegmentEditorRep3DLib.catalog as catalog_module

    from .known import make_known_catalog, make_known_session

    known = make_known_session()
    monkeypatch.setattr(session_module, "_session", known)
    monkeypatch.setattr(catalog_module, "_store", make_known_catalog())
    return known


@pytest.fixture
def new_editor(slicer_host: Any, registered: Any) -> Iterator[Callable[[], tuple[Any, Any]]]:
    """new_editor() -> a Segment Editor widget with undo and views, and its node; any number of them."""
    import slicer

    made = []

    def make() -> tuple[Any, Any]:
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMaximumNumberOfUndoStates(10)
        editor.setMRMLScene(slicer.mrmlScene)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        editor.setMRMLSegmentEditorNode(node)
        editor.setupViewObservations()
        made.append(editor)
        return editor, node

    yield make
    for editor in made:
        editor.setActiveEffect(None)
        editor.removeViewObservations()
        editor.setMRMLSegmentEditorNode(None)
        editor.deleteLater()
    slicer_host.process_events()


@pytest.fixture
def bench(slicer_host: Any, session: Any, new_editor: Any, tmp_path: Path) -> Any:
    """An axis-aligned volume of 12 x 10 x 8 voxels of 2 mm with two livers and a spleen, prepared; one new segment."""
    from .world import make_bench

    labels = np.zeros((12, 10, 8), np.uint8)
    labels[1:5, 1:5, 1:7] = 1
    labels[8:11, 1:4, 2:6] = 1
    labels[2:9, 6:9, 0:5] = 2
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -20, 10, 5
    made = make_bench(slicer_host, *new_editor(), labels, affine)
    made.know(labels, session, tmp_path)
    return made
