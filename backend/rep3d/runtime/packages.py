"""Packages beyond the core: what each is for, which extra of backend/pyproject.toml brings it, how to install it.

Hints name what was installed from. The package index has no package rep3d of ours: anybody could register the name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from rep3d.errors import BadInput

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Purpose:
    """Something that needs packages.

    Args:
        what: what it is, as the beginning of a sentence.
        extra: of backend/pyproject.toml.
        packages: names on PyPI.
    """

    what: str
    extra: str
    packages: tuple[str, ...]


PURPOSES = {
    "training": Purpose("Training", "train", ("monai", "lightning-fabric", "tensorboard")),
    "preparation": Purpose("Preparing a data set", "train", ("filelock",)),
    "surfaces": Purpose("Measuring distances of surfaces", "train", ("monai",)),
    "monai": Purpose("A network of MONAI's", "train", ("monai",)),
    "transformers": Purpose("A network of MONAI's", "train", ("monai", "einops")),
    "pictures": Purpose("Drawing pictures", "figures", ("matplotlib",)),
    "dicom-seg": Purpose("Writing DICOM SEG", "dicom", ("highdicom",)),
    "onnx": Purpose("The export to ONNX", "export", ("onnx", "onnxscript", "onnxruntime")),
    "bundle": Purpose("The export as a bundle", "export", ("monai", "nibabel", "pytorch-ignite", "fire", "jsonschema")),
    "openvino": Purpose("The engine openvino", "cpu", ("openvino",)),
    "ray": Purpose("--ray", "ray", ("ray",)),
}
MODULES = {"lightning-fabric": "lightning_fabric", "pytorch-ignite": "ignite"}
"""Modules whose name is not the package's."""


def extras() -> dict[str, tuple[str, ...]]:
    """Extra -> all packages that some purpose wants of it."""
    found: dict[str, tuple[str, ...]] = {}
    for purpose in PURPOSES.values():
        found[purpose.extra] = tuple(dict.fromkeys((*found.get(purpose.extra, ()), *purpose.packages)))
    return found


def missing(purpose: str) -> tuple[str, ...]:
    """Packages of a purpose that are not there; looks for them without importing any."""
    return tuple(name for name in PURPOSES[purpose].packages if util.find_spec(MODULES.get(name, name)) is None)


def need(*purposes: str) -> None:
    """Raise BadInput, saying what to install, unless all packages of these purposes are there."""
    for key in purposes:
        if absent := missing(key):
            purpose = PURPOSES[key]
            several = len(absent) > 1
            words = ("packages", "are") if several else ("package", "is")
            raise BadInput(
                f"{purpose.what} needs the {words[0]} {', '.join(absent)}, which {words[1]} not installed.",
                install_hint(purpose.extra, absent),
            )


def install_hint(extra: str, packages: tuple[str, ...] = ()) -> str:
    """How to install an extra: from what this package was installed from, where that is known and still there.

    Args:
        packages: what it is about, named where the source is not known.
    """
    source = installed_from()
    if source:
        name, at, address = source.partition(" @ ")
        return f'Install it: pip install "{name}[{extra}]{at}{address}"'
    alone = f", or: pip install {' '.join(packages)}" if packages else ""
    return f"Install the extra {extra} of the folder backend/ of the Rep3D repository{alone}"


def installed_from() -> str | None:
    """What pip takes to install this package again: a folder, a wheel, or the address of a repository; None if unknown.

    A copy of the package that runs without being installed, as in 3D Slicer, has none.
    """
    project = PACKAGE.parent / "pyproject.toml"
    if project.is_file() and 'name = "rep3d"' in project.read_text(encoding="utf-8"):
        return str(project.parent)
    from importlib import metadata  # 20 ms, for a hint alone

    try:
        found = metadata.distribution("rep3d")
    except metadata.PackageNotFoundError:
        return None
    if Path(str(found.locate_file("rep3d"))).resolve() != PACKAGE:
        return None  # another copy is installed
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return None
    url = origin.get("url", "")
    if "vcs_info" in origin:
        info, below = origin["vcs_info"], origin.get("subdirectory")
        part = f"#subdirectory={below}" if below else ""
        return f"rep3d @ {info.get('vcs')}+{url}@{info.get('commit_id')}{part}"
    parts = urlsplit(url)
    if parts.scheme != "file":
        return f"rep3d @ {url}" if url else None
    path = Path(url2pathname(unquote(parts.path) if "%" in parts.path else parts.path))
    return str(path) if path.exists() else None
