"""A measurement in a process of its own: its peak memory is its own, and one that takes too much is ended in time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLL_S = 0.1


class TooMuchMemory(RuntimeError):
    """The child took more than it was allowed; ``gigabytes`` is what it held when it was ended."""

    def __init__(self, gigabytes: float):
        super().__init__(f"ended at {gigabytes:.1f} GB")
        self.gigabytes = gigabytes


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":  # of this program alone; ru_maxrss begins with that of the process that started it
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run_child(script: str | Path, arguments: dict, limit_bytes: float | None = None) -> dict:
    """``python script --child JSON``: the JSON object in the last line that it prints.

    Raises:
        TooMuchMemory: its resident memory passed ``limit_bytes``, looked at ten times a second.
        RuntimeError: it failed; the message is what it wrote to standard error.
    """
    import psutil

    command = [sys.executable, str(script), "--child", json.dumps(arguments)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        with subprocess.Popen(command, stdout=out, stderr=err) as child:
            watched = psutil.Process(child.pid)
            while child.poll() is None:
                try:
                    held = watched.memory_info().rss
                except psutil.NoSuchProcess:
                    held = 0
                if limit_bytes is not None and held > limit_bytes:
                    child.kill()
                    child.wait()
                    raise TooMuchMemory(held / 1e9)
                time.sleep(POLL_S)
        out.seek(0), err.seek(0)
        if child.returncode:
            raise RuntimeError(err.read())
        return json.loads(out.read().splitlines()[-1])
