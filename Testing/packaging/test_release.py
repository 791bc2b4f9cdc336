"""What `make release` makes and checks, on small repositories and packages."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import index_checks  # noqa: E402
import release  # noqa: E402


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.invalid"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits: a large file is gone, and a file that is ignored is tracked all the same."""
    folder = tmp_path / "a repository é"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "work")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 4096)
    (folder / "kept.log").write_text("kept\n")
    git(folder, "add", "--force", ".")
    git(folder, "commit", "-qm", "one")
    git(folder, "rm", "-q", "large.bin")
    (folder / "text.txt").write_text("second\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "two")
    (folder / "text.txt").write_text("not committed\n")
    (folder / "untracked.txt").write_text("not ours\n")
    return folder


def test_a_snapshot_is_one_commit_with_the_files_of_the_last(repository, tmp_path):
    snapshot = release.make_snapshot(repository, tmp_path / "out" / "snapshot", "Rep3D 1.2.3")
    assert release.tracked(snapshot) == [".gitignore", "kept.log", "text.txt"]
    assert (snapshot / "text.txt").read_text() == "second\n"
    assert git(snapshot, "log", "--format=%an %s %D") == "The Rep3D developers Rep3D 1.2.3 HEAD -> main"
    assert git(snapshot, "log", "--format=%cI") == git(repository, "log", "-1", "--format=%cI")
    assert git(snapshot, "status", "--porcelain") == ""
    cloned = index_checks.clone(snapshot, tmp_path / "clone")
    assert sum(path.stat().st_size for path in cloned.rglob("*") if path.is_file()) < 200_000  # without large.bin


@pytest.fixture
def extension(tmp_path: Path) -> Path:
    """The files of the extension that the index looks at, under version control."""
    folder = tmp_path / "extension"
    entry = index_checks.Sources(ROOT)
    urls = [entry.cmake("EXTENSION_ICONURL"), *entry.cmake("EXTENSION_SCREENSHOTURLS").split()]
    pictures = [url.partition("/main/")[2] for url in urls]
    for name in ("CMakeLists.txt", "Rep3D.json", "Rep3D.s4ext", "LICENSE", "docs/developing.md", *pictures):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    return folder


def test_the_index_would_take_it(extension, capsys):
    assert index_checks.report(extension)
    assert capsys.readouterr().out.count("ok ") == len(index_checks.CHECKS)


BROKEN = {
    "schema": [("Rep3D.json", '"tier": 1', '"tier": 9'), ("Rep3D.json", '"tier": 1', '"stars": 5'),
               ("Rep3D.json", '"tier": 1', '"tier": "1"'), ("Rep3D.json", "v1.0.1", "v0.9.0")],
    "names": [("CMakeLists.txt", "project(Rep3D)", "project(SlicerRep3D)"), ("Rep3D.json", "/SlicerRep3D", "/Rep3D")],
    "category": [("Rep3D.json", '"Segmentation"', '"Segmenting"')],
    "descriptions": [("Rep3D.s4ext", "depends PyTorch", "depends NNUNet"),
                     ("CMakeLists.txt", 'DEPENDS "PyTorch"', 'DEPENDS "PyTorch" "NNUNet"'),
                     ("CMakeLists.txt", "Segment organs", "Segment\\norgans"), ("Rep3D.s4ext", "main", "master")],
    "pictures": [("CMakeLists.txt", "Icons/Rep3D.png", "Icons/None.png"), ("CMakeLists.txt", "https://raw", "ftp://raw"),
                 ("CMakeLists.txt", "set(EXTENSION_SCREENSHOTURLS", "set(EXTENSION_PICTURES")],
    "licence": [("LICENSE", None, "")],
    "line_ends": [("Rep3D.json", "\\n", "\\r\\n")],
    "topic": [("docs/developing.md", index_checks.TOPIC, "a topic")],
    "file_names": [("docs/Developing.md", None, "twice"), ("docs/a?.md", None, "odd")],
}  # fmt: skip


@pytest.mark.parametrize(("check", "change"), [(check, one) for check, many in BROKEN.items() for one in many])
def test_each_check_finds_its_fault(extension, check, change):
    name, old, new = change
    path = extension / name
    if old is None and path.exists():
        path.unlink()
    elif old is None:
        path.write_text(new)
        git(extension, "add", ".")
    else:
        old, new = (text.replace("\\n", "\n").replace("\\r", "\r") for text in (old, new))
        assert old in path.read_text(encoding="utf-8")
        path.write_bytes(path.read_text(encoding="utf-8").replace(old, new).encode())
    assert index_checks.failures(extension)[check]


def test_size_counts_gits_own_files(extension, monkeypatch):
    monkeypatch.setattr(index_checks, "SIZE_LIMIT_MB", 2.0)
    before = list(index_checks.size(index_checks.Sources(extension)))
    (extension / ".git" / "large").write_bytes(bytes(3 * 2**20))
    assert before == [] and list(index_checks.size(index_checks.Sources(extension)))


MODULES = ("rep3d/__init__.py", "rep3d/py.typed", "rep3d/tasks/a.yaml")
METADATA = "Name: rep3d\nLicense-Expression: Apache-2.0\nProject-URL: Homepage, https://example.org\n\n# x\n"


def packages(folder: Path, missing: str = "", metadata: str = METADATA) -> tuple[Path, Path]:
    """An sdist and a wheel with all that belongs in them, but for one file."""
    sdist, wheel = folder / "rep3d-1.tar.gz", folder / "rep3d-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("rep3d-1.dist-info/METADATA", metadata)
        for name in (*MODULES, "rep3d-1.dist-info/licenses/LICENSE"):
            if not missing or not name.endswith(missing):
                archive.writestr(name, "")
    with tarfile.open(sdist, "w:gz") as archive:
        for name in (*MODULES, "LICENSE", "README.md"):
            if not missing or not name.endswith(missing):
                archive.addfile(tarfile.TarInfo(f"rep3d-1/{name}"), io.BytesIO())
    return sdist, wheel


def test_complete_packages_have_no_problems(tmp_path):
    assert release.package_problems(*packages(tmp_path), MODULES) == []


@pytest.mark.parametrize("missing", ["py.typed", "a.yaml", "LICENSE", "README.md", "__init__.py"])
def test_what_a_package_lacks_is_named(tmp_path, missing):
    found = release.package_problems(*packages(tmp_path, missing), MODULES)
    assert any(missing in text for text in found)


@pytest.mark.parametrize(
    "line", ["Project-URL: Homepage, https://example.org", "License-Expression: Apache-2.0", "# x"]
)
def test_what_the_metadata_lack_is_named(tmp_path, line):
    assert release.package_problems(*packages(tmp_path, metadata=METADATA.replace(f"{line}\n", "")), MODULES)


def test_every_file_of_the_package_is_in_its_data_patterns():
    """What is no Python file has to be named in backend/pyproject.toml to be in sdist and wheel."""
    text = (ROOT / "backend" / "pyproject.toml").read_text(encoding="utf-8")
    patterns = re.findall(r'"([^"]+)"', re.search(r"^rep3d = \[(.*?)\]", text, re.MULTILINE | re.DOTALL).group(1))
    package = ROOT / "backend" / "rep3d"
    names = [name.removeprefix("backend/rep3d/") for name in index_checks.Sources(ROOT).files()
             if name.startswith("backend/rep3d/") and not name.endswith(".py")]  # fmt: skip
    matched = {path.relative_to(package).as_posix() for pattern in patterns for path in package.glob(pattern)}
    assert set(names) <= matched
    folders = {path.parent for path in package.rglob("*.py") if "__pycache__" not in path.parts}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_version_has_one_place():
    import rep3d

    text = (ROOT / "backend" / "pyproject.toml").read_text(encoding="utf-8")
    assert release.package_version(ROOT) == rep3d.__version__ and re.fullmatch(r"\d+\.\d+\.\d+", rep3d.__version__)
    assert 'dynamic = ["version"]' in text and not re.search(r'^version = "', text, re.MULTILINE)


def test_the_packages_licence_and_addresses_are_those_of_the_repository():
    assert (ROOT / "backend" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    text = (ROOT / "backend" / "pyproject.toml").read_text(encoding="utf-8")
    home = index_checks.Sources(ROOT).cmake("EXTENSION_HOMEPAGE")
    assert re.findall(r'^(?:Homepage|Documentation|Issues) = "(.*)"', text, re.MULTILINE) == [
        home, f"{home}/tree/main/docs", f"{home}/issues"
    ]  # fmt: skip
