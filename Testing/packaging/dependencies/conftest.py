"""A small Python to install into, and tiny wheels to install: real pip, no network."""

from __future__ import annotations

import io
import os
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pip
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Rep3DSegmentation"))

from Rep3DSegmentationLib.python_environment import PythonEnvironment  # noqa: E402

# What the needs of Rep3D look like to pip: version, what each asks for, the module where its name differs.
PACKAGES = {
    "torch": ("2.9.0", ["typing-extensions>=4.10.0"], "torch"),
    "monai": ("1.6.1", ["torch>=2.8.0", "numpy<3.0,>=1.24"], "monai"),
    "scipy": ("1.17.1", ["numpy<2.7,>=1.26.4"], "scipy"),
    "safetensors": ("0.8.0", [], "safetensors"),
    "PyYAML": ("6.0.3", [], "yaml"),
    "typer": ("0.29.2", ["rich>=13.8.0"], "typer"),
    "rich": ("15.0.0", ["Pygments>=2.13.0"], "rich"),
    "Pygments": ("2.21.0", [], "pygments"),
    "platformdirs": ("4.14.7", [], "platformdirs"),
    "psutil": ("7.2.2", [], "psutil"),
    "typing_extensions": ("4.16.0", [], "typing_extensions"),
}
SLICER_BRINGS = {"numpy": "2.0.2", "SimpleITK": "2.5.5", "pydicom": "3.0.2"}

Maker = Callable[..., Path]


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    requires: list[str] = (),
    module: str = "",
    files: dict[str, str] | None = None,
) -> Path:
    """A pure-Python wheel with one module; `files` adds or replaces files of it."""
    folder.mkdir(parents=True, exist_ok=True)
    module = module or name.replace("-", "_")
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    contents = {
        f"{module}/__init__.py": f"__version__ = '{version}'\n",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {item}\n" for item in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: rep3d-tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    } | (files or {})
    contents[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in contents.items():
            archive.writestr(inside, text)
    return path


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


@pytest.fixture
def make_wheel() -> Maker:
    return write_wheel


@pytest.fixture
def make_slow_source() -> Maker:
    return write_slow_source


@pytest.fixture(scope="session")
def shared_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("all wheels")
    for name, (version, requires, module) in PACKAGES.items():
        write_wheel(folder, name, version, requires, module)
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
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PythonEnvironment:
    """A Python with what Slicer brings (of what matters here) and pip, and nothing that this machine configures."""
    home = tmp_path / "python"
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(home)
    scheme = {"base": str(home), "platbase": str(home), "installed_base": str(home)}
    site = Path(sysconfig.get_path("purelib", "venv" if "venv" in sysconfig.get_scheme_names() else None, scheme))
    only_pip = tmp_path / "only pip"
    only_pip.mkdir()
    (only_pip / "pip").symlink_to(Path(pip.__file__).parent, target_is_directory=True)
    (site / "only_pip.pth").write_text(str(only_pip), encoding="utf-8")
    for name, version in SLICER_BRINGS.items():
        with zipfile.ZipFile(write_wheel(tmp_path / "brought", name, version)) as archive:
            archive.extractall(site)
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "empty index").as_uri())
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return PythonEnvironment(str(python), (str(site),))
