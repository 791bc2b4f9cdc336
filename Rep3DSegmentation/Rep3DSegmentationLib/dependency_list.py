"""What Rep3D needs in Slicer's Python to segment, how large it is, and which packages must never change."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
"""Versions that the packages below are installed in; ships with the module."""

LIGHT_THE_TORCH = "light-the-torch>=0.5"
"""What the PyTorch extension itself installs PyTorch with (its own requirement)."""


@dataclass(frozen=True)
class Need:
    """One package: its name on PyPI, the versions that do, the module it brings, its download in MB."""

    name: str
    spec: str
    module: str
    size_mb: float


NEEDS = (
    Need("torch", ">=2.6", "torch", 0.0),  # its size depends on the build: see torch_size_mb
    Need("monai", ">=1.5", "monai", 2.7),
    Need("numpy", ">=1.26", "numpy", 18.0),
    Need("scipy", ">=1.11", "scipy", 38.0),
    Need("SimpleITK", ">=2.4", "SimpleITK", 53.0),
    Need("pydicom", ">=3", "pydicom", 2.4),
    Need("safetensors", ">=0.4.5", "safetensors", 0.5),
    Need("pyyaml", ">=6", "yaml", 0.8),
    Need("typer", ">=0.12", "typer", 3.1),
    Need("rich", ">=13", "rich", 1.7),
    Need("platformdirs", ">=4", "platformdirs", 0.1),
    Need("psutil", ">=5.9", "psutil", 0.3),
)
"""The same list as `dependencies` in backend/pyproject.toml; a test compares them."""

PROTECTED = frozenset(
    {
        "numpy",
        "scipy",
        "simpleitk",
        "vtk",
        "slicer-core",
        "pydicom",
        "highdicom",
        "dicomweb-client",
        "pillow",
        "requests",
        "pip",
        "torch",
        "torchvision",
        "torchaudio",
    }
)
"""Packages that Slicer brings or that other extensions share: once there, never another version."""


def torch_size_mb(index_url: str | None = None, *, chosen_for_hardware: bool = False) -> float:
    """About how much is downloaded for torch and what it pulls in.

    A build with CUDA brings NVIDIA's libraries: 2.6 GB for torch 2.15. PyPI's Linux build is such a one, PyPI's builds
    for Windows and macOS are for the CPU (and Apple's GPU).

    Args:
        index_url: package index that torch comes from, None for pip's own setting.
        chosen_for_hardware: the build is picked for this computer (by the PyTorch extension).
    """
    cuda_mb, cpu_mb = 2600.0, 230.0
    if sys.platform == "darwin":
        return 100.0
    if index_url is not None:
        tail = index_url.rstrip("/").rsplit("/", 1)[-1].lower()
        if tail == "cpu":
            return cpu_mb
        if tail.startswith(("cu", "rocm")):
            return cuda_mb
    if chosen_for_hardware:
        return cuda_mb if shutil.which("nvidia-smi") else cpu_mb
    return cuda_mb if sys.platform == "linux" and platform.machine() == "x86_64" else cpu_mb
