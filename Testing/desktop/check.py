"""Try Rep3D in a real 3D Slicer, from the installed module to a click in the Segment Editor, and note what worked.

    Slicer --python-script Testing/desktop/check.py [--install-from FOLDER] [--scan FILE --task KEY] [-o FOLDER]

Writes ``desktop-check/`` with a picture a step and ``desktop-check.json`` (each step: name, passed, message, seconds),
then leaves Slicer with exit code 0, or 1 when a step failed. Uses what a user sees: buttons by their names, the
parameter node for choices, the mouse in a slice view.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import slicer
from hands import StepFailed
from steps import Steps

TASK = "phantom-abdomen"  # of the generated scan


@dataclass(frozen=True)
class Step:
    """What came of one step; ``message`` is empty or says what was seen, or why it failed."""

    name: str
    passed: bool
    message: str
    seconds: float


class Report:
    """Runs steps and writes down after each what came of it: a crash of Slicer leaves what was known."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.steps: list[Step] = []
        self.errors: list[str] = []  # exceptions in slots and observers, which no caller catches
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def passed(self) -> bool:
        return all(step.passed for step in self.steps)

    def run(self, steps: list[Callable[[], str]]) -> None:
        """All of them, whatever becomes of one."""
        before, sys.excepthook = sys.excepthook, self._on_exception
        try:
            for step in steps:
                self._do(step)
        finally:
            sys.excepthook = before

    def picture(self, name: str) -> None:
        """Of the main window, if there is one."""
        window = slicer.util.mainWindow()
        slicer.app.processEvents()
        if window is not None:
            window.grab().save(str(self.folder / f"{len(self.steps):02d}_{name}.png"))

    def _do(self, step: Callable[[], str]) -> None:
        name, start, seen = step.__name__, time.monotonic(), len(self.errors)
        try:
            message, passed = step(), True
            slicer.app.processEvents()
        except StepFailed as error:
            message, passed = str(error), False
        except Exception:  # whatever it is, it is the step's result, and the next one is tried
            message, passed = traceback.format_exc(), False
        if len(self.errors) > seen:
            message, passed = "\n".join([message, *self.errors[seen:]]), False
        self.steps.append(Step(name, passed, message, round(time.monotonic() - start, 2)))
        print(f"{'passed' if passed else 'FAILED'}  {name}  {message}", flush=True)
        self.picture(name)
        self._write()

    def _on_exception(self, kind: type, error: BaseException, trace: Any) -> None:
        self.errors.append("".join(traceback.format_exception(kind, error, trace)))

    def _write(self) -> None:
        application = f"{slicer.app.applicationName} {slicer.app.applicationVersion}"
        report = {
            "application": application,
            "system": platform.platform(),
            "python": platform.python_version(),
            "passed": self.passed,
            "steps": [asdict(step) for step in self.steps],
        }
        text = json.dumps(report, indent=2)
        (self.folder / "desktop-check.json").write_text(text + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Run the check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__.splitlines()[0])
    parser.add_argument("--install-from", metavar="FOLDER", help="the extension's folder: installed, or a checkout")
    parser.add_argument("--scan", metavar="FILE", help="a scan to segment instead of the generated phantom")
    parser.add_argument("--task", default=TASK, help="key of the task (default: %(default)s)")
    parser.add_argument("-o", "--output", default="desktop-check", metavar="FOLDER", help="default: %(default)s")
    options = parser.parse_args(arguments)
    report = Report(Path(options.output))
    report.run(Steps(options.task, options.install_from, options.scan, report.picture).all())
    return 0 if report.passed else 1


if __name__ == "__main__":
    slicer.util.exit(main(sys.argv[1:]))
