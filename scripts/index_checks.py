"""What the Extensions Index and the Extensions Manager of 3D Slicer check of an extension, on a folder of its sources.

    python scripts/index_checks.py FOLDER       a clone; its size counts with .git, as the index counts it

The index downloads the schema, the pictures and the repository's topics; here their facts are compared with the files.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "Rep3D"
SIZE_LIMIT_MB = 100.0
TOPIC = "3d-slicer-extension"
#: Keys of the catalog entry's schema 1.0.1 with their types; it allows no others and requires the first three.
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
SCHEMA_FILE = "slicer-extension-catalog-entry-schema-v1.0.1.json"
#: Of the index's categories those that fit an extension like this one.
CATEGORIES = ("Segmentation", "Analysis", "Quantification", "Utilities")
LICENCES = ("LICENSE", "LICENCE", "LICENSE.txt", "COPYING")
PICTURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff"}


@dataclass(frozen=True)
class Sources:
    """The extension's sources as they lie in a folder."""

    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    @property
    def entry(self) -> dict:
        return json.loads(self.text(f"{NAME}.json"))

    def cmake(self, variable: str) -> str:
        """Value of `set(VARIABLE "value")` on one line; ValueError unless it is there once and so."""
        found = re.findall(rf'^set\({variable} "([^"\n]+)"\)', self.text("CMakeLists.txt"), re.MULTILINE)
        if len(found) != 1:
            raise ValueError(f'CMakeLists.txt needs one line set({variable} "...")')
        return found[0]

    def s4ext(self) -> dict[str, str]:
        lines = self.text(f"{NAME}.s4ext").splitlines()
        return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))

    def files(self) -> list[str]:
        """Names of the files under version control."""
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=self.folder, capture_output=True, check=True).stdout
        return [name for name in listed.decode("utf-8").split("\0") if (self.folder / name).is_file()]


def size(sources: Sources) -> Iterator[str]:
    """The clone, history included, is below the limit."""
    megabytes = sum(path.stat().st_size for path in sources.folder.rglob("*") if path.is_file()) / 2**20
    if megabytes > SIZE_LIMIT_MB:
        yield f"{megabytes:.1f} MB with .git, the limit is {SIZE_LIMIT_MB:.0f} MB"


def schema(sources: Sources) -> Iterator[str]:
    """The entry has the schema's keys and types."""
    entry = sources.entry
    for key, value in entry.items():
        if type(value) is not SCHEMA.get(key):
            yield f"{key}: {value!r} is not allowed"
    yield from (f"{key} is missing" for key in list(SCHEMA)[:3] if key not in entry)
    if not str(entry.get("$schema")).split("#")[0].endswith(SCHEMA_FILE):
        yield f"$schema is not {SCHEMA_FILE}"
    if not all(isinstance(item, str) for item in entry.get("build_dependencies", [])):
        yield "build_dependencies are not names"
    if entry.get("scm_type", "git") not in ("git", "local") or entry.get("tier", 1) not in range(1, 6):
        yield "scm_type or tier is out of range"


def names(sources: Sources) -> Iterator[str]:
    """project() is the entry's name, which does not begin with Slicer; the repository's does."""
    projects = re.findall(r"project\s*\(\s*([^\s)]+)", sources.text("CMakeLists.txt"), re.IGNORECASE)
    if projects[:1] != [NAME]:
        yield f"CMakeLists.txt has project({', '.join(projects)}), the entry is {NAME}.json"
    if NAME.lower().startswith("slicer"):
        yield f"{NAME} begins with Slicer"
    if not re.fullmatch(r"https://[\w.-]+/[\w.-]+/Slicer[\w.-]*\.git", sources.entry["scm_url"]):
        yield f"scm_url {sources.entry['scm_url']} is no https address of a repository named Slicer..."


def category(sources: Sources) -> Iterator[str]:
    """The category is one that the index knows."""
    if sources.entry["category"] not in CATEGORIES:
        yield f"category {sources.entry['category']!r} is unknown"


