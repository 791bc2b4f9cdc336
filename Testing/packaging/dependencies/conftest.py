"""Small Pythons to install into, as Slicer 5.10 and 5.12 bring them, and wheels with real metadata: pip, no network."""

from __future__ import annotations

import io
import os
import sys
import sysconfig
import tarfile
import types
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pip
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "Rep3DSegmentation"), str(Path(__file__).parent)]

from real_metadata import packages, slicer_pins, write_real_wheel, write_wheel  # noqa: E402
from Rep3DSegmentationLib import torch_builds  # noqa: E402
from Rep3DSegmentationLib.python_environment import PythonEnvironment  # noqa: E402

LTT_MAIN = """
import pathlib, sys
from pip._internal.cli.main import main
option = [item for item in sys.argv if item.startswith("--pytorch-computation-backend=")]
pathlib.Path(__file__).with_name("used.txt").write_text(option[0].split("=")[1])
main([item for item in sys.argv[1:] if item not in option])
"""
"""As light-the-torch 0.8.1: what pip's main returns is not the exit code, which is always 0."""
Maker = Callable[..., Path]


def write_slow_source(folder: Path, name: str, version: str, pid_file: Path) -> Path:
    """A source package whose build writes its process id and then takes a minute: pip starts a child for it."""
    project = '[build-system]\nrequires = []\nbuild-backend = "slow"\nbackend-path = ["."]\n'
    backend = (
        f"import os, pathlib, time\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for inside, text in (("pyproject.toml", project), ("slow.py", backend), ("PKG-INFO", info)):
            member = tarfile.TarInfo(f"{name}-{version}/{inside}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def write_index(folder: Path, wheels: list[Path]) -> None:
    """A package index as plain files: a folder a project with links to its files."""
    for wheel in wheels:
        project = folder / wheel.name.split("-")[0].lower().replace("_", "-")
        project.mkdir(parents=True, exist_ok=True)
        with (project / "index.html").open("a", encoding="utf-8") as file:
            file.write(f'<a href="{wheel.as_uri()}">{wheel.name}</a>\n')


@pytest.fixture
def make_wheel() -> Maker:
    return write_wheel


@pytest.fixture
def make_slow_source() -> Maker:
    return write_slow_source


@pytest.fixture
def make_index() -> Callable[[Path, list[Path]], None]:
    return write_index


@pytest.fixture(scope="session")
def shared_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every frozen package with its real metadata; light-the-torch hands on to pip."""
    folder = tmp_path_factory.mktemp("all wheels")
    for name, version, requires in packages():
        if name == "light_the_torch":
            write_wheel(folder, name, version, requires, files={"light_the_torch/__main__.py": LTT_MAIN})
        else:
            write_real_wheel(folder, name, version, requires)
    return folder


@pytest.fixture
def wheels(shared_wheels: Path, tmp_path: Path) -> Path:
    """A folder of one's own with all wheels; its name has a space and a letter beyond ASCII."""
    folder = tmp_path / "wheels é"
    folder.mkdir()
    for wheel in shared_wheels.iterdir():
        os.link(wheel, folder / wheel.name)
    return folder


@pytest.fixture
def from_wheels(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's own configuration points at the wheels."""
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", wheels.as_uri())
    return wheels


@pytest.fixture(autouse=True)
def computer(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Says which computer the builds of PyTorch are chosen for: Linux without a GPU until a test calls it."""

    def be(system: str, machine: str, nvidia_driver: bool = False) -> None:
        monkeypatch.setattr(torch_builds, "sys", types.SimpleNamespace(platform=system, modules=sys.modules))
        monkeypatch.setattr(torch_builds, "platform", types.SimpleNamespace(machine=lambda: machine))
        monkeypatch.setattr(torch_builds, "nvidia_driver_present", lambda: nvidia_driver)

    be("linux", "x86_64")
    return be


@pytest.fixture
def slicer_python(tmp_path: Path, shared_wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Makes a Python with what a Slicer brings, and pip; nothing that this machine configures holds in it."""
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "empty index").as_uri())

    def make(version: str) -> PythonEnvironment:
        home = tmp_path / f"python {version}"
        venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(home)
        scheme = {"base": str(home), "platbase": str(home), "installed_base": str(home)}
        site = Path(sysconfig.get_path("purelib", "venv" if "venv" in sysconfig.get_scheme_names() else None, scheme))
        only_pip = tmp_path / f"only pip {version}"
        only_pip.mkdir()
        (only_pip / "pip").symlink_to(Path(pip.__file__).parent, target_is_directory=True)
        (site / "only_pip.pth").write_text(str(only_pip), encoding="utf-8")
        for name, pinned in slicer_pins(version).items():
            with zipfile.ZipFile(shared_wheels / f"{name.replace('-', '_')}-{pinned}-py3-none-any.whl") as archive:
                archive.extractall(site)
        if not (site / "SimpleITK").is_dir():  # Slicer 5.10 builds its own, without metadata
            (site / "SimpleITK").mkdir()
            (site / "SimpleITK" / "__init__.py").touch()
        python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        return PythonEnvironment(str(python), (str(site),))

    return make


@pytest.fixture
def environment(slicer_python: Callable) -> PythonEnvironment:
    """The Python of Slicer 5.10."""
    return slicer_python("5.10.0")
