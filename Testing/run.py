"""All tests in two processes side by side, which two cores finish in about half the time: ``make test``.

The backend's tests are one half; those of the extension and of whole programs, which share one scene and one order
(Testing/conftest.py), the other. Arguments go to both (``-k fuse``). The first half is shown while it runs, the second
afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIRST = ("backend",)
NONE_COLLECTED = 5  # pytest's exit code when no test fits the arguments


def main(arguments: list[str]) -> int:
    """Exit code: 0 if both halves pass (one of them may hold no test that fits), else that of the first that fails."""
    rest = sorted(p.name for p in HERE.iterdir() if p.is_dir() and list(p.rglob("test_*.py")) and p.name not in FIRST)
    if any(a.split("::")[0].endswith(".py") for a in arguments):  # files are named: just these
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}

    def start(folders, cache: str, output=None) -> subprocess.Popen:
        command = [sys.executable, "-m", "pytest", *(str(HERE / f) for f in folders), "-o", f"cache_dir={cache}"]
        return subprocess.Popen([*command, *arguments], env=environment, stdout=output, stderr=output)

    with tempfile.TemporaryFile() as held:
        second = start(rest, ".pytest_cache/second", held)
        first = start(FIRST, ".pytest_cache/first")
        try:
            codes = [first.wait(), second.wait()]
        except KeyboardInterrupt:
            for process in (first, second):
                process.terminate()
                process.wait()
            return 130
        held.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(held.read())
        sys.stdout.flush()
    real = [code for code in codes if code != NONE_COLLECTED]
    return next((code for code in real if code), 0) if real else NONE_COLLECTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
