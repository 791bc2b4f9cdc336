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
    "models": "rep3d.worker.weights:models",
    "inspect": "rep3d.worker.weights:inspect",
    "import_weights": "rep3d.worker.weights:import_weights",
    "remove_weights": "rep3d.worker.weights:remove_weights",
    "download_weights": "rep3d.worker.weights:download_weights",
    "estimate": "rep3d.worker.estimate:estimate",
    "segment": "rep3d.worker.segment:segment",
    "segment_files": "rep3d.worker.segment_files:segment_files",
    "masks": "rep3d.worker.explain:masks",
    "erf": "rep3d.worker.explain:erf",
    "open": "rep3d.worker.click:open_volume",
    "prepare": "rep3d.worker.click:prepare",
    "window": "rep3d.worker.click:window",
    "forget": "rep3d.worker.click:forget",
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
