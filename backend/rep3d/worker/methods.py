"""From the name of a method to the function that does it; the heavy imports happen at the first call, not before."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rep3d.worker.failures import INSTALL_HINT, DependencyMissing, first_line
from rep3d.worker.job import Job

if TYPE_CHECKING:
    from rep3d.worker.warm import WarmModels

#: Methods that are queued, and where they live: ``function(job, models) -> result``.
FUNCTIONS = {
    "hello": "rep3d.worker.info:hello",
    "tasks": "rep3d.worker.info:tasks",
    "unload": "rep3d.worker.info:unload",
    "segment": "rep3d.worker.segment:segment",
}
#: What inference imports, by module name. Looked for; only the first is imported at once, to see whether it loads.
PACKAGES = ("torch", "numpy", "scipy", "monai", "SimpleITK", "safetensors", "yaml", "platformdirs", "psutil")


class MethodTable:
    """Calls methods by name and keeps what they share: the model that stays warm."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._models: WarmModels | None = None

    def call(self, job: Job) -> dict[str, Any]:
        """The result of the job's method. Raises DependencyMissing before anything else where packages are missing."""
        if self._models is None:
            check_packages()
            from rep3d.worker.warm import WarmModels

            self._models = WarmModels()
        module, name = FUNCTIONS[job.method].split(":")
        return getattr(importlib.import_module(module), name)(job, self._models)

    def unload(self) -> None:
        """Drop the model, its spectra and what the GPU's allocator holds back."""
        if self._models is not None:
            self._models.unload()


def check_packages() -> None:
    """Raise DependencyMissing, naming every package that is missing, or the one that does not load."""
    importlib.invalidate_caches()  # they may have been installed while this process ran
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise DependencyMissing(f"Python packages are missing: {', '.join(missing)}.", INSTALL_HINT)
    for name in ("numpy", "torch"):
        try:
            importlib.import_module(name)
        except Exception as error:  # a missing library of the system is an OSError, a mismatch of versions anything
            raise DependencyMissing(
                f"The package {name} does not load: {type(error).__name__}: {first_line(error)}", INSTALL_HINT
            ) from error
