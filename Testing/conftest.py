"""What holds for all tests: the order of the folders, and which examples property-based tests take.

Tests of the panel's Reload read the extension's modules anew, so they come last. Property-based tests take the same
examples on every run; HYPOTHESIS_PROFILE=explore takes new ones and keeps those that fail.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from rep3d.runtime.privacy import stay_private

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Preparing OpenVINO takes seconds for each set of weights: the tests of the engines ask for it themselves.
os.environ.setdefault("REP3D_ENGINE", "torch")

stay_private()

LAST = ("Testing/gui", "Testing/packaging")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Stable: within a folder nothing changes its place."""
    root = Path(config.rootpath)

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(root).as_posix() if item.path.is_relative_to(root) else ""
        return next((i + 1 for i, folder in enumerate(LAST) if name.startswith(folder)), 0)

    items.sort(key=place)
