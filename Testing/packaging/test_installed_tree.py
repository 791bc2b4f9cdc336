"""The extension as Slicer would package it: everything in it, nothing else, and it runs from there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    ROOT / name
    for name in re.findall(r"^add_subdirectory\((\w+)\)", (ROOT / "CMakeLists.txt").read_text("utf-8"), re.M)
]
BACKEND = ROOT / "backend" / "rep3d"
NOT_SHIPPED = {"CMakeLists.txt", "CopyBackend.cmake"}  # what builds the package is no part of it


def relative_files(folder: Path, skip: set[str] = frozenset()) -> set[str]:
    """Files below a folder, without byte code."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name not in skip
    }


def expected_files() -> dict[str, Path]:
    """{path in the package: source}; all modules go into one folder, so no two may have a file of the same name."""
    sources: dict[str, Path] = {}
    for folder in MODULES:
        for name in relative_files(folder, NOT_SHIPPED):
            assert name not in sources, f"{name} is in two modules"
            sources[name] = folder / name
    return sources | {f"Rep3DBackend/rep3d/{name}": BACKEND / name for name in relative_files(BACKEND)}


def test_every_module_of_the_repository_is_built():
    folders = {path.parent.name for path in ROOT.glob("*/CMakeLists.txt")}
    assert {folder.name for folder in MODULES} == folders and "Rep3DSegmentation" in folders


@pytest.mark.parametrize("tree", ["build", "installed"])
def test_every_file_is_shipped_and_nothing_else(built, tree: str):
    folder = getattr(built, tree)
    found, expected = relative_files(folder), set(expected_files())
    assert expected - found == set(), "list these in the module's CMakeLists.txt"
    assert found - expected == set()
    assert not [name for name in found if "Testing" in name or name.startswith("docs")]


@pytest.mark.parametrize("tree", ["build", "installed"])
def test_files_are_the_same(built, tree: str):
    folder = getattr(built, tree)
    for name, source in expected_files().items():
        assert (folder / name).read_bytes() == source.read_bytes(), name


def test_weights_and_tasks_are_in_the_package(built):
    folder = built.installed / "Rep3DBackend" / "rep3d"
    assert len(list((folder / "tasks").glob("*.yaml"))) >= 8
    for name in ("msd-hippocampus", "openkbp", "phantom-abdomen"):
        assert (folder / "shipped" / f"{name}.safetensors").stat().st_size > 1_000_000


def python_in(folder: Path, code: str, *paths: Path, arguments: Iterable[Path] = (), **variables: str) -> str:
    """Run code in a new interpreter that sees only the given folders, not the source tree's package."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("REP3D_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("tree", ["build", "installed"])
def test_installed_module_finds_its_backend(built, tree: str, tmp_path: Path):
    folder = getattr(built, tree)
    code = "from Rep3DSegmentationLib.backend_location import backend_folder as f; print(f())"
    assert Path(python_in(tmp_path, code, folder).strip()) == (folder / "Rep3DBackend").resolve()


def test_installed_client_talks_to_the_installed_worker(built, tmp_path: Path):
    """The module's own client, imported from the package, starts the packaged worker and gets its answer."""
    code = (
        "from Rep3DSegmentationLib.client import WorkerClient\n"
        "client = WorkerClient()\n"
        "client.start()\n"
        "tasks = client.call('tasks', {}, timeout_s=120)['tasks']\n"
        "print('\\n'.join(sorted(t['weights']['path'] for t in tasks if t['weights'])))\n"
        "client.stop()\n"
    )
    paths = python_in(tmp_path, code, built.installed).splitlines()
    shipped = built.installed / "Rep3DBackend" / "rep3d" / "shipped"
    assert shipped / "msd-hippocampus.safetensors" in {Path(path).resolve() for path in paths}


PANEL = """
import socket, subprocess, sys
from slicerhost import Host

host = Host.start()
begun = []
for kind, name in ((subprocess.Popen, "__init__"), (socket.socket, "connect")):
    def watched(self, *arguments, original=getattr(kind, name), **options):
        begun.append(arguments)
        return original(self, *arguments, **options)
    setattr(kind, name, watched)
loaded = host.load_module(sys.argv[1])
host.process_events(300)
assert not begun, f"before the module was opened: {begun}"
host.select_module("Rep3DSegmentation")
widget = loaded.widget
host.wait_until(lambda: widget.context.state.catalog is not None, 90)
from Rep3DSegmentationLib import session
print(sys.modules["Rep3DSegmentationLib"].__file__)
print(sys.modules["Rep3DSegmentationWidgets"].__file__)
print(widget.resourcePath("Icons/Rep3DSegmentation.png"))
print(*sorted(task["weights"]["path"] for task in widget.context.state.catalog.tasks if task["weights"]), sep="\\n")
session.close_client()
assert not host.errors, list(map(str, host.errors))
"""


def test_installed_panel_works_in_the_test_host(built, tmp_path: Path):
    """All of it comes from the package: code, pictures, backend, weights. Nothing starts before it is opened."""
    for name in ("slicer_core", "PyQt5"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    module = built.installed / "Rep3DSegmentation.py"
    output = python_in(tmp_path, PANEL, ROOT / "Testing", arguments=[module], QT_QPA_PLATFORM="offscreen")
    paths = [Path(line).resolve() for line in output.splitlines() if line.startswith("/")]
    assert len(paths) >= 6 and all(path.is_file() for path in paths)
    assert all(built.installed.resolve() in path.parents for path in paths), paths


def test_a_file_that_is_listed_but_absent_stops_the_build(cmake_command, cmake_options, tmp_path: Path):
    """So that the comparison above cannot pass by the stand-in copying whatever is there."""
    source = tmp_path / "source"
    for folder in MODULES:
        shutil.copytree(folder, source / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "CMakeLists.txt", source)
    (source / "Rep3DSegmentation" / "Rep3DSegmentationLib" / "client.py").unlink()
    command = [cmake_command, "-S", str(source), "-B", str(tmp_path / "build"), *cmake_options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "Rep3DSegmentationLib/client.py" in done.stderr
