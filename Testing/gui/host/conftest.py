"""Modules in the style of other people's extensions, for the tests of the host."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def modules_folder() -> Path:
    return Path(__file__).parent / "modules"


@pytest.fixture
def stage(slicer_host: Any) -> Iterator[Any]:
    """The Segment Editor with a volume, two segments and the effect "Box" active."""
    from segment_stage import Stage

    made = Stage(slicer_host)
    yield made
    made.leave()
