"""Find the folder that holds the Python package ``rep3d``, without importing anything heavy."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from .errors import WorkerError
from .i18n import _

VARIABLE = "REP3D_BACKEND"


def backend_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The folder to put on PYTHONPATH, so that ``import rep3d`` works.

    In this order: the environment variable REP3D_BACKEND; ``Rep3DBackend`` next to this package (an installed
    extension); ``backend`` in the repository (a source checkout). Raises WorkerError (worker_unavailable).
    """
    named = (os.environ if environment is None else environment).get(VARIABLE, "")
    if named:
        folder = Path(named).expanduser().resolve()
        if not _holds_package(folder):
            raise WorkerError(
                "worker_unavailable",
                _("The folder {folder} named by {variable} does not hold the package rep3d.").format(
                    folder=folder, variable=VARIABLE
                ),
                _("Correct the environment variable, or remove it to use the one that came with the extension."),
            )
        return folder
    module_folder = Path(__file__).resolve().parent.parent
    candidates = (module_folder / "Rep3DBackend", module_folder.parent / "backend")
    for folder in candidates:
        if _holds_package(folder):
            return folder
    raise WorkerError(
        "worker_unavailable",
        _("The package rep3d was not found in {folders}.").format(folders=", ".join(map(str, candidates))),
        _("Install the extension again, or set the environment variable {variable}.").format(variable=VARIABLE),
    )


def backend_module(name: str) -> ModuleType:
    """A module of ``rep3d`` that needs numpy and the standard library only, such as ``probability_map``.

    Raises WorkerError (worker_unavailable).
    """
    folder = str(backend_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # before a copy of another version that someone installed with pip
    return importlib.import_module(f"rep3d.{name}")


def worker_module(name: str) -> ModuleType:
    """A module of ``rep3d.worker`` that needs the standard library only: ``protocol`` or ``folder``.

    Raises WorkerError (worker_unavailable).
    """
    return backend_module(f"worker.{name}")


def _holds_package(folder: Path) -> bool:
    return (folder / "rep3d" / "__init__.py").is_file()
