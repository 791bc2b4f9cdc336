"""Modules in the style of other people's extensions, for the tests of the host."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def modules_folder() -> Path:
    return Path(__file__).parent / "modules"
