"""Where the result of a run goes: for one volume a segmentation and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from .i18n import _
from .modality import intensity_unit
from .naming import demo_suffix, result_name
from .placement import place_beside
from .segmentations import check_output, import_labels
from .sequences import frame_of
from .statistics import table
from .volumes import ExportedVolume, export_volume

if TYPE_CHECKING:
    from .client import WorkerClient


@dataclass(frozen=True)
class Made:
    """Nodes that a run made or filled; ``table_node`` is None when no table was wanted."""

    segmentation_node: Any
    table_node: Any
    stats: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]


def make_table(stats: Sequence[dict[str, Any]], segmentation_node, volume_node):
    """A table of statistics beside the volume."""
    name = slicer.mrmlScene.GenerateUniqueName(f"{segmentation_node.GetName()} {_('statistics')}")
    node = table(stats, name, intensity_unit(volume_node))
    place_beside(node, volume_node)
    return node


class OneVolume:
    """One volume in, one segmentation out."""

    count = 1

    def __init__(self, volume_node, segmentation_node, harden: bool, with_table: bool):
        self._volume_node, self._segmentation_node = volume_node, segmentation_node
        self._harden, self._with_table = harden, with_table
        self._warnings: list[str] = []
        self._made: Made | None = None
        if segmentation_node is not None:
            check_output(segmentation_node)
        frame = frame_of(volume_node)
        if frame is not None:
            text = _("{name} is a sequence: only the current frame ({number} of {count}) was segmented.")
            self._warnings.append(text.format(name=volume_node.GetName(), number=frame.index + 1, count=frame.count))

    def export(self, index: int, client: WorkerClient) -> ExportedVolume:
        """Write the voxels for the worker; ``index`` counts volumes from 0."""
        return export_volume(self._volume_node, client, harden=self._harden)

    def accept(self, index: int, exported: ExportedVolume, labels_XYZ: np.ndarray, result: dict[str, Any]) -> None:
        """Take the label map of volume ``index``."""
        node = self._segmentation_node
        if node is not None and slicer.mrmlScene.GetNodeByID(node.GetID() or "") is not node:
            self._warnings.append(_("The output segmentation was deleted during the run: a new one was made."))
            node = None
        imported = import_labels(
            labels_XYZ,
            result["label_info"],
            self._volume_node,
            task=result["task"],
            segmentation_node=node,
            name=slicer.mrmlScene.GenerateUniqueName(result_name(self._volume_node.GetName(), result)),
            grid=exported.grid,
            in_world=exported.hardened,
        )
        made = imported.segmentation_node
        if demo_suffix(result).strip() not in made.GetName():  # a node that was there before
            made.SetName(made.GetName() + demo_suffix(result))
        self._warnings += [*exported.warnings, *result["warnings"], *imported.warnings]
        stats = tuple(result["stats"])
        table_node = None
        if self._with_table:
            table_node = make_table(stats, imported.segmentation_node, self._volume_node)
        self._made = Made(imported.segmentation_node, table_node, stats, ())

    def finish(self) -> Made:
        """The nodes, after the last volume."""
        made = self._made
        return Made(made.segmentation_node, made.table_node, made.stats, tuple(dict.fromkeys(self._warnings)))

    def abandon(self) -> None:
        """The run failed or was cancelled: nothing of it stays in the scene."""
