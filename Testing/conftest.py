"""The order of the folders: tests of the panel's Reload read the extension's modules anew, so they come last."""

from __future__ import annotations

from pathlib import Path

import pytest

LAST = ("Testing/gui", "Testing/packaging")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Stable: within a folder nothing changes its place."""
    root = Path(config.rootpath)

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(root).as_posix() if item.path.is_relative_to(root) else ""
        return next((i + 1 for i, folder in enumerate(LAST) if name.startswith(folder)), 0)

    items.sort(key=place)
