"""A second run into the same segmentation: earlier segments of the task are taken out and come back in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

BINARY_LABELMAP = "Binary labelmap"
TASK_TAG, STRUCTURE_TAG = "Rep3D.Task", "Rep3D.Structure"
_DISPLAY = (
    "Visibility",
    "Visibility3D",
    "Visibility2DFill",
    "Visibility2DOutline",
    "Opacity3D",
    "Opacity2DFill",
    "Opacity2DOutline",
)


@dataclass(frozen=True)
class Kept:
    """What is kept of a segment that is replaced: its ID, place, name, colour and tags, and its display."""

    id: str
    index: int
    segment: Any
    display: dict[str, Any] = field(default_factory=dict)


def tag(segment, name: str) -> str:
    """Value of a tag of a segment, "" if it has none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def take_out(node, task: str, keys: Sequence[str]) -> dict[str, Kept]:
    """Remove the segments that an earlier run of this task made of these structures: {structure key: what is kept}.

    Their voxels go too, also out of a label map that they share with other segments; those keep theirs.
    """
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    kept = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment, segment_id = segmentation.GetNthSegment(index), segmentation.GetNthSegmentID(index)
        key = tag(segment, STRUCTURE_TAG)
        if key in keys and key not in kept and tag(segment, TASK_TAG) == task:
            shown = {name: getattr(display, f"GetSegment{name}")(segment_id) for name in _DISPLAY}
            kept[key] = Kept(segment_id, index, segment, shown)
    ids = [one.id for one in kept.values()]
    _erase(segmentation, ids)
    for segment_id in ids:
        segmentation.RemoveSegment(segment_id)
    return kept


def _erase(segmentation, segment_ids: Sequence[str]) -> None:
    """Take the voxels of segments out of label maps shared with others, in one pass for all, and let go of the maps.

    ``RemoveSegment`` would pass over the whole map once for each segment, which takes half a minute for a body CT.
    """
    for layer in range(segmentation.GetNumberOfLayers(BINARY_LABELMAP)):
        sharing = segmentation.GetSegmentIDsForLayer(layer, BINARY_LABELMAP)
        mine = [segment_id for segment_id in sharing if segment_id in segment_ids]
        if not mine or len(mine) == len(sharing):
            continue
        image = segmentation.GetLayerDataObject(layer, BINARY_LABELMAP)
        values = vtk_to_numpy(image.GetPointData().GetScalars())
        values[np.isin(values, [segmentation.GetSegment(segment_id).GetLabelValue() for segment_id in mine])] = 0
        image.GetPointData().GetScalars().Modified()
        image.Modified()
    for segment_id in segment_ids:
        segmentation.GetSegment(segment_id).RemoveRepresentation(BINARY_LABELMAP)


def restore(node, kept: Kept) -> None:
    """Give a segment that came back its place in the list and its display."""
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    if kept.index < segmentation.GetNumberOfSegments():
        segmentation.SetSegmentIndex(kept.id, kept.index)
    for name, value in kept.display.items():
        getattr(display, f"SetSegment{name}")(kept.id, value)
