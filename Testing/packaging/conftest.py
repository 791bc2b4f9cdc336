"""The extension, configured, built and installed by the real CMake with a stand-in for Slicer's package."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).resolve().parent / "slicer_stand_in"
MODULES = "lib/Slicer-5.12/qt-scripted-modules"


@dataclass(frozen=True)
class Built:
    """Folders of modules in the build tree and in the installed tree."""

    build: Path
    installed: Path


@pytest.fixture(scope="session")
def cmake_command() -> str:
    """The cmake of the test environment. Skips where there is none."""
    try:
        import cmake

        found = shutil.which("cmake", path=cmake.CMAKE_BIN_DIR)
    except ImportError:
        found = shutil.which("cmake")
    if not found:
        pytest.skip("cmake is not installed (pip install cmake)")
    return found


def run(*command: str | Path) -> str:
    """Run a command; its output is in the failure."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def cmake_options() -> list[str]:
    """Where Slicer's package is (the stand-in), and that there is nothing to compile."""
    return [f"-DSlicer_DIR={STAND_IN}", f"-DCMAKE_TOOLCHAIN_FILE={STAND_IN / 'toolchain.cmake'}"]


@pytest.fixture(scope="session")
def built(cmake_command: str, cmake_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Configure, build and install; the folders have a space and a letter beyond ASCII in their names."""
    folder = tmp_path_factory.mktemp("extension é")
    build, installed = folder / "build tree", folder / "installed tree"
    run(cmake_command, "-S", ROOT, "-B", build, *cmake_options)
    run(cmake_command, "--build", build)
    run(cmake_command, "--install", build, "--prefix", installed, "--component", "RuntimeLibraries")
    return Built(build / MODULES, installed / MODULES)
