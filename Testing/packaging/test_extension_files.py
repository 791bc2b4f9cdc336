"""What the Extensions Index and the Extensions Manager check of an extension, checked here first."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
ENTRY = json.loads((ROOT / "Rep3D.json").read_text(encoding="utf-8"))
S4EXT_LINES = (ROOT / "Rep3D.s4ext").read_text(encoding="utf-8").splitlines()
S4EXT = dict(line.split(" ", 1) for line in S4EXT_LINES if line and not line.startswith("#"))
# Keys of the catalog entry's schema 1.0.1 with their types; it allows no others.
SCHEMA = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


def tracked() -> list[str]:
    """Files under version control; skips outside a repository."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.decode("utf-8").split("\0") if name]


def cmake_value(name: str) -> str:
    """Value of set(NAME "value"), which the Index reads from one line with one pair of quotes."""
    found = re.findall(rf'^set\({name} "([^"\n]+)"\)', CMAKE, re.MULTILINE)
    assert len(found) == 1, name
    return found[0]


def test_entry_has_the_schemas_keys_and_types():
    for key, value in ENTRY.items():
        assert key in SCHEMA, key
        assert type(value) is SCHEMA[key], key
    assert {"$schema", "category", "scm_url"} <= set(ENTRY)
    assert ENTRY["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert ENTRY["scm_type"] == "git" and ENTRY["tier"] == 1
    assert re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]*[Ss]licer[\w.-]*\.git", ENTRY["scm_url"])
    assert "PyTorch" in ENTRY["build_dependencies"]


def test_name_is_the_same_everywhere():
    assert re.findall(r"project\s*\(\s*([^\s)]+)", CMAKE) == ["Rep3D"]
    assert (ROOT / "Rep3D.json").is_file() and (ROOT / "Rep3D.s4ext").is_file()


def test_description_files_agree():
    assert cmake_value("EXTENSION_CATEGORY") == ENTRY["category"] == S4EXT["category"] == "Segmentation"
    assert cmake_value("EXTENSION_DEPENDS").split() == ENTRY["build_dependencies"] == S4EXT["depends"].split()
    assert S4EXT["scmurl"] == ENTRY["scm_url"] and S4EXT["scmrevision"] == ENTRY["scm_revision"]
    assert S4EXT["build_subdirectory"] == ENTRY["build_subdirectory"]
    for key, name in (("homepage", "HOMEPAGE"), ("contributors", "CONTRIBUTORS"), ("description", "DESCRIPTION")):
        assert S4EXT[key] == cmake_value(f"EXTENSION_{name}")
    assert S4EXT["iconurl"] == cmake_value("EXTENSION_ICONURL")
    assert S4EXT["screenshoturls"] == cmake_value("EXTENSION_SCREENSHOTURLS")
    assert ENTRY["scm_url"] == cmake_value("EXTENSION_HOMEPAGE") + ".git"


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


def test_licence_is_at_the_root():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:300]


def test_text_files_have_unix_line_ends():
    assert "* text=auto eol=lf" in (ROOT / ".gitattributes").read_text(encoding="utf-8")
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not listed:
        pytest.skip("not a git checkout")
    wrong = [line for line in listed.splitlines() if line.startswith(("i/crlf", "i/mixed"))]
    assert not wrong, wrong


def test_repository_is_below_the_limit():
    """The Index refuses repositories of more than 100 MB, history included."""
    done = subprocess.run(["git", "count-objects", "-v"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    sizes = dict(line.split(": ") for line in done.stdout.splitlines())
    history_mb = (int(sizes["size"]) + int(sizes["size-pack"])) / 1024
    files_mb = sum((ROOT / name).stat().st_size for name in tracked() if (ROOT / name).is_file()) / 1e6
    assert history_mb < 95 and files_mb < 95, (history_mb, files_mb)


def test_names_hold_no_letters_that_a_file_system_refuses():
    for name in tracked():
        assert re.fullmatch(r"[A-Za-z0-9._/ +()-]+", name), name
    lowered = [name.lower() for name in tracked()]
    assert len(lowered) == len(set(lowered))
