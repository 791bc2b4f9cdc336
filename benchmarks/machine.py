"""The machine that a benchmark ran on, for its JSON."""

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path

import torch


def load_average() -> list[float] | None:
    """Over 1, 5 and 15 minutes, where the system knows."""
    return [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None


def processor() -> str:
    """Its name as the system knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine() -> dict:
    """Processor, load and versions, and the command that was given."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "logical_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average_at_start": load_average(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
    }
