"""Volume sequences (4D): which frame a volume shows, and a run over all frames into a sequence of segmentations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from .errors import InputError
from .i18n import _
from .naming import result_name
from .placement import place_beside
from .removal import remove
from .segmentations import import_labels
from .volumes import ExportedVolume, check_volume, export_volume, hidden_volume

if TYPE_CHECKING:
    from .client import WorkerClient
    from .outputs import Made


@dataclass(frozen=True)
class Frame:
    """The frame that a volume shows: of which sequence, in which browser, which of how many."""

    browser_node: Any
    sequence_node: Any
    index: int
    count: int


def frame_of(volume_node) -> Frame | None:
    """The frame that a volume shows when it is the proxy of a sequence with more than one; else None."""
    scene = slicer.mrmlScene
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(index, "vtkMRMLSequenceBrowserNode")
        sequence = browser.GetSequenceNode(volume_node)
        if sequence is not None and sequence.GetNumberOfDataNodes() > 1:
            return Frame(browser, sequence, browser.GetSelectedItemNumber(), sequence.GetNumberOfDataNodes())
    return None


class AllFrames:
    """Every frame of a volume sequence in, a sequence of segmentations in the same browser out.

    The parent transform of the volume counts for all frames. Nothing is added to the browser before the last frame.
    """

    def __init__(self, volume_node, segmentation_node, harden: bool, with_table: bool):
        self._frame = frame_of(volume_node)
        if self._frame is None:
            raise InputError(
                _("{name} is not shown by a sequence of volumes.").format(name=volume_node.GetName()),
                _('Choose "current frame", or the volume that a sequence browser plays.'),
            )
        if segmentation_node is not None:
            raise InputError(
                _("All frames cannot go into one existing segmentation."), _("Choose a new segmentation as output.")
            )
        self.count = self._frame.count
        self._volume_node, self._harden, self._with_table = volume_node, harden, with_table
        self._warnings: list[str] = []
        self._stats: list[dict[str, Any]] = []
        self._name, self._hardened = "", False
        self._results = slicer.vtkMRMLSequenceNode()  # enters the scene when all is done
        self._scratch: Any = None  # the frame's volume in the scene, while it is at work

    def export(self, index: int, client: WorkerClient) -> ExportedVolume:
        """Write frame ``index`` for the worker."""
        frame = self._frame.sequence_node.GetNthDataNode(index)
        if frame is None or not frame.IsA("vtkMRMLScalarVolumeNode"):
            raise InputError(
                _("Frame {number} of {name} is not a volume.").format(
                    number=index + 1, name=self._volume_node.GetName()
                )
            )
        self._scratch = self._volume_like(frame, index)
        check_volume(self._scratch, self._harden)
        return export_volume(self._scratch, client, harden=self._harden)

    def accept(self, index: int, exported: ExportedVolume, labels_XYZ: np.ndarray, result: dict[str, Any]) -> None:
        """Keep the label map of frame ``index``."""
        imported = import_labels(
            labels_XYZ,
            result["label_info"],
            self._scratch,
            task=result["task"],
            grid=exported.grid,
            in_world=exported.hardened,
        )
        node = imported.segmentation_node
        try:
            node.SetName(result_name(self._volume_node.GetName(), result))
            value = self._frame.sequence_node.GetNthIndexValue(index)
            self._results.SetDataNodeAtValue(node, value)
        finally:
            remove([node])
            self.abandon()
        self._name = result_name(self._volume_node.GetName(), result)
        number = _("Frame {number}: ").format(number=index + 1)
        self._warnings += [*exported.warnings, *result["warnings"], *(number + text for text in imported.warnings)]
        self._stats += [{"frame": value, **row} for row in result["stats"]]
        self._hardened = exported.hardened

    def finish(self) -> Made:
        """Add the sequence to the browser; the node returned shows the current frame."""
        from .outputs import Made, make_table

        scene, frame, source = slicer.mrmlScene, self._frame, self._frame.sequence_node
        self._results.SetName(scene.GenerateUniqueName(self._name))
        for attribute in ("IndexName", "IndexUnit", "IndexType"):
            getattr(self._results, f"Set{attribute}")(getattr(source, f"Get{attribute}")())
        scene.AddNode(self._results)
        frame.browser_node.AddSynchronizedSequenceNode(self._results)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(frame.browser_node)
        node = frame.browser_node.GetProxyNode(self._results)
        node.CreateDefaultDisplayNodes()
        if not self._hardened:
            node.SetAndObserveTransformNodeID(self._volume_node.GetTransformNodeID())
        place_beside(node, self._volume_node)
        table_node = make_table(self._stats, node, self._volume_node) if self._with_table else None
        return Made(node, table_node, tuple(self._stats), tuple(dict.fromkeys(self._warnings)))

    def abandon(self) -> None:
        """Remove what was only needed during the run."""
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            remove([scratch])

    def _volume_like(self, frame, index: int):
        """The frame as a hidden volume of the scene, below the transform of the volume that the browser plays."""
        self.abandon()
        volume = hidden_volume(f"Rep3D frame {index + 1}")
        volume.SetAndObserveImageData(frame.GetImageData())
        volume.CopyOrientation(frame)
        volume.SetAndObserveTransformNodeID(self._volume_node.GetTransformNodeID())
        return volume
