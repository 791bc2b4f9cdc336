"""What the Extensions Index and the Extensions Manager check of an extension, checked here first."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import index_checks  # noqa: E402


def tracked() -> list[str]:
    """Files under version control; skips outside a repository."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.decode("utf-8").split("\0") if name]


def cmake_value(name: str) -> str:
    return index_checks.Sources(ROOT).cmake(name)


@pytest.mark.parametrize("check", [check for check in index_checks.CHECKS if check is not index_checks.size])
def test_what_the_index_checks(check):
    tracked()  # skips outside a repository
    assert list(check(index_checks.Sources(ROOT))) == []


def test_entry_is_that_of_a_new_extension():
    entry = index_checks.Sources(ROOT).entry
    assert entry["tier"] == 1 and entry["category"] == "Segmentation" and "PyTorch" in entry["build_dependencies"]


def picture_in_repository(url: str) -> Path:
    """The file that a raw URL of the repository points to."""
    base = (
        cmake_value("EXTENSION_HOMEPAGE").replace("https://github.com", "https://raw.githubusercontent.com") + "/main/"
    )
    assert url.startswith(base), url
    return ROOT / url.removeprefix(base)


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", path
    return struct.unpack(">II", head[16:24])


def test_icon_and_screenshots_are_pictures_of_the_repository():
    files = tracked()
    icon = picture_in_repository(cmake_value("EXTENSION_ICONURL"))
    assert png_size(icon) == (128, 128)
    module_icon = ROOT / "Rep3DSegmentation" / "Resources" / "Icons" / "Rep3DSegmentation.png"
    assert png_size(module_icon) == (128, 128)
    for path in (icon, module_icon):
        assert path.relative_to(ROOT).as_posix() in files
    for url in cmake_value("EXTENSION_SCREENSHOTURLS").split():
        picture = picture_in_repository(url)
        assert picture.suffix == ".png" and min(png_size(picture)) >= 300
        assert picture.relative_to(ROOT).as_posix() in files


def test_screenshots_are_those_of_the_guide():
    """The panel's tests write the guide's pictures; the Extension Manager has to show the same ones."""
    guide = {digest(path) for path in (ROOT / "docs" / "pictures" / "slicer").glob("*.png")}
    for path in (ROOT / "Resources" / "Screenshots").glob("*.png"):
        assert digest(path) in guide, f"{path.name} is not current: run python Resources/make_icons.py"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_addresses_of_the_project_are_the_same():
    """One address of the repository, also in the modules' help; any other GitHub address names a file of its source."""
    homepage = cmake_value("EXTENSION_HOMEPAGE")
    for path in [*ROOT.glob("*/*.py"), *ROOT.glob("*/*Widgets/*.py"), ROOT / "README.md", ROOT / "docs" / "slicer.md"]:
        for address in re.findall(r"https://github\.com/[\w.-]+/[\w.-]+", path.read_text(encoding="utf-8")):
            assert address == homepage, path.name
    assert homepage in (ROOT / "Rep3DSegmentation" / "Rep3DSegmentation.py").read_text(encoding="utf-8")
