"""The model that stays in memory between requests, so that a second segmentation starts at once."""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from rep3d.errors import BadInput, WeightsInvalid
from rep3d.ops.spectra import clear_spectrum_cache
from rep3d.tasks import load_task
from rep3d.weights import Weights, find_weights, load_weights
from rep3d.worker.job import Job
from rep3d.worker.open_volumes import OpenVolumes

_TASK_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


@dataclass(frozen=True)
class WarmModel:
    """Weights and the network that was built from them; ``cached`` if it was there already."""

    weights: Weights
    network: nn.Module
    cached: bool


class WarmModels:
    """Keeps the last weights and their network. One set is kept: most machines have no memory for two."""

    def __init__(self) -> None:
        self._file: tuple[str, int, int] | None = None  # path, size, time of change
        self._weights: Weights | None = None
        self._network: nn.Module | None = None
        self.open_volumes = OpenVolumes()

    def weights(self, task: str | None, path: str | None) -> Weights:
        """The checked weights of that file, or those installed for the task; read again only if the file changed.

        Raises:
            BadInput: no such task. WeightsMissing, WeightsInvalid: no file, an unusable one, or one of another task.
        """
        file = locate(task, path)
        key = file_state(file)
        if key is None or key != self._file or self._weights is None:
            if self._weights is not None:
                self.unload()
            self._weights = load_weights(file)
            self._file = key
        trained_for = self._weights.meta.task.key
        if task is not None and trained_for != task:
            raise WeightsInvalid(
                f"The weights {file.name} were trained for task {trained_for!r}, not for {task!r}.",
                f"Choose the task {trained_for!r}, or weights that were trained for {task!r}.",
            )
        return self._weights

    def model(self, task: str | None, path: str | None, job: Job) -> WarmModel:
        """The network of those weights, ready to run. Raises what :meth:`weights` raises."""
        weights = self.weights(task, path)
        cached = self._network is not None
        if self._network is None:
            job.progress(0.0, "loading the network")
            self._network = weights.build_network()
        return WarmModel(weights, self._network, cached)

    def unload(self) -> None:
        """Forget weights, network and spectra, and give the GPU's memory back."""
        self._file = self._weights = self._network = None
        clear_spectrum_cache()
        gc.collect()
        if torch.cuda.is_available():
            try:
                torch.cuda.empty_cache()
            except RuntimeError as error:  # the GPU is gone: nothing to give back
                print(f"rep3d.worker: {error}")


def locate(task: str | None, path: str | None) -> Path:
    """The weights file that is meant: ``path``, or the one installed for ``task``.

    Raises:
        BadInput: no such task. WeightsMissing: nothing is installed for it.
    """
    if path is not None:
        return Path(path)
    if task is None or not _TASK_KEY.match(task):
        raise BadInput(f"{task!r} is not the key of a task.", "The method `tasks` lists them.")
    try:
        return find_weights(task)
    except Exception:
        load_task(task)  # rather say that there is no such task, if that is so
        raise


def file_state(path: Path) -> tuple[str, int, int] | None:
    """What tells a file from a changed one; None if it cannot be seen."""
    try:
        info = path.stat()
    except OSError:
        return None
    return str(path.resolve()), info.st_size, info.st_mtime_ns
