"""The test host for the tests of the panels: started once, cleaned between tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from slicerhost.host import Host

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def started_host() -> Iterator[Host]:
    """The host of this process, shut down at the end; skips where Slicer's core or Qt are not installed."""
    missing = [name for name in ("slicer", "PyQt5") if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: pip install -e 'backend[slicer]' (Linux, Python 3.11 to 3.13)")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from slicerhost import Host, requirements

    reason = requirements.missing()
    if reason is not None:
        pytest.skip(reason)
    host = Host.start()
    yield host
    host.errors.clear()
    host.shut_down()
    assert not host.errors, "\n".join(map(str, host.errors))


@pytest.fixture
def slicer_host(started_host: Host) -> Iterator[Host]:
    """The host with an empty scene. An exception that nobody caught or an answer left over fails the test."""
    host = started_host
    host.publish()
    host.errors.clear()
    host.dialogs.clear()
    host.programs.enter()
    yield host
    host.process_events()
    host.programs.leave()
    errors, answers = [str(entry) for entry in host.errors], host.dialogs.pending
    host.errors.clear()
    host.dialogs.clear()
    host.close_scene()
    late = [str(entry) for entry in host.errors]
    host.errors.clear()
    assert not errors, "exceptions in slots, timers or observers:\n" + "\n".join(errors)
    assert not late, "exceptions when the scene was closed:\n" + "\n".join(late)
    assert not answers, f"{answers} queued answers that no dialog asked for"
