"""Asking the worker for masks or for a receptive field, without waiting. The answer comes from ``client.poll()``.

Like a segmentation run: what can be known at once is raised by ``start()``, everything later goes to ``on_error``,
once; a run whose scan is deleted or whose scene is closed is given up, and the worker told to stop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..client import OnProgress, Pending, WorkerClient
from ..errors import InputError, WorkerError
from ..grids import nearest_voxel
from ..i18n import _
from ..run import absolute_path
from ..volumes import ExportedVolume, check_volume, export_volume
from ..watching import SceneWatch, given_up, not_taken
from .erf import ErfNodes, show_erf
from .masks import Block, MaskSet
from .points import Point


class WhyRun(ABC):
    """One request. ``state``: "ready", "running", "done", "failed" or "cancelled"; then ``result`` or ``error``."""

    method = ""

    def __init__(
        self,
        client: WorkerClient,
        scan: Any = None,
        on_progress: OnProgress | None = None,
        on_done: Callable[[Any], None] | None = None,
        on_error: Callable[[WorkerError], None] | None = None,
    ):
        self.state = "ready"
        self.result: Any = None
        self.error: WorkerError | None = None
        self._client, self._scan = client, scan
        self._on_progress, self._on_done, self._on_error = on_progress, on_done, on_error
        self._pending: Pending | None = None
        self._watch: SceneWatch | None = None

    @property
    def running(self) -> bool:
        return self.state == "running"

    def start(self) -> None:
        """Check and send; returns at once. Raises WorkerError, and then nothing runs."""
        if self.state != "ready":
            raise InputError(_("This run was started already."), _("Make a new run."))
        params = self._params()
        try:
            self._pending = self._client.request(
                self.method, params, on_progress=self._progress, on_result=self._take, on_error=self._fail
            )
        except WorkerError:
            self._discard()
            raise
        self.state = "running"
        self._watch = SceneWatch(self._scan, self._give_up)

    def cancel(self) -> None:
        """Ask the worker to stop; ``on_error`` gets ``cancelled``. Harmless at any other time."""
        if self.running:
            self._pending.cancel()

    def wait(self, idle: Callable[[], None] | None = None) -> Any:
        """Poll until the end, calling ``idle()`` meanwhile; returns the result. Raises WorkerError."""
        try:
            while self.running:
                self._client.poll()
                if idle is not None:
                    idle()
                if self.running:
                    self._client.pause()
        finally:
            self.cancel()  # Ctrl+C, or an error in a callback
        if self.error is not None:
            raise self.error
        return self.result

    @abstractmethod
    def _params(self) -> dict[str, Any]:
        """Check, and return the parameters of the request. Raises WorkerError."""

    @abstractmethod
    def _accept(self, answer: dict[str, Any]) -> Any:
        """Make the result of the worker's answer. Raises WorkerError."""

    @abstractmethod
    def _refuse(self, answer: dict[str, Any]) -> None:
        """Delete the files of an answer that nobody waits for any more."""

    @abstractmethod
    def _discard(self) -> None:
        """Delete files that were written for the worker."""

    def _progress(self, fraction: float, stage: str, eta_s: float | None) -> None:
        if self.running and self._on_progress is not None:
            self._on_progress(fraction, stage, eta_s)

    def _take(self, answer: dict[str, Any]) -> None:
        if not self.running:  # given up meanwhile
            self._refuse(answer)
            return
        try:
            self.result = self._accept(answer)
        except WorkerError as error:
            self._fail(error)
            return
        except Exception as error:  # whatever it is, the run must end and say so
            self._fail(not_taken(error))
            return
        self._end("done")
        if self._on_done is not None:
            self._on_done(self.result)

    def _fail(self, error: WorkerError) -> None:
        if not self.running:
            return
        self.error = error
        self._end("cancelled" if error.code == "cancelled" else "failed")
        if self._on_error is not None:
            self._on_error(error)

    def _give_up(self, message: str) -> None:
        if self.running:
            self._pending.cancel()
            self._fail(given_up(message))

    def _end(self, state: str) -> None:
        self.state = state
        if self._watch is not None:
            self._watch.stop()
        self._discard()