def descriptions(sources: Sources) -> Iterator[str]:
    """CMakeLists.txt, the entry and the .s4ext file say the same, each value on one line."""
    entry, old = sources.entry, sources.s4ext()
    pairs = {
        "category": (sources.cmake("EXTENSION_CATEGORY"), entry["category"], old["category"]),
        "dependencies": (sources.cmake("EXTENSION_DEPENDS"), " ".join(entry["build_dependencies"]), old["depends"]),
        "address": (sources.cmake("EXTENSION_HOMEPAGE") + ".git", entry["scm_url"], old["scmurl"]),
        "revision": (entry["scm_revision"], old["scmrevision"]),
        "build folder": (entry["build_subdirectory"], old["build_subdirectory"]),
        "home page": (sources.cmake("EXTENSION_HOMEPAGE"), old["homepage"]),
        "contributors": (sources.cmake("EXTENSION_CONTRIBUTORS"), old["contributors"]),
        "description": (sources.cmake("EXTENSION_DESCRIPTION"), old["description"]),
        "icon": (sources.cmake("EXTENSION_ICONURL"), old["iconurl"]),
        "screenshots": (sources.cmake("EXTENSION_SCREENSHOTURLS"), old["screenshoturls"]),
    }
    for what, values in pairs.items():
        if len(set(values)) > 1:
            yield f"{what}: {' | '.join(values)}"


def pictures(sources: Sources) -> Iterator[str]:
    """Icon and screenshots are addresses of pictures that are in the repository."""
    base = sources.cmake("EXTENSION_HOMEPAGE").replace("https://github.com/", "https://raw.githubusercontent.com/")
    urls = [sources.cmake("EXTENSION_ICONURL"), *sources.cmake("EXTENSION_SCREENSHOTURLS").split()]
    if len(urls) < 2:
        yield "there is no screenshot"
    for url in urls:
        path = sources.folder / url.removeprefix(f"{base}/{sources.entry['scm_revision']}/")
        start = PICTURES.get(path.suffix.lower())
        if start is None or not path.is_file() or not path.read_bytes().startswith(start):
            yield f"{url} is no picture of this repository"


def licence(sources: Sources) -> Iterator[str]:
    """A licence is at the root."""
    if not any((sources.folder / name).is_file() for name in LICENCES):
        yield f"none of {', '.join(LICENCES)} is there"


def line_ends(sources: Sources) -> Iterator[str]:
    """Text files end their lines with LF alone."""
    for name in sources.files():
        content = (sources.folder / name).read_bytes()
        if b"\r" in content and b"\0" not in content[:8000]:  # git's rule for what is no text
            yield f"{name} has CR"


def topic(sources: Sources) -> Iterator[str]:
    """The docs name the topic that the repository needs on GitHub, where the index looks for it."""
    if TOPIC not in sources.text("docs/developing.md"):
        yield f"docs/developing.md does not name the topic {TOPIC}"


def file_names(sources: Sources) -> Iterator[str]:
    """No file system refuses a name, or takes two for one."""
    found = sources.files()
    yield from (f"{name} has unusual letters" for name in found if not re.fullmatch(r"[A-Za-z0-9._/ +()-]+", name))
    lowered = [name.lower() for name in found]
    yield from sorted({f"{name} is there in two spellings" for name in lowered if lowered.count(name) > 1})


CHECKS: tuple[Callable[[Sources], Iterator[str]], ...] = (
    size, schema, names, category, descriptions, pictures, licence, line_ends, topic, file_names,
)  # fmt: skip


def failures(folder: Path) -> dict[str, list[str]]:
    """{check: what is wrong} of every check, an empty list where all is well."""
    sources = Sources(folder)
    found = {}
    for check in CHECKS:
        try:
            found[check.__name__] = list(check(sources))
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
            found[check.__name__] = [f"{type(error).__name__}: {error}"]
    return found


def report(folder: Path) -> bool:
    """Print one line a check; whether all are well."""
    found = failures(folder)
    for check in CHECKS:
        wrong = found[check.__name__]
        print(f"{'FAILS' if wrong else 'ok   '} {check.__name__}: {'; '.join(wrong[:5]) if wrong else check.__doc__}")
    return not any(found.values())


def clone(repository: Path, folder: Path) -> Path:
    """A full clone as the index makes it."""
    command = ["git", "clone", "--quiet", "--no-local", str(repository), str(folder)]
    subprocess.run(command, check=True)
    return folder


if __name__ == "__main__":
    sys.exit(0 if report(Path(sys.argv[1] if len(sys.argv) > 1 else ".")) else 1)
