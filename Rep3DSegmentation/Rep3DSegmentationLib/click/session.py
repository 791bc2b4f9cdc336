"""The volumes that were prepared for clicking: one session for the whole application, shared by every editor.

A volume is opened in the worker once for a task (resampled, normalised); then all of it is segmented (``prepare``), or
only a patch around a click (``window``). What is known is dropped as soon as it might be wrong: when the volume's
voxels, grid or transform change, when it is removed, when the worker ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk

from ..backend_location import backend_module
from ..client import OnProgress, Pending, WorkerClient
from ..errors import InputError, WorkerError
from ..grids import Grid
from ..i18n import _
from ..session import get_client
from ..volumes import ExportedVolume, check_volume, export_volume, world_affine
from .picking import PreparedVolume


@dataclass(frozen=True)
class ClickOptions:
    """With what a volume is prepared; ``task`` or ``weights`` (a file) is needed. See ``run.SegmentOptions``."""

    task: str | None = None
    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    overlap: float = 0.5

    def network(self) -> dict[str, Any]:
        """The part that decides how a volume is opened."""
        return {"task": self.task, "weights": self.weights}

    def run(self) -> dict[str, Any]:
        """The part that decides how windows run."""
        return {"device": self.device, "precision": self.precision, "overlap": float(self.overlap)}


@dataclass
class _Entry:
    """A volume that is open in the worker, and what is known of it."""

    key: str
    label_info: list[dict[str, Any]]
    signature: tuple
    worker: Any  # the private folder: another one means another worker
    volume_id: str
    exported: ExportedVolume
    whole: dict[ClickOptions, PreparedVolume] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Operation:
    """Something under way in the worker. ``cancel()`` ends it; its end comes to the callbacks, once."""

    def __init__(
        self, signature: tuple, on_progress: OnProgress | None, on_error: Callable[[WorkerError], None] | None
    ):
        self.done = self.cancelled = False
        self.signature = signature  # of the volume when it was asked for
        self._on_progress, self._on_error = on_progress, on_error
        self._pending: Pending | None = None

    def cancel(self) -> None:
        """Ask for the end; ``on_error`` gets ``cancelled`` within a window. Harmless when done."""
        self.cancelled = True
        if not self.done and self._pending is not None:
            self._pending.cancel()

    def send(self, client: WorkerClient, method: str, params: dict[str, Any], on_result, on_error) -> None:
        """The next request of this operation."""
        self._pending = client.request(
            method, params, on_progress=self._on_progress, on_result=on_result, on_error=on_error
        )

    def fail(self, error: WorkerError) -> None:
        """Tell the caller, unless it has had its end."""
        if not self.done:
            self.done = True
            if self._on_error is not None:
                self._on_error(error)


class ClickSession:
    """Prepares volumes for clicking and remembers them. Every callback runs within ``poll()``, on the main thread."""

    def __init__(self, client: Callable[[], WorkerClient] = get_client):
        self._client = client
        self._entries: dict[tuple, _Entry] = {}
        self._running: dict[tuple, Operation] = {}
        self._observers: list[int] = []

    def poll(self) -> int:
        """Dispatch what the worker has sent."""
        return self._client().poll()

    def state(self, volume_node, options: ClickOptions) -> str:
        """ "ready" if the whole volume is known, "preparing" while it is segmented, else "none"."""
        if self.prepared(volume_node, options) is not None:
            return "ready"
        running = self._running.get((volume_node.GetID(), options)) if volume_node is not None else None
        return "preparing" if running is not None and not running.done else "none"

    def prepared(self, volume_node, options: ClickOptions) -> PreparedVolume | None:
        """What is known of the whole volume, if it is still true."""
        entry = self._entry(volume_node, options)
        known = entry.whole.get(options) if entry is not None else None
        return known if known is not None and known.exists() else None

    def prepare(
        self,
        volume_node,
        options: ClickOptions,
        on_progress: OnProgress | None = None,
        on_ready: Callable[[PreparedVolume, tuple[str, ...]], None] | None = None,
        on_error: Callable[[WorkerError], None] | None = None,
    ) -> Operation:
        """Segment the whole volume; ``on_ready`` gets it with warnings. Asking again while it runs is refused.

        Raises WorkerError for what can be known at once: an unusable volume, no task, no worker.
        """
        name = (volume_node.GetID(), options) if volume_node is not None else None
        running = self._running.get(name)
        if running is not None and not running.done:
            raise InputError(_("The volume is being prepared already."), _("Wait until it is ready, or cancel it."))

        def take(entry: _Entry, answer: PreparedVolume, warnings: tuple[str, ...]) -> None:
            entry.whole[options] = answer
            if on_ready is not None:
                on_ready(answer, warnings)

        operation = self._start(volume_node, options, "prepare", {}, take, on_progress, on_error)
        self._running = {key: other for key, other in self._running.items() if not other.done}
        self._running[name] = operation
        return operation

    def window(
        self,
        volume_node,
        voxel: tuple[int, int, int],
        options: ClickOptions,
        on_progress: OnProgress | None = None,
        on_ready: Callable[[PreparedVolume, tuple[str, ...]], None] | None = None,
        on_error: Callable[[WorkerError], None] | None = None,
    ) -> Operation:
        """Segment one patch around a voxel (i, j, k). Callbacks and errors as in :meth:`prepare`."""

        def take(_entry: _Entry, answer: PreparedVolume, warnings: tuple[str, ...]) -> None:
            if on_ready is not None:
                on_ready(answer, warnings)

        at = {"at_ijk": [int(v) for v in voxel]}
        return self._start(volume_node, options, "window", at, take, on_progress, on_error)

    def forget(self, volume_node) -> None:
        """Drop what is known of a volume, here and in the worker."""
        self._drop(lambda entry: entry.volume_id == volume_node.GetID())

    def close(self) -> None:
        """Drop everything and stop watching the scene."""
        for operation in list(self._running.values()):
            operation.cancel()
        self._drop(lambda entry: True)
        for observer in self._observers:
            slicer.mrmlScene.RemoveObserver(observer)
        self._observers = []

    def _start(self, volume_node, options, method, more, take, on_progress, on_error) -> Operation:
        """Open the volume unless it is, then send ``method``."""
        check_volume(volume_node)
        if options.task is None and options.weights is None:
            raise InputError(_("No task is chosen."), _("Choose a task, or a file of weights."))
        self._watch_scene()
        operation = Operation(signature_of(volume_node), on_progress, on_error)

        def run(entry: _Entry, was_open: bool) -> None:
            def finish(result: dict[str, Any]) -> None:
                if self._holds(operation, volume_node, entry.volume_id):
                    try:
                        answer = self._answer(entry, volume_node, result)
                    except WorkerError as error:
                        operation.fail(error)
                        return
                    operation.done = True
                    take(entry, answer, (*entry.warnings, *result["warnings"]))

            def refused(error: WorkerError) -> None:
                if was_open and error.code == "bad_request":  # the worker has forgotten it for the sake of others
                    self._drop(lambda other: other is entry)
                    self._open(operation, volume_node, options, lambda new: run(new, False))
                else:
                    operation.fail(error)

            params = {"key": entry.key, **more, **options.run()}
            operation.send(self._client(), method, params, finish, refused)

        entry = self._entry(volume_node, options)
        if entry is not None:
            run(entry, True)
        else:
            self._open(operation, volume_node, options, lambda new: run(new, False))
        return operation

    def _open(self, operation: Operation, volume_node, options: ClickOptions, then: Callable[[_Entry], None]) -> None:
        """Have the worker bring a volume onto the network's grid, then go on with it."""
        client, volume_id = self._client(), volume_node.GetID()
        exported = export_volume(volume_node, client)

        def opened(result: dict[str, Any]) -> None:
            entry = _Entry(
                result["key"], result["label_info"], operation.signature, client.folder, volume_id, exported,
                warnings=(*exported.warnings, *result["warnings"]),
            )  # fmt: skip
            if not self._holds(operation, volume_node, volume_id):
                self._release(entry)
                return
            self._entries[self._name(volume_id, options)] = entry
            try:
                then(entry)
            except WorkerError as error:
                operation.fail(error)

        def refused(error: WorkerError) -> None:
            client.discard_array(exported.array)
            operation.fail(error)

        try:
            operation.send(client, "open", {"volume": exported.params(), **options.network()}, opened, refused)
        except WorkerError:
            client.discard_array(exported.array)
            raise

    def _holds(self, operation: Operation, volume_node, volume_id: str) -> bool:
        """Whether an answer still fits the volume and is still wanted; tells the caller if not."""
        if operation.cancelled:
            operation.fail(WorkerError("cancelled", _("Cancelled.")))
            return False
        if volume_node.GetScene() is None or signature_of(volume_node) != operation.signature:
            self._drop(lambda entry: entry.volume_id == volume_id)
            text = _("The volume was changed or removed meanwhile.")
            operation.fail(WorkerError("cancelled", text, _("Click again to start anew.")))
            return False
        return True

    @staticmethod
    def _name(volume_id: str, options: ClickOptions) -> tuple:
        return volume_id, options.task, options.weights

    def _entry(self, volume_node, options: ClickOptions) -> _Entry | None:
        """The entry of a volume, dropped first if it is no longer true."""
        if volume_node is None or volume_node.GetID() is None:
            return None
        name = self._name(volume_node.GetID(), options)
        entry = self._entries.get(name)
        if entry is None:
            return None
        client = self._client()
        if not client.is_running() or client.folder != entry.worker:
            del self._entries[name]  # its files went with the worker
            return None
        if signature_of(volume_node) != entry.signature:
            self._drop(lambda other: other is entry)
            return None
        return entry

    def _answer(self, entry: _Entry, volume_node, result: dict[str, Any]) -> PreparedVolume:
        probability_map = backend_module("probability_map")
        try:
            probabilities = probability_map.ProbabilityMap(entry.worker / result["probabilities"])
        except Exception as error:
            text = _("The result could not be read: {error}").format(error=error)
            raise WorkerError("internal", text, _("Click again.")) from error
        labels = entry.worker / result["labels"] if result.get("labels") else None
        return PreparedVolume(probabilities, entry.label_info, world_affine(volume_node)[:3, :3], labels)

    def _drop(self, which: Callable[[_Entry], bool]) -> None:
        for name in [name for name, entry in self._entries.items() if which(entry)]:
            self._release(self._entries.pop(name))

    def _release(self, entry: _Entry) -> None:
        """Give back what an entry holds in the worker."""
        client = self._client()
        if client.is_running() and client.folder == entry.worker:
            client.request("forget", {"key": entry.key})
            client.discard_array(entry.exported.array)

    def _watch_scene(self) -> None:
        if self._observers:
            return
        me = weakref.ref(self)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_node_removed(_scene, _event, node) -> None:
            session = me()
            if session is not None and node is not None and node.IsA("vtkMRMLVolumeNode"):
                session.forget(node)

        def on_close(_scene, _event) -> None:
            session = me()
            if session is not None:
                session._drop(lambda entry: True)

        scene = slicer.mrmlScene
        self._observers = [
            scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, on_node_removed),
            scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, on_close),
        ]


def signature_of(volume_node) -> tuple:
    """What must stay the same for an answer to stay true: voxels, grid and the way to the world."""
    image = volume_node.GetImageData()
    if image is None:
        return ()
    scalars = image.GetPointData().GetScalars()
    changed = (image.GetMTime(), scalars.GetMTime() if scalars is not None else 0)
    return changed, Grid.of(volume_node), tuple(np.round(world_affine(volume_node), 9).ravel().tolist())


_session: ClickSession | None = None


def get_session() -> ClickSession:
    """The application's session."""
    global _session
    if _session is None:
        _session = ClickSession()
    return _session


def close_session() -> None:
    """Forget all volumes; the next ``get_session()`` makes a new one."""
    global _session
    session, _session = _session, None
    if session is not None:
        session.close()
