"""What the module offers to Slicer's Python console and to its widget: segment, tasks, models, weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import slicer

from . import session
from .client import OnProgress, WorkerClient
from .errors import InputError, WorkerError
from .run import RunResult, SegmentationRun, SegmentOptions, absolute_path, active_run
from .volumes import geometry
from .why.folder import remove_all
from .why.layout import close_layout
from .why.masks import show_block
from .why.overlay import clear_overlays, show_overlay
from .why.points import Point
from .why.runs import ErfOptions, ErfRun, MasksRun


class Rep3DLogic:
    """Segment volumes with the worker process of the application.

    Methods that wait keep Slicer responsive meanwhile. They raise WorkerError: ``code``, ``message``, ``hint``.
    """

    def __init__(self, client: WorkerClient | None = None):
        self._client = client
        self.lastResult: RunResult | None = None  # of the last segment()

    @property
    def client(self) -> WorkerClient:
        """The client of the worker; the application's, unless one was given."""
        return self._client or session.get_client()

    def segment(
        self,
        volumeNode,
        task: str | None = None,
        weights: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        overlap: float = 0.5,
        tta: bool = False,
        roiNode=None,
        structures: Sequence[str] | None = None,
        outputSegmentation=None,
        hardenTransform: bool = False,
        frames: str = "current",
        makeTable: bool = True,
        progress: OnProgress | None = None,
    ):
        """Segment a volume and wait; returns the segmentation node. Warnings go to the application's log.

        Args:
            task: key such as "amos-ct" (see ``tasks()``); may be left out when ``weights`` is given.
            weights: a .safetensors file; default: the installed ones of the task.
            device: "auto", "cpu", "cuda:0", "mps"; never another one than asked for.
            overlap: of neighbouring windows, 0 to 0.9. tta: average mirrored copies: better, slower.
            roiNode: a Markups ROI; outside nothing is segmented.
            structures: keys of the structures to keep; default: all of the task.
            outputSegmentation: a segmentation node that takes the result; default: a new one.
            hardenTransform: segment a hardened copy of a volume under a non-linear transform.
            frames: "all" segments every frame of a sequence.
            progress: called with (fraction, stage, seconds left or None).
        """
        options = SegmentOptions(
            task=task,
            weights=weights,
            device=device,
            precision=precision,
            overlap=overlap,
            tta=tta,
            roi_node=roiNode,
            structures=None if structures is None else tuple(structures),
            harden=hardenTransform,
            segmentation_node=outputSegmentation,
            make_table=makeTable,
            frames=frames,
        )
        run = self.start(volumeNode, options, on_progress=progress)
        try:
            while run.running:
                self.client.poll()
                process_events()
                self.client.pause()
        finally:
            run.cancel()  # Ctrl+C, or an error in a callback
        if run.error is not None:
            raise run.error
        self.lastResult = run.result
        for warning in run.result.warnings:
            logging.warning("Rep3D: %s", warning)
        return run.result.segmentation_node

    def start(
        self,
        volumeNode,
        options: SegmentOptions,
        on_progress: OnProgress | None = None,
        on_done: Callable[[RunResult], None] | None = None,
        on_error: Callable[[WorkerError], None] | None = None,
    ) -> SegmentationRun:
        """Start a run and return it at once; ``client.poll()`` must be called now and then. Raises WorkerError."""
        run = SegmentationRun(self.client, volumeNode, options, on_progress, on_done, on_error)
        run.start()
        return run

    def activeRun(self) -> SegmentationRun | None:
        """The run under way, if any."""
        return active_run(self.client)

    def estimateParams(self, volumeNode, options: SegmentOptions) -> dict[str, Any]:
        """Parameters of the request ``estimate`` for a run. Raises InputError."""
        shape, affine = geometry(volumeNode)
        return {"volume": {"shape": list(shape), "affine": affine}, **options.params()}

    def estimate(self, volumeNode, options: SegmentOptions) -> dict[str, Any]:
        """Windows, memory and time that a run would need: one window is timed."""
        return self._call("estimate", self.estimateParams(volumeNode, options))

    def showMasks(self, task: str | None = None, weights: str | None = None, block: str | None = None, channel=None):
        """Show the mask, prior and kernel of a block (default: the first) and wait; returns its nodes (``MaskNodes``).

        Args:
            channel: of the kernel, from 0; default: all together.
        """
        run = MasksRun(self.client, task, weights)
        run.start()
        masks = run.wait(process_events)
        return show_block(masks, masks.blocks[0 if block is None else masks.index(block)], channel)

    def explainVoxel(
        self,
        volumeNode,
        ras: Sequence[float],
        task: str | None = None,
        weights: str | None = None,
        classIndex: int | None = None,
        device: str = "auto",
        hardenTransform: bool = False,
        name: str = "point",
    ):
        """Show which voxels decided the one at ``ras`` (world, mm) and wait; returns the nodes (``ErfNodes``).

        Args:
            classIndex: value of the structure whose score is explained, 0 for background; default: the predicted one.
            name: of the point, in the names of the nodes.
        """
        options = ErfOptions(task, weights, classIndex, device, hardenTransform)
        run = ErfRun(self.client, volumeNode, Point(name, tuple(float(v) for v in ras)), options)
        run.start()
        nodes = run.wait(process_events)
        show_overlay(nodes.volume, volumeNode, ras)
        return nodes

    def removeExplanations(self) -> int:
        """Remove everything that ``showMasks`` and ``explainVoxel`` made; returns how many nodes went."""
        clear_overlays()
        close_layout()
        return remove_all()

    def hello(self) -> dict[str, Any]:
        """Versions and devices of the worker."""
        return self._call("hello")

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks, each with its structures and the weights installed for it."""
        return self._call("tasks")["tasks"]

    def models(self) -> dict[str, Any]:
        """Installed weights, those that can be downloaded, and the user's folder of weights."""
        return self._call("models")

    def inspectWeights(self, path: str) -> dict[str, Any]:
        """What a weights file holds, checked."""
        return self._call("inspect", {"path": absolute_path(str(path))})

    def importWeights(self, path: str, replace: bool = False) -> dict[str, Any]:
        """Check a weights file and copy it to the user's folder of weights."""
        return self._call("import_weights", {"path": absolute_path(str(path)), "replace": bool(replace)})

    def removeWeights(self, path: str) -> None:
        """Delete a weights file in the user's folder."""
        self._call("remove_weights", {"path": absolute_path(str(path))})

    def downloadWeights(self, id: str, progress: OnProgress | None = None) -> dict[str, Any]:
        """Download weights of the manifest; a broken download goes on where it stopped."""
        return self._call("download_weights", {"id": id}, progress)

    def cancel(self) -> None:
        """Cancel the run under way, if any."""
        run = self.activeRun()
        if run is not None:
            run.cancel()

    def _call(self, method: str, params: dict[str, Any] | None = None, progress: OnProgress | None = None):
        return self.client.call(method, params, idle=process_events, on_progress=progress)


def process_events() -> None:
    """Let the application's events through, where there is an application."""
    application = getattr(slicer, "app", None)
    if application is not None:
        application.processEvents()


__all__ = ["InputError", "Rep3DLogic", "RunResult", "SegmentOptions", "SegmentationRun", "WorkerError"]
