"""One segmentation run: volume to the worker, progress back, labels into the scene. Nothing blocks, nothing is lost.

The run watches the scene: when its volume is deleted or the scene closed, the worker is told to stop and the caller
gets the reason. When the output node is deleted, the result goes to a new one.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .client import OnProgress, Pending, WorkerClient
from .errors import InputError, WorkerError
from .i18n import _
from .modality import intensity_unit
from .outputs import OneVolume
from .rois import roi_param
from .sequences import AllFrames
from .volumes import ExportedVolume, check_volume
from .watching import SceneWatch, given_up, not_taken

_active: weakref.WeakKeyDictionary[WorkerClient, SegmentationRun] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class SegmentOptions:
    """What to segment and how.

    task: key, or None for that of ``weights`` (a file; None: the installed ones of the task). device: "auto", "cpu",
    "cuda:0"...; precision: "auto", "float32"...; engine: "auto", "torch", "openvino". overlap: of neighbouring
    windows, 0 to 0.9; tta: average mirrored copies. remove_islands: take away small parts of each structure; None: as
    the weights say. roi_node: look only inside this ROI. structures: keys of the structures to keep, None for all.
    harden: volumes under a non-linear transform are segmented as a hardened copy instead of being refused.
    segmentation_node: take the result in this node. make_table: volumes and intensities in a new table node. frames:
    of a sequence "current" or "all".
    """

    task: str | None = None
    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    overlap: float = 0.5
    tta: bool = False
    remove_islands: bool | None = None
    roi_node: Any = None
    structures: tuple[str, ...] | None = None
    harden: bool = False
    segmentation_node: Any = None
    make_table: bool = True
    frames: str = "current"

    def params(self) -> dict[str, Any]:
        """The parameters of the protocol that ``segment`` and ``estimate`` share. Raises InputError."""
        if self.task is None and self.weights is None:
            raise InputError(_("No task is chosen."), _("Choose a task, or a file of weights."))
        return {
            "task": self.task,
            "weights": None if self.weights is None else absolute_path(self.weights),
            "device": self.device,
            "precision": self.precision,
            "engine": self.engine,
            "overlap": float(self.overlap),
            "tta": bool(self.tta),
            "remove_islands": self.remove_islands,
            "roi": None if self.roi_node is None else roi_param(self.roi_node),
        }


@dataclass(frozen=True)
class RunResult:
    """What a run made.

    stats, cautions: rows of the protocol; a caution is what must be known of the weights or the scan before the result
    is believed. device: what ran, in words. seconds: of the worker. unit: of the intensities in stats.
    """

    segmentation_node: Any
    table_node: Any
    stats: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    device: str
    settings: dict[str, Any]
    weights: dict[str, Any]
    task: str
    seconds: float
    timings_s: dict[str, float] = field(default_factory=dict)
    cautions: tuple[dict[str, Any], ...] = ()
    unit: str = ""


class SegmentationRun:
    """A run of one volume (or all frames of its sequence). The callbacks come from within ``client.poll()``.

    ``start()`` raises WorkerError for what can be known at once; whatever happens later comes to ``on_error``, once.
    ``state``: "ready", "running", "done", "failed" or "cancelled".
    """

    def __init__(
        self,
        client: WorkerClient,
        volume_node: Any,
        options: SegmentOptions,
        on_progress: OnProgress | None = None,
        on_done: Callable[[RunResult], None] | None = None,
        on_error: Callable[[WorkerError], None] | None = None,
    ):
        self.state = "ready"
        self.result: RunResult | None = None
        self.error: WorkerError | None = None
        self._client, self._volume_node, self._options = client, volume_node, options
        self._on_progress, self._on_done, self._on_error = on_progress, on_done, on_error
        self._output: OneVolume | AllFrames | None = None
        self._params: dict[str, Any] = {}
        self._pending: Pending | None = None
        self._exported: ExportedVolume | None = None
        self._index, self._seconds = 0, 0.0
        self._cancelled = False
        self._sent = 0.0  # when the volume (or frame) under way was sent
        self._unit = ""
        self._watch: SceneWatch | None = None

    @property
    def running(self) -> bool:
        return self.state == "running"

    def start(self) -> None:
        """Check, write the voxels and send the request; returns at once. Raises WorkerError, and then nothing runs."""
        if self.state != "ready":
            raise InputError(_("This run was started already."), _("Make a new run."))
        other = _active.get(self._client)
        if other is not None and other.running:
            raise InputError(_("A segmentation is running."), _("Wait until it has ended, or cancel it."))
        options = self._options
        if options.frames not in ("current", "all"):
            raise InputError(_('Frames must be "current" or "all".'))
        check_volume(self._volume_node, options.harden)
        structures = None if options.structures is None else list(options.structures)
        if structures == []:
            raise InputError(_("No structure is chosen."), _("Choose at least one structure of the task."))
        self._unit = intensity_unit(self._volume_node)
        self._params = {**options.params(), "structures": structures}
        make = AllFrames if options.frames == "all" else OneVolume
        self._output = make(self._volume_node, options.segmentation_node, options.harden, options.make_table)
        try:
            self._send()
        except WorkerError:
            self._output.abandon()
            raise
        except Exception as error:  # whatever it is, the caller hears of it as of any other
            logging.exception("Rep3D: the volume could not be read")
            self._output.abandon()
            text = _("The volume could not be read: {error}")
            raise WorkerError("internal", text.format(error=error), _("Please report this with the log.")) from error
        self.state = "running"
        _active[self._client] = self
        self._watch = SceneWatch(self._volume_node, self._give_up)

    def cancel(self) -> None:
        """Ask the worker to stop; ``on_error`` gets ``cancelled`` within a window. Harmless at any other time."""
        if self.running and self._pending is not None:
            self._cancelled = True  # the answer may be under way already
            self._pending.cancel()

    def _send(self) -> None:
        self._exported = self._output.export(self._index, self._client)
        self._sent = time.monotonic()
        try:
            self._pending = self._client.request(
                "segment",
                {"volume": self._exported.params(), **self._params},
                on_progress=self._progress,
                on_result=self._take,
                on_error=self._fail,
            )
        except WorkerError:
            self._discard_input()
            raise

    def _progress(self, fraction: float, stage: str, eta_s: float | None) -> None:
        if not self.running or self._on_progress is None:
            return
        count = self._output.count
        if count > 1:
            stage = _("frame {number} of {count}: {stage}").format(number=self._index + 1, count=count, stage=stage)
            if eta_s is not None:  # the frames that wait take as long as this one
                eta_s += (time.monotonic() - self._sent + eta_s) * (count - self._index - 1)
        self._on_progress((self._index + fraction) / count, stage, eta_s)

    def _take(self, result: dict[str, Any]) -> None:
        if not self.running:  # given up meanwhile
            self._client.discard_array(result["labels"])
            return
        if self._cancelled:
            self._client.discard_array(result["labels"])
            self._fail(WorkerError("cancelled", _("The segmentation was cancelled."), _("Nothing was changed.")))
            return
        try:
            self._discard_input()
            labels = self._client.read_array(result["labels"])
            self._output.accept(self._index, self._exported, labels, result)
            self._seconds += float(result["seconds"])
            self._index += 1
            if self._index < self._output.count:
                self._send()
                return
            made = self._output.finish()
        except WorkerError as error:
            self._fail(error)
            return
        except Exception as error:  # whatever it is, the run must end and say so
            self._fail(not_taken(error))
            return
        self.result = RunResult(
            made.segmentation_node,
            made.table_node,
            made.stats,
            made.warnings,
            str(result["settings"].get("device", "")),
            result["settings"],
            result.get("weights") or {},
            result["task"],
            self._seconds,
            result.get("timings_s") or {},
            tuple(result.get("cautions") or ()),
            self._unit,
        )
        self._end("done")
        if self._on_done is not None:
            self._on_done(self.result)

    def _fail(self, error: WorkerError) -> None:
        if not self.running:
            return
        self.error = error
        self._end("cancelled" if error.code == "cancelled" else "failed")
        self._output.abandon()
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
        if _active.get(self._client) is self:
            del _active[self._client]
        self._discard_input()

    def _discard_input(self) -> None:
        if self._exported is not None:
            self._client.discard_array(self._exported.array)


def absolute_path(path: str) -> str:
    """A path as the worker takes it, whose current folder is not the user's; "~" is the home folder."""
    return os.path.abspath(os.path.expanduser(path))


def active_run(client: WorkerClient) -> SegmentationRun | None:
    """The run under way on this client, if any."""
    return _active.get(client)
