"""The volumes that were prepared for clicking: one session for the whole application, shared by every editor.

A volume is opened in the worker once for a task (resampled, normalised); then all of it is segmented (``prepare``), or
only a patch around a click (``window``). What is known is dropped as soon as it might be wrong: when the volume's
voxels, grid or transform change, when it is removed, when the worker ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import slicer
import vtk

from ..backend_location import backend_module
from ..client import OnProgress, WorkerClient
from ..errors import InputError, WorkerError
from ..i18n import _
from ..session import get_client
from ..volumes import check_volume, export_volume, world_affine
from .entries import ClickOptions, Entry, signature_of
from .operation import OnError, OnReady, Operation, Ticket
from .picking import PreparedVolume, unreadable

MOST = 4  # volumes (times tasks) that are remembered: as many as the worker keeps open, forgotten in the same order


class ClickSession:
    """Prepares volumes for clicking and remembers them. Every callback runs within ``poll()``, on the main thread.

    Looking (``state``, ``prepared``) never starts a worker.
    """

    def __init__(self, client: Callable[[], WorkerClient] = get_client):
        self._client = client
        self._entries: dict[tuple, Entry] = {}
        self._preparing: dict[tuple, Operation] = {}
        self._operations: list[Operation] = []
        self._listeners: list[Callable[[], None]] = []
        self._observers: list[int] = []

    @property
    def busy(self) -> bool:
        """Is anything under way, so that ``poll()`` must be called?"""
        self._operations = [operation for operation in self._operations if not operation.done]
        return bool(self._operations)

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener()`` whenever a volume that was known is no longer."""
        self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """The reverse; harmless if it was not added."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def poll(self) -> int:
        """Dispatch what the worker has sent, and drop what went with a worker that has ended."""
        count = self._client().poll()
        self._drop(lambda entry: not self._worker_lives(entry))
        return count

    def state(self, volume_node, options: ClickOptions) -> str:
        """ "ready" if the whole volume is known, "preparing" while it is segmented, else "none"."""
        if self.prepared(volume_node, options) is not None:
            return "ready"
        running = self._preparing.get((volume_node.GetID(), options)) if volume_node is not None else None
        return "preparing" if running is not None and running.joinable else "none"

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
        on_ready: OnReady | None = None,
        on_error: OnError | None = None,
    ) -> Ticket:
        """Segment the whole volume; ``on_ready`` gets it with warnings. Whoever asks while it runs joins in.

        Raises WorkerError for what can be known at once: an unusable volume, no task, no worker.
        """
        check_volume(volume_node)
        name = (volume_node.GetID(), options)
        running = self._preparing.get(name)
        if running is not None and running.joinable and running.signature == signature_of(volume_node):
            return running.join(on_progress, on_ready, on_error)

        def take(entry: Entry, answer: PreparedVolume) -> None:
            entry.whole[options] = answer

        operation, ticket = self._start(volume_node, options, "prepare", {}, take, on_progress, on_ready, on_error)
        self._preparing = {key: other for key, other in self._preparing.items() if not other.done}
        self._preparing[name] = operation
        return ticket

    def window(
        self,
        volume_node,
        voxel: tuple[int, int, int],
        options: ClickOptions,
        on_progress: OnProgress | None = None,
        on_ready: OnReady | None = None,
        on_error: OnError | None = None,
    ) -> Ticket:
        """Segment one patch around a voxel (i, j, k). Callbacks and errors as in :meth:`prepare`."""
        at = {"at_ijk": [int(v) for v in voxel]}
        more = (on_progress, on_ready, on_error)
        return self._start(volume_node, options, "window", at, lambda entry, answer: None, *more)[1]

    def forget(self, volume_node) -> None:
        """Drop what is known of a volume, here and in the worker."""
        self._drop(lambda entry: entry.volume_id == volume_node.GetID())

    def close(self) -> None:
        """Drop everything and stop watching the scene."""
        for operation in self._operations:
            operation.give_up()
        self._drop(lambda entry: True)
        for observer in self._observers:
            slicer.mrmlScene.RemoveObserver(observer)
        self._observers = []

    def _start(self, volume_node, options, method, more, take, on_progress, on_ready, on_error):
        """Open the volume unless it is, then send ``method``; returns the operation and the caller's ticket."""
        check_volume(volume_node)
        if options.task is None and options.weights is None:
            raise InputError(_("No task is chosen."), _("Choose a task, or a file of weights."))
        self._watch_scene()
        operation = Operation(signature_of(volume_node))
        ticket = operation.join(on_progress, on_ready, on_error)

        def run(entry: Entry, was_open: bool) -> None:
            def finish(result: dict[str, Any]) -> None:
                if not self._holds(operation, volume_node, entry.volume_id):
                    return
                try:
                    answer = self._answer(entry, volume_node, result)
                except WorkerError as error:
                    operation.fail(error)
                    return
                take(entry, answer)
                operation.finish(answer, tuple(dict.fromkeys((*entry.warnings, *result["warnings"]))))

            def refused(error: WorkerError) -> None:
                if was_open and error.code == "bad_request" and not operation.abandoned:
                    # the worker has forgotten the volume for the sake of others
                    self._drop(lambda other: other is entry)
                    self._open(operation, volume_node, options, lambda new: run(new, False))
                else:
                    operation.fail(error)

            params = {"key": entry.key, **more, **options.run()}
            operation.send(self._client(), method, params, finish, refused)

        entry = self._entry(volume_node, options)
        if entry is not None:
            name = self._name(entry.volume_id, options)
            self._entries[name] = self._entries.pop(name)  # the one that was used last
            run(entry, True)
        else:
            self._open(operation, volume_node, options, lambda new: run(new, False))
        self._operations.append(operation)
        return operation, ticket

    def _open(self, operation: Operation, volume_node, options: ClickOptions, then: Callable[[Entry], None]) -> None:
        """Have the worker bring a volume onto the network's grid, then go on with it."""
        client, volume_id = self._client(), volume_node.GetID()
        exported = export_volume(volume_node, client)

        def opened(result: dict[str, Any]) -> None:
            entry = Entry(
                result["key"], result["label_info"], operation.signature, client.folder, volume_id, exported,
                warnings=(*exported.warnings, *result["warnings"]),
            )  # fmt: skip
            if not self._holds(operation, volume_node, volume_id):
                self._release(entry)
                return
            self._keep(entry, volume_node, options)
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
        if operation.abandoned:
            operation.done = True
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

    def _entry(self, volume_node, options: ClickOptions) -> Entry | None:
        """The entry of a volume, dropped first if it is no longer true."""
        if volume_node is None or volume_node.GetID() is None:
            return None
        name = self._name(volume_node.GetID(), options)
        entry = self._entries.get(name)
        if entry is None:
            return None
        if not self._worker_lives(entry):
            self._drop(lambda other: other is entry)
            return None
        if signature_of(volume_node) != entry.signature:
            self._drop(lambda other: other is entry)
            return None
        return entry

    def _answer(self, entry: Entry, volume_node, result: dict[str, Any]) -> PreparedVolume:
        try:
            probabilities = backend_module("probability_map").ProbabilityMap(entry.worker / result["probabilities"])
        except backend_module("errors").Rep3DError as error:
            raise unreadable(error) from error
        labels = entry.worker / result["labels"] if result.get("labels") else None
        return PreparedVolume(probabilities, entry.label_info, world_affine(volume_node)[:3, :3], labels)

    def _keep(self, entry: Entry, volume_node, options: ClickOptions) -> None:
        """Remember an entry, and look again whether it is true whenever its volume says that it has changed."""
        name = self._name(entry.volume_id, options)
        older = self._entries.get(name)
        self._drop(lambda other: other is older)  # two patches that were asked for at once each opened the volume
        surplus = list(self._entries.values())[: max(0, len(self._entries) + 1 - MOST)]
        self._drop(lambda other: any(other is entry for entry in surplus))
        self._entries[name] = entry
        me = weakref.ref(self)

        def look(_node, _event) -> None:
            session = me()
            if session is not None:
                session._entry(volume_node, options)

        for event in (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
                      slicer.vtkMRMLTransformableNode.TransformModifiedEvent):  # fmt: skip
            entry.observers.append((volume_node, volume_node.AddObserver(event, look)))

    def _worker_lives(self, entry: Entry) -> bool:
        client = self._client()
        return client.is_running() and client.folder == entry.worker

    def _drop(self, which: Callable[[Entry], bool]) -> None:
        """Forget entries, here and in the worker, and tell the listeners."""
        names = [name for name, entry in self._entries.items() if which(entry)]
        for name in names:
            self._release(self._entries.pop(name))
        if names:
            for listener in list(self._listeners):
                listener()

    def _release(self, entry: Entry) -> None:
        """Give back what an entry holds in the worker."""
        for node, observer in entry.observers:
            node.RemoveObserver(observer)
        if self._worker_lives(entry):
            client, array = self._client(), entry.exported.array

            def let_go(_answer) -> None:  # only then: Windows keeps a file that the worker still maps
                client.discard_array(array)

            client.request("forget", {"key": entry.key}, on_result=let_go, on_error=let_go)

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
