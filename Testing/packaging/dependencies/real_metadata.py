"""What real packages ask for, as their own metadata says, and what Slicer brings: frozen, for tests without a network.

`registry/packages.json` holds name, version and requirements (without those of extras) of wheels for Python 3.12 from
PyPI, and of torch's build for processors from the PyTorch index. `registry/slicer.json` holds what Slicer 5.10.0 and
5.12.3 pin in SuperBuild/External_python-*.cmake. The wheels that tests install have this metadata and hardly a file.

    python real_metadata.py NAME==VERSION ...    downloads the wheels and prints their lines for packages.json
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

REGISTRY = Path(__file__).with_name("registry")
SLICER_PYTHON = {
    "python_version": "3.12",
    "python_full_version": "3.12.10",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "sys_platform": "linux",
    "extra": "",
}
#: NVIDIA's libraries and Triton, which torch's builds for GPUs pull in: 2 GB, and nothing of Slicer's depends on them.
OF_GPU_BUILDS = ("nvidia-", "cuda-", "triton")
#: Modules by the name of their package, where tests look for one.
MODULES = {
    "pyyaml": "yaml",
    "simpleitk": "SimpleITK",
    **dict.fromkeys(
        ("torch", "numpy", "scipy", "safetensors", "typer", "rich", "platformdirs", "psutil", "openvino"), ""
    ),
}


def packages() -> list[tuple[str, str, list[str]]]:
    """(name, version, requirements in Slicer's Python) of every frozen package."""
    entries = json.loads((REGISTRY / "packages.json").read_text(encoding="utf-8"))
    return [(entry["name"], entry["version"], in_slicer(entry["requires_dist"])) for entry in entries]


def slicer_pins(version: str) -> dict[str, str]:
    """{name: version} of what a Slicer brings with metadata; SimpleITK 2.5.2 of Slicer 5.10 comes without."""
    return json.loads((REGISTRY / "slicer.json").read_text(encoding="utf-8"))[version]


def in_slicer(requirements: list[str]) -> list[str]:
    """Requirements that hold in Slicer's Python, their conditions worked out.

    pip would work them out for the Python that runs the tests.
    """
    kept = []
    for text in requirements:
        item = Requirement(text)
        if item.name.startswith(OF_GPU_BUILDS) or (item.marker and not item.marker.evaluate(SLICER_PYTHON)):
            continue
        extras = f"[{','.join(sorted(item.extras))}]" if item.extras else ""
        kept.append(f"{item.name}{extras}{item.specifier}")
    return kept


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    requires: list[str] = (),
    module: str | None = "",
    files: dict[str, str] | None = None,
) -> Path:
    """A pure-Python wheel with one module, named like the package ("") or not at all (None); `files` adds files."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    contents = {
        f"{stem}.dist-info/METADATA": metadata + "".join(f"Requires-Dist: {item}\n" for item in requires),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if module is not None:
        contents[f"{module or name.replace('-', '_')}/__init__.py"] = f"__version__ = '{version}'\n"
    contents |= files or {}
    record = f"{stem}.dist-info/RECORD"
    contents[record] = "".join(f"{path},,\n" for path in [*contents, record])
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in contents.items():
            archive.writestr(inside, text)
    return path


def write_real_wheel(folder: Path, name: str, version: str, requires: list[str]) -> Path:
    """A wheel with a real package's metadata."""
    return write_wheel(folder, name, version, requires, MODULES.get(name.lower()))


def _read_anew(requirements: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--no-deps", "--python-version", "3.12", "--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "install", *options, "--target", folder, "--report", str(report)]
        subprocess.run([*command, *requirements], check=True)
        for item in json.loads(report.read_text(encoding="utf-8"))["install"]:
            found = item["metadata"]
            asked = [text for text in found.get("requires_dist", []) if "extra ==" not in text]
            print(json.dumps({"name": found["name"], "version": found["version"], "requires_dist": asked}) + ",")


if __name__ == "__main__":
    _read_anew(sys.argv[1:])
