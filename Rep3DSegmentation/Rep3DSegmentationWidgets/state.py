"""What the panels show. Plain values, no Qt: one place that says what is known, what runs and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Kinds of message, from harmless to serious.
INFO, WARNING, ERROR = "info", "warning", "error"


@dataclass(frozen=True)
class Message:
    """One thing to tell the user, and what can be done about it."""

    level: str
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Job:
    """What runs now. ``kind`` is "segment", "batch", "estimate", "why", "weights", "install" or "sample"; ``fraction``
    None: unknown."""

    kind: str
    stage: str = ""
    fraction: float | None = None
    eta_s: float | None = None
    cancelling: bool = False


@dataclass(frozen=True)
class Catalog:
    """What there is: rows of the worker's answers to ``tasks`` and ``models``, at first as plain files tell them.

    hello: the worker's own answer, None before it has run.
    """

    hello: dict[str, Any] | None
    tasks: tuple[dict[str, Any], ...]
    weights: tuple[dict[str, Any], ...] = ()
    available: tuple[dict[str, Any], ...] = ()

    def task(self, key: str) -> dict[str, Any] | None:
        """The task of that key, or None."""
        return next((task for task in self.tasks if task["key"] == key), None)

    def weights_of(self, task: str) -> list[dict[str, Any]]:
        """Usable weights of a task."""
        return [row for row in self.weights if row.get("task") == task and not row.get("error")]

    def weights_used(self, task: str, path: str = "") -> dict[str, Any] | None:
        """The row of the weights that a run uses: the file ``path``, or "" for those installed for the task."""
        installed = (self.task(task) or {}).get("weights") or {}
        return next((row for row in self.weights_of(task) if row["path"] == (path or installed.get("path"))), None)

    def published_for(self, task: str) -> list[dict[str, Any]]:
        """Published weights of a task that are not on this computer."""
        return [row for row in self.available if row.get("task") == task]


@dataclass(frozen=True)
class Estimate:
    """The worker's answer to ``estimate`` and the request it belongs to, so that a stale one is known."""

    request: dict[str, Any]
    answer: dict[str, Any]


@dataclass
class PanelState:
    """All that the panels show beside the choices, which live in the parameter node.

    Attributes:
        dependencies: report of what is installed, None before the panel was entered.
        catalog: None before the panel was entered; loading: the worker was asked for a fuller one.
        job: what runs now, None for nothing. message: shown above Apply.
        estimate: newest estimate, None again after a run. confirm: why a run waits for the user's word, None if it does
            not.
        result, result_volume_id, asked_device: the last run's result, its volume, and which device was asked for.
        outcomes: rows of the last batch. inspected: the weights file that waits to be installed (a models row).
        needs_restart: packages were installed that only a new start of Slicer picks up.
    """

    dependencies: Any = None
    catalog: Catalog | None = None
    loading: bool = False
    job: Job | None = None
    message: Message | None = None
    estimate: Estimate | None = None
    confirm: str | None = None
    result: Any = None
    result_volume_id: str | None = None
    asked_device: str = "auto"
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    inspected: dict[str, Any] | None = None
    needs_restart: bool = False

    @property
    def ready(self) -> bool:
        """The packages are installed."""
        return self.dependencies is not None and self.dependencies.ok and not self.needs_restart
