"""The Python that packages are installed into: what is there, and what must stay as it is."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from .dependency_list import FREE, PROTECTED


def slicer_python() -> str:
    """Path of the interpreter to start: `PythonSlicer` in Slicer, else the running one.

    Raises:
        FileNotFoundError: neither is there (Slicer without PythonSlicer on its PATH).
    """
    found = shutil.which("PythonSlicer")
    if found:
        return found
    if Path(sys.executable).name.lower().startswith("python"):
        return sys.executable
    raise FileNotFoundError("PythonSlicer")


def version_rules() -> ModuleType:
    """The `packaging` library, or pip's own copy where Slicer has none; imported when first needed."""
    try:
        return importlib.import_module("packaging.specifiers")
    except ImportError:
        return importlib.import_module("pip._vendor.packaging.specifiers")


def canonical(name: str) -> str:
    """Name of a package as indexes compare it: lower case, one hyphen for any of `-_.`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def satisfies(version: str, spec: str) -> bool:
    """True if the version meets the specifier; a version that is no version at all meets only an empty one."""
    rules = version_rules()
    try:
        return rules.SpecifierSet(spec).contains(version, prereleases=True)
    except ValueError:  # InvalidVersion and InvalidSpecifier are ValueErrors
        return not spec


@dataclass(frozen=True)
class PythonEnvironment:
    """An interpreter and the folders it imports from; None for those of this process."""

    python: str
    paths: tuple[str, ...] | None = None

    @classmethod
    def of_slicer(cls) -> PythonEnvironment:
        """The environment of this process. Raises FileNotFoundError as `slicer_python`."""
        return cls(slicer_python())

    def version(self, name: str) -> str | None:
        """Installed version of one package, None where it is not there; reads metadata, imports nothing."""
        found = importlib.metadata.distributions(name=name, path=list(self.paths or sys.path))
        distribution = next(iter(found), None)
        return None if distribution is None else distribution.version

    def versions(self) -> dict[str, str]:
        """{canonical name: version} of all that is installed; where a name is there twice, the one that is imported."""
        importlib.invalidate_caches()
        versions: dict[str, str] = {}
        for distribution in importlib.metadata.distributions(path=list(self.paths or sys.path)):
            name = distribution.metadata["Name"]
            if name and distribution.version:
                versions.setdefault(canonical(name), distribution.version)
        return versions

    def has_module(self, module: str) -> bool:
        """True if an import would find the module; imports nothing. A folder without `__init__.py` does not count."""
        if self.paths is None:
            if module in sys.modules:
                return True
            spec = importlib.util.find_spec(module)
        else:
            spec = PathFinder.find_spec(module, list(self.paths))
        return spec is not None and spec.origin is not None

    def loaded_modules(self, names: Iterable[str]) -> set[str]:
        """Those packages of `names` of which this process has imported something (they change only with a restart)."""
        loaded = set()
        for name in names:
            for distribution in importlib.metadata.distributions(name=name, path=list(self.paths or sys.path)):
                tops = {file.parts[0].removesuffix(".py") for file in distribution.files or () if file.parts}
                if tops & set(sys.modules):
                    loaded.add(name)
        return loaded


def constraints_text(shipped: str, installed: dict[str, str], wanted: Iterable[str] = ()) -> str:
    """Text of the constraints file of one run of pip.

    What Slicer brings or other extensions share (PROTECTED) keeps exactly its version; tools (FREE) may change;
    anything else that is installed may only go up, and pip raises it only where a new package asks for it; shipped pins
    hold for what is not there yet and for what is to be installed anew.

    Args:
        shipped: text of a constraints file, one requirement a line, `#` starts a comment.
        installed: {canonical name: version}.
        wanted: names of the packages that pip is asked for.
    """
    lines = []
    for name, version in sorted(installed.items()):
        if name in FREE or not satisfies(version, ">=0"):
            continue  # a tool that may change, or not a version that pip could compare
        # "1.2+cpu" may be asked for exactly, but has no order: there the part before the + counts.
        lines.append(f"{name}=={version}" if name in PROTECTED else f"{name}>={version.split('+')[0]}")
    kept = set(installed) - ({canonical(name) for name in wanted} - PROTECTED)
    for line in shipped.splitlines():
        requirement = line.split("#")[0].strip()
        if requirement and requirement_name(requirement) not in kept:
            lines.append(requirement)
    return "\n".join(lines) + "\n"


def requirement_name(requirement: str) -> str:
    """Canonical name in a requirement such as `PyYAML==6.0.3`."""
    return canonical(re.split(r"[<>=!~;\[ ]", requirement.strip())[0])