class MasksRun(WhyRun):
    """The masks, priors and kernels of some weights; the result is a MaskSet.

    Args:
        task: key, or None for that of ``weights`` (a file; None: the installed ones of the task).
    """

    method = "masks"

    def __init__(self, client: WorkerClient, task: str | None, weights: str | None = None, **callbacks: Any):
        super().__init__(client, None, **callbacks)
        self._choice = _choice(task, weights)

    def _params(self) -> dict[str, Any]:
        return {**self._choice, "arrays": True, "kernels": True}

    def _accept(self, answer: dict[str, Any]) -> MaskSet:
        if not answer["blocks"]:
            raise InputError(
                _("The weights {id} have no masks.").format(id=answer["weights"]["id"]),
                _("Masks are kept by Rep3D networks that were trained with them; choose such weights."),
            )
        read = self._client.read_array
        blocks = tuple(
            Block(name, read(answer["arrays"][name]), read(answer["priors"][name]), read(answer["kernels"][name]), row)
            for row in answer["blocks"]
            for name in [row["name"]]
        )
        return MaskSet(blocks, answer["weights"]["task"], answer["weights"]["id"])

    def _discard(self) -> None:
        """Nothing was written."""

    def _refuse(self, answer: dict[str, Any]) -> None:
        for kind in ("arrays", "priors", "kernels"):
            for name in answer[kind].values():
                self._client.discard_array(name)


@dataclass(frozen=True)
class ErfOptions:
    """task, weights: as for MasksRun. class_index: value of a structure, 0 for background, None for the one predicted
    at the point. harden: a volume under a non-linear transform is read as a hardened copy instead of being refused."""

    task: str | None = None
    weights: str | None = None
    class_index: int | None = None
    device: str = "auto"
    harden: bool = False


class ErfRun(WhyRun):
    """The receptive field at a point of a scan; the result are the nodes that show it."""

    method = "erf"

    def __init__(self, client: WorkerClient, scan: Any, point: Point, options: ErfOptions, **callbacks: Any):
        super().__init__(client, scan, **callbacks)
        self._point, self._options = point, options
        self._exported: ExportedVolume | None = None

    def _params(self) -> dict[str, Any]:
        options = self._options
        choice = _choice(options.task, options.weights)
        check_volume(self._scan, options.harden)
        self._exported = export_volume(self._scan, self._client, harden=options.harden)
        try:
            at = voxel_at(self._exported, self._point)
        except WorkerError:
            self._discard()
            raise
        return {
            "volume": self._exported.params(),
            **choice,
            "at_ijk": list(at),
            "class": options.class_index,
            "device": options.device,
        }

    def _accept(self, answer: dict[str, Any]) -> ErfNodes:
        field = self._client.read_array(answer["array"])
        return show_erf(field, answer, self._exported, self._scan, self._point)

    def _refuse(self, answer: dict[str, Any]) -> None:
        self._client.discard_array(answer["array"])

    def _discard(self) -> None:
        if self._exported is not None:
            self._client.discard_array(self._exported.array)


def voxel_at(exported: ExportedVolume, point: Point) -> tuple[int, int, int]:
    """The voxel of the scan whose box holds the point. Raises InputError outside of the scan."""
    index = (np.linalg.inv(np.array(exported.affine)) @ [*point.ras, 1.0])[:3]
    voxel = nearest_voxel(index, exported.shape)
    if voxel is None:
        place = ", ".join(f"{v:.1f}" for v in point.ras)
        raise InputError(
            _("The point {name} ({place} mm) lies outside of {volume}.").format(
                name=point.name, place=place, volume=exported.name
            ),
            _("Place it inside of the scan."),
        )
    return voxel


def _choice(task: str | None, weights: str | None) -> dict[str, str | None]:
    if task is None and weights is None:
        raise InputError(_("No task is chosen."), _("Choose a task, or a file of weights."))
    return {"task": task, "weights": None if weights is None else absolute_path(weights)}
