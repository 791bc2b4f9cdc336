"""Tests of tasks see only what they put there: nobody's own task files."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_tasks(tmp_path, monkeypatch) -> Path:
    """An empty folder of own tasks."""
    folder = tmp_path / "eigene Aufgaben"
    monkeypatch.setenv("REP3D_TASKS_DIR", str(folder))
    return folder
