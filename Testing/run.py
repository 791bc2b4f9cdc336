"""All tests in two lanes side by side, which two cores finish in about half the time: ``make test``.

The first lane is most of the backend's tests. The second is those of the extension and of whole programs, which share a
scene and an order (Testing/conftest.py), and after them, in a process of their own, what is left of the backend's.
Arguments go to all (``-k fuse``, ``-m "not slow"``). The first lane is shown while it runs, the second afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
#: Folders of the backend's tests that the second lane takes, so that both take about as long.
SECOND = ("training", "contact", "demo")
NONE_COLLECTED = 5  # pytest's exit code when no test fits the arguments


def folders_with_tests(root: Path) -> list[Path]:
    """Folders below ``root`` that hold tests at any depth, sorted."""
    return sorted(p for p in root.iterdir() if p.is_dir() and list(p.rglob("test_*.py")))


def run(folders: list[Path], arguments: list[str], cache: str, output: IO[bytes] | None, started: list) -> int:
    """Exit code of pytest over ``folders``; the process is added to ``started`` while it runs."""
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-m", "pytest", *map(str, folders), "-o", f"cache_dir=.pytest_cache/{cache}"]
    process = subprocess.Popen([*command, *arguments], env=environment, stdout=output, stderr=output)
    started.append(process)
    return process.wait()


def main(arguments: list[str]) -> int:
    """Exit code: 0 if all pass (some may hold no test that fits), else that of the first that fails."""
    if any(a.split("::")[0].endswith(".py") for a in arguments):  # files are named: just these
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    backend = folders_with_tests(HERE / "backend")
    late = [folder for folder in backend if folder.name in SECOND]
    others = [folder for folder in folders_with_tests(HERE) if folder.name != "backend"]
    started: list[subprocess.Popen] = []
    codes: list[int] = []
    with tempfile.TemporaryFile() as held:

        def second() -> None:
            for name, folders in (("second", others), ("third", late)):
                codes.append(run(folders, arguments, name, held, started))

        lane = threading.Thread(target=second, daemon=True)
        lane.start()
        try:
            first = run([folder for folder in backend if folder not in late], arguments, "first", None, started)
            while lane.is_alive():  # an interrupt is noticed here too
                lane.join(1)
        except KeyboardInterrupt:
            for process in started:
                process.terminate()
            return 130
        held.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(held.read())
        sys.stdout.flush()
    real = [code for code in (first, *codes) if code != NONE_COLLECTED]
    return next((code for code in real if code), 0) if real else NONE_COLLECTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
