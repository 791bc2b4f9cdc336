"""What it takes to start a worker: the interpreter, its environment, the private folder."""

from __future__ import annotations

import os
from pathlib import Path

from .backend_location import backend_folder, worker_module
from .child import Child
from .errors import WorkerError
from .i18n import _


def launch(python: str | None, variables: dict[str, str]) -> Child:
    """Start ``python -m rep3d.worker``; returns at once.

    Args:
        python: the interpreter; default: Slicer's ``PythonSlicer`` on PATH, else this one.
        variables: set for the worker on top of this process's environment.

    Raises WorkerError: worker_unavailable (no interpreter, no backend), output_failed (no temporary folder).
    """
    backend = backend_folder({**os.environ, **variables})
    python = python or find_python()
    folders, protocol = worker_module("folder"), worker_module("protocol")
    folders.sweep_stale_folders()
    try:
        folder = folders.make_private_folder()
    except OSError as error:
        raise WorkerError(
            "output_failed",
            _("No private temporary folder could be made: {error}").format(error=error),
            _("Free space on the disk of the temporary folder, or {other}.").format(other=other_temporary_folder()),
        ) from error
    command = [python, "-m", "rep3d.worker", "--folder", str(folder), "--parent", str(os.getpid())]
    try:
        # The backend is the working folder: Python before 3.11 looks there first, so that a file called "torch.py" in
        # the user's own folder does no harm, and the private folder can be removed on Windows.
        return Child(command, _environment(backend, variables), folder, backend, protocol)
    except OSError as error:
        folders.remove_folder(folder)
        raise WorkerError(
            "worker_unavailable",
            _("{python} could not be started: {error}").format(python=python, error=error),
            _("Check the installation of Slicer; its interpreter is called PythonSlicer."),
        ) from error


def other_temporary_folder() -> str:
    """How to have another temporary folder: Python does not look at Slicer's own setting."""
    return _("let the environment variable {variable} name another one before Slicer starts").format(
        variable="TEMP" if os.name == "nt" else "TMPDIR"
    )


def find_python() -> str:
    """The interpreter for the worker. Raises WorkerError (worker_unavailable)."""
    from .python_environment import slicer_python

    try:
        return slicer_python()
    except FileNotFoundError as error:
        raise WorkerError(
            "worker_unavailable",
            _("The program PythonSlicer was not found on the PATH."),
            _("Start Slicer through its launcher; PythonSlicer is in the bin folder of every installation."),
        ) from error


def _environment(backend: Path, variables: dict[str, str]) -> dict[str, str]:
    environment = {**os.environ, **variables}
    paths = [str(backend), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    # Neither packages of the user's other Pythons nor files of the working folder may mix in; text is UTF-8
    # everywhere; a crash leaves a trace.
    settings = ("PYTHONNOUSERSITE", "PYTHONSAFEPATH", "PYTHONUTF8", "PYTHONFAULTHANDLER")
    return environment | dict.fromkeys(settings, "1")
