"""The programs of an installed Slicer: ``PythonSlicer`` on the PATH, and the application itself.

In the application ``sys.executable`` is Slicer, not a Python interpreter: whoever starts it to run Python code opens
a second Slicer. Here it is a program that refuses, and whose start is an error of the test.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PYTHON = sys.executable
"""The interpreter of the tests."""
_REFUSAL = 'echo "Slicer itself was started instead of PythonSlicer: $*" | tee -a "{log}" >&2\nexit 70\n'


class Programs:
    """Writes the programs into a folder; ``enter()`` and ``leave()`` put them where the application has them."""

    def __init__(self, home: Path) -> None:
        self._folder, self._log = home / "bin", home / "started-itself.txt"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._application = self._write("SlicerApp-real", _REFUSAL.format(log=self._log))
        self._write("PythonSlicer", f'exec "{PYTHON}" "$@"\n')
        self._path = ""

    def _write(self, name: str, commands: str) -> str:
        program = self._folder / name
        program.write_text(f"#!/bin/sh\n{commands}", encoding="utf-8")
        program.chmod(0o755)
        return str(program)

    def enter(self) -> None:
        self._path = os.environ.get("PATH", "")
        os.environ["PATH"] = f"{self._folder}{os.pathsep}{self._path}"
        sys.executable = self._application

    def leave(self) -> None:
        """Undo ``enter()``, so that other tests of this process find their Python; complain of what was started."""
        os.environ["PATH"] = self._path
        sys.executable = PYTHON
        if self._log.exists():
            from . import errors

            errors.log.complain("sys.executable", self._log.read_text(encoding="utf-8").strip())
            self._log.unlink()
