"""Slicer's real core for the MRML layer, and workers: the real one, and a fake that misbehaves on request."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
for folder in (REPOSITORY / "Rep3DSegmentation", REPOSITORY / "Testing"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

if importlib.util.find_spec("slicer") is None or importlib.util.find_spec("vtk") is None:
    collect_ignore_glob = ["test_*.py"]

    def pytest_report_header():
        return "Testing/mrml is skipped: slicer-core is not installed (pip install -e 'backend[slicer]')"


@pytest.fixture(scope="session")
def core():
    """Slicer's core, published as ``slicer.mrmlScene`` and ``slicer.modules``."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from slicerhost.boot import boot, publish

    running = boot()
    publish(running)
    return running


@pytest.fixture
def scene(core):
    """The scene of the core, empty."""
    core.scene.Clear(0)
    yield core.scene
    core.scene.Clear(0)


@pytest.fixture(scope="session")
def fake_backend(tmp_path_factory) -> Path:
    """A backend folder, with a space and a letter beyond ASCII in its name, whose worker is the fake."""
    import rep3d

    folder = tmp_path_factory.mktemp("fake backend ä")
    package = folder / "rep3d"
    (package / "worker").mkdir(parents=True)
    package.joinpath("__init__.py").write_text("", encoding="utf-8")
    package.joinpath("worker", "__init__.py").write_text("", encoding="utf-8")
    real = Path(rep3d.__file__).parent / "worker"
    for source, name in (
        (real / "protocol.py", "protocol.py"),
        (REPOSITORY / "Testing/mrml/fake_worker.py", "__main__.py"),
    ):
        package.joinpath("worker", name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture
def fake_client(fake_backend):
    """fake_client(fault="") -> client of the fake worker; stopped at the end of the test."""
    from Rep3DSegmentationLib.client import WorkerClient

    made = []

    def make(fault: str = "", **options):
        environment = {"REP3D_BACKEND": str(fake_backend), "REP3D_FAKE": fault}
        made.append(WorkerClient(environment=environment, **options))
        return made[-1]

    yield make
    for client in made:
        client.stop(timeout_s=1.0)
