"""Where a result came from: program, environment and command, so that somebody else can check it."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from rep3d import __version__

PACKAGE = Path(__file__).parent
#: Packages whose versions can change a number.
PACKAGES = ("torch", "monai", "numpy", "scipy", "SimpleITK")


def environment() -> dict[str, Any]:
    """What the numbers were computed with, JSON-able.

    Keys: python, torch, monai, numpy, scipy, SimpleITK (versions; None where a package is not installed), platform,
    cpu (model), cpu_features (the vector instructions that torch uses), threads (of torch), processors (logical),
    gpus (names; [] without CUDA).
    """
    import torch

    versions = {name: _version(name) for name in PACKAGES} | {"torch": str(torch.__version__)}
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "gpus": gpus,
    }


@functools.cache
def code_sha256() -> str:
    """SHA-256 over the package's .py files: relative POSIX path and content of each, in the paths' order.

    Line ends count as LF, so that a checkout on Windows has the same value.
    """
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda p: p.relative_to(PACKAGE).as_posix()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def command_line() -> str:
    """The command of this process as one would type it in a POSIX shell, the program without its folder."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join(["rep3d" if program in ("cli.py", "__main__.py") else program, *sys.argv[1:]])


def provenance(**hashes: str | None) -> dict[str, Any]:
    """What every result file carries: created (UTC), rep3d_version, code_sha256, command, environment, hashes.

    Args:
        hashes: name -> SHA-256 of what went in, such as ``weights=...``, ``data=...``; None where there is none.
    """
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rep3d_version": __version__,
        "code_sha256": code_sha256(),
        "command": command_line(),
        "environment": environment(),
        "hashes": dict(hashes),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")  # Linux alone has it; there platform.processor() is empty
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
