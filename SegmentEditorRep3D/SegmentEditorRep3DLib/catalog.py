"""Tasks, weights and devices of the worker, asked for once and shared by every editor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.session import get_client
from Rep3DSegmentationWidgets.state import Catalog


class CatalogStore:
    """``catalog`` is None until the worker has answered; ``error`` says why it did not.

    Nothing here waits: the answers come while somebody polls the client. Listeners are called after each change.
    """

    def __init__(self) -> None:
        self.catalog: Catalog | None = None
        self.error: WorkerError | None = None
        self.loading = False
        self._listeners: list[Callable[[], None]] = []
        self._answers: dict[str, dict[str, Any]] = {}

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called after each change."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def leave(self, listener: Callable[[], None]) -> None:
        """No longer call ``listener``; harmless if it was not."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def load(self) -> None:
        """Ask the worker, starting it when needed; again, because weights may have been added. Keeps what is known."""
        if self.loading:
            return
        self.loading, self.error, self._answers = True, None, {}
        try:
            for method in ("hello", "tasks", "models"):
                get_client().request(
                    method, None, on_result=lambda answer, name=method: self._take(name, answer), on_error=self._fail
                )
        except WorkerError as error:
            self._fail(error)
        self._tell()

    def _take(self, method: str, answer: dict[str, Any]) -> None:
        if not self.loading:
            return
        self._answers[method] = answer
        if len(self._answers) < 3:
            return
        models = self._answers["models"]
        self.catalog = Catalog(
            self._answers["hello"],
            tuple(self._answers["tasks"]["tasks"]),
            tuple(models["weights"]),
            tuple(models.get("available", ())),
        )
        self.loading = False
        self._tell()

    def _fail(self, error: WorkerError) -> None:
        if self.loading:
            self.loading, self.error = False, error
            self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()


_store: CatalogStore | None = None


def get_catalog() -> CatalogStore:
    """The application's store."""
    global _store
    if _store is None:
        _store = CatalogStore()
    return _store


def default_task(catalog: Catalog, module_task: str) -> str:
    """The task to begin with: that of the module's panel if it has weights, else the only one that has, else ""."""
    usable = [task["key"] for task in catalog.tasks if (task.get("weights") or {}).get("path")]
    if module_task in usable:
        return module_task
    return usable[0] if len(usable) == 1 else ""


def demo_only(catalog: Catalog | None, task: str, weights: str) -> bool:
    """Are the weights that are chosen (a path, "" for the task's own) for trying the software alone?"""
    if catalog is None:
        return False
    path = weights or ((catalog.task(task) or {}).get("weights") or {}).get("path")
    return any(row.get("demo_only") for row in catalog.weights if path and row.get("path") == path)
