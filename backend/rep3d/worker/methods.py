"""From the name of a method to the function that does it; the heavy imports happen at the first call, not before."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rep3d.files import check_path
from rep3d.worker import params
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
#: Methods that compute with the network. A device that computes wrongly is refused before they begin.
COMPUTING = ("estimate", "segment", "segment_files", "masks", "erf", "prepare", "window")
#: What inference imports, by module name. Looked for; only the first is imported at once, to see whether it loads.
PACKAGES = ("torch", "numpy", "scipy", "SimpleITK", "safetensors", "yaml", "platformdirs", "psutil")


class MethodTable:
    """Calls methods by name and keeps what they share: the model that stays warm."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._models: WarmModels | None = None

    def call(self, job: Job) -> dict[str, Any]:
        """The result of the job's method.

        Raises:
            BadInput: a path of a pipe, a device or the like. DependencyMissing: before anything else where packages
                are missing. DeviceUnsound: the job's device computes wrongly in its precision.
        """
        for path in params.paths(job.method, job.params):
            check_path(path)
        models = self._load()
        if job.method in COMPUTING:
            check_arithmetic(job.method, job.params)
        module, name = FUNCTIONS[job.method].split(":")
        return getattr(importlib.import_module(module), name)(job, models)

    def idle(self) -> None:
        """Nobody waits: import what the first segmentation imports, and check the device that it will probably use.

        What goes wrong here is left to the request that needs it, whose answer then says so.
        """
        try:
            self._load()
            importlib.import_module("rep3d.worker.segment")
            importlib.import_module("rep3d.networks")
            check_arithmetic("segment", {"device": "auto", "precision": "auto"})
        except Exception as error:
            print(f"rep3d.worker: getting ready: {type(error).__name__}: {error}", file=sys.stderr)

    def _load(self) -> WarmModels:
        if self._models is None:
            check_packages()
            from rep3d.worker.warm import WarmModels

            self._models = WarmModels()
        return self._models

    def unload(self) -> None:
        """Drop the model, its spectra and what the GPU's allocator holds back."""
        if self._models is not None:
            self._models.unload()


def check_arithmetic(method: str, params: dict[str, Any]) -> None:
    """Raise DeviceUnsound where the device of these params computes wrongly; a check of each kind is made once.

    ``masks`` names no device: it computes on the CPU. ``erf`` names no precision: it is float32, with gradients.
    """
    from rep3d import conformance
    from rep3d.inference.devices import resolve_device, resolve_precision

    device = resolve_device(params.get("device", "cpu"))
    precision = resolve_precision(params.get("precision", "float32"), device)
    conformance.require(device, precision, gradients=method == "erf")


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
