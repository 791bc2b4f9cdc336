"""The builds of PyTorch that this computer can have: for which hardware, how large, from where, or why none."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from typing import Literal

from .i18n import _

Build = Literal["auto", "cpu", "gpu"]

INDEX = "https://download.pytorch.org/whl"
CPU_INDEX = f"{INDEX}/cpu"

GPU_MB = 2600.0
"""torch 2.15 for CUDA with NVIDIA's libraries, on Linux."""
CPU_MB = 200.0
"""torch 2.13 (192 MB on Linux) and 2.15 (127 MB on Windows), and what they pull in (sympy, networkx, ...)."""
APPLE_MB = 150.0


@dataclass(frozen=True)
class TorchBuild:
    """One build that the user may choose.

    Args:
        key: "cpu" or "gpu".
        title: name of it for people.
        size_mb: about how much is downloaded, all that it pulls in included.
        recommended: it is what "auto" takes.
        problem: why it cannot be had here and what to do; empty if it can.
    """

    key: Build
    title: str
    size_mb: float
    recommended: bool
    problem: str = ""


def builds() -> tuple[TorchBuild, ...]:
    """Builds to choose from on this computer, the recommended one first; a single one where there is no choice."""
    if sys.platform == "darwin":
        title = _("PyTorch for this Mac")
        return (TorchBuild("cpu", title, APPLE_MB, True, no_torch_here()),)
    gpu = nvidia_driver_present()
    found = (
        TorchBuild("gpu", _("PyTorch for NVIDIA GPUs"), GPU_MB, gpu, _gpu_problem()),
        TorchBuild("cpu", _("PyTorch for the processor"), CPU_MB, not gpu),
    )
    return found if gpu else found[::-1]


def chosen_build(build: Build) -> TorchBuild:
    """The build of a key; "auto" is the recommended one. Raises ValueError for an unknown key.

    On macOS there is one build, for the processor and Apple's GPU: every key means that one.
    """
    if build not in ("auto", "cpu", "gpu"):
        raise ValueError(f"build is auto, cpu or gpu, not {build!r}")
    found = builds()
    if build == "auto" or len(found) == 1:
        return found[0]
    return next(item for item in found if item.key == build)


def no_torch_here() -> str:
    """Why no PyTorch that Rep3D can use exists for this computer; empty where one does.

    PyTorch's last release for Macs with an Intel processor is 2.2.2; under Rosetta Slicer counts as one of them.
    """
    if sys.platform != "darwin" or platform.machine() != "x86_64":
        return ""
    return _(
        "There is no PyTorch for this Slicer: it runs as a program for Intel Macs (on an Intel processor, or under "
        "Rosetta on Apple silicon), for which PyTorch ends with 2.2.2; Rep3D needs 2.6. Nothing was downloaded. What "
        "works: a Slicer built for Apple silicon (arm64); Slicer with Rep3D on Windows or Linux; or the command "
        "`rep3d segment` on another computer, whose result (.seg.nrrd) opens in this Slicer."
    )


def pytorch_utils_present() -> bool:
    """True if the PyTorch extension is installed; it finds the build for NVIDIA GPUs that fits the driver."""
    return "PyTorchUtils" in sys.modules or importlib.util.find_spec("PyTorchUtils") is not None


def nvidia_driver_present() -> bool:
    """True if NVIDIA's driver is installed; it brings this program on Windows and Linux."""
    return shutil.which("nvidia-smi") is not None


def gpu_expected() -> bool:
    """True if PyTorch finds a GPU here, as far as can be known without it: NVIDIA's driver, or a Mac's own."""
    return sys.platform == "darwin" or nvidia_driver_present()


def size_from_index(index_url: str) -> float:
    """About how many MB come from an index of PyTorch builds: .../whl/cpu, .../whl/cu126, .../whl/rocm6.4."""
    if sys.platform == "darwin":
        return APPLE_MB
    return CPU_MB if index_url.rstrip("/").rsplit("/", 1)[-1].lower() == "cpu" else GPU_MB


def index_of(build: TorchBuild) -> str | None:
    """Package index of a build where pip's own setting does not have it; None: pip's own.

    What PyPI has is for the processor on Windows and macOS, and for NVIDIA GPUs on Linux.
    """
    return CPU_INDEX if build.key == "cpu" and sys.platform == "linux" else None


def _gpu_problem() -> str:
    if pytorch_utils_present() or (sys.platform == "linux" and platform.machine() == "x86_64"):
        return ""
    return _(
        "The build of PyTorch for NVIDIA GPUs is chosen by the extension PyTorch, which is not there: install it in "
        "the Extensions Manager and restart Slicer, or give the index that fits your driver ({example})."
    ).format(example=f"{INDEX}/cu128")
