"""What Rep3D needs in Slicer's Python to segment, how large it is, and which packages must never change."""

from __future__ import annotations

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
    Need("torch", ">=2.6", "torch", 0.0),  # its size depends on the build: torch_builds
    Need("numpy", ">=1.26", "numpy", 18.0),
    Need("scipy", ">=1.11", "scipy", 38.0),
    Need("SimpleITK", ">=2.4", "SimpleITK", 53.0),
    Need("safetensors", ">=0.4.5", "safetensors", 0.5),
    Need("pyyaml", ">=6", "yaml", 0.8),
    Need("typer", ">=0.12", "typer", 3.1),
    Need("rich", ">=13", "rich", 1.7),
    Need("platformdirs", ">=4", "platformdirs", 0.1),
    Need("psutil", ">=5.9", "psutil", 0.3),
)
"""The list `dependencies` of backend/pyproject.toml without pydicom, which every Slicer brings (5.10: 2.4.4)."""

OPENVINO = Need("openvino", ">=2025.2", "openvino", 60.0)
"""Runs the networks several times faster on processors: the extra `cpu` of backend/pyproject.toml."""

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
        "torch",
        "torchvision",
        "torchaudio",
    }
)
"""Packages that Slicer brings or that other extensions share: once there, never another version."""

FREE = frozenset({"pip", "setuptools", "wheel"})
"""Tools that Slicer does not run on. Never pinned: PyTorch's installer and some of its releases want older ones.

light-the-torch 0.8.1 needs pip below 26.1, torch 2.11 and 2.12 need setuptools below 82; Slicer 5.12 brings pip 26.1.1
and setuptools 82.0.1.
"""
