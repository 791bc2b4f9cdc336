"""Bring a label map into the scene as a segmentation node, each voxel exactly where it was in the volume.

All structures of a run share one label map, cropped to the voxels that are used, on the volume's own grid (also
oblique, left-handed or anisotropic). A structure without a voxel becomes an empty segment, so that the list is whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from . import terminology
from .errors import InputError
from .frames import place, take_frame_of
from .grids import Grid, as_matrix
from .i18n import _
from .labelmaps import labelmap_image, used_values
from .placement import place_beside
from .replacing import BINARY_LABELMAP, STRUCTURE_TAG, TASK_TAG, Kept, restore, take_out

CLOSED_SURFACE = "Closed surface"


@dataclass(frozen=True)
class Imported:
    """The node, and what the user should know about how the result got there."""

    segmentation_node: Any
    warnings: tuple[str, ...]


def import_labels(
    labels_XYZ: np.ndarray,
    label_info: Sequence[Mapping[str, Any]],
    volume_node,
    *,
    task: str = "",
    segmentation_node=None,
    name: str | None = None,
    grid: Grid | None = None,
    in_world: bool = False,
) -> Imported:
    """Make segments of a label map.

    Args:
        labels_XYZ: uint8 or uint16 on the volume's grid; 0 is background.
        label_info: the structures that were asked for (``Label.to_dict()``), in the order of the segments.
        task: key; a later run of the same task into the same node replaces these segments and leaves others alone.
        segmentation_node: an existing node to fill. It stays below its own transform; without segments it takes the
            volume's.
        grid: of the volume when it was read; default: now.
        in_world: the labels lie in the world, the volume's transform does not apply (it was hardened in a copy).

    Raises:
        InputError: no label map, the labels do not fit the grid, or the volume's grid has changed.
    """
    if labels_XYZ.dtype not in (np.uint8, np.uint16):
        raise InputError(_("The result is no label map: its voxels are {type}.").format(type=labels_XYZ.dtype))
    now = Grid.of(volume_node) if volume_node is not None and volume_node.GetImageData() is not None else None
    grid = grid or now
    if not in_world and now != grid:
        raise InputError(
            _("The grid of {name} was changed during the run.").format(
                name=volume_node.GetName() if volume_node is not None else _("the volume")
            ),
            _("Run again: the result no longer fits the volume."),
        )
    if tuple(labels_XYZ.shape) != grid.shape:
        raise InputError(
            _("The result has {have} voxels, the volume {want}.").format(have=labels_XYZ.shape, want=grid.shape),
            _("Run again; if it happens again, please report it."),
        )
    image = labelmap_image(labels_XYZ, grid)  # needs memory: before anything is changed
    absent = _absent(image, label_info)
    node = segmentation_node
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name or _("Segmentation"))
    check_output(node)
    node.CreateDefaultDisplayNodes()
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(BINARY_LABELMAP)
    source = None if in_world else volume_node
    if segmentation.GetNumberOfSegments() == 0:
        take_frame_of(node, source)  # before the reference geometry, which is written in the node's frame
    placed = place(image, node, source)
    surfaces = segmentation.ContainsRepresentation(CLOSED_SURFACE)
    modifying = node.StartModify()
    kept = take_out(node, task, [label["key"] for label in label_info])
    if segmentation.GetNumberOfSegments() == 0:
        _set_reference_geometry(node, source, grid)
    for label in label_info:
        _add_segment(node, placed.image, label, task, kept.get(label["key"]))
    if surfaces:
        node.CreateClosedSurfaceRepresentation()  # lost when all segments were replaced
    node.EndModify(modifying)
    place_beside(node, volume_node)
    return Imported(node, (*placed.warnings, *absent))


def check_output(segmentation_node) -> None:
    """Raise InputError for a node that cannot take label maps: one whose segments are surfaces."""
    if not segmentation_node.IsA("vtkMRMLSegmentationNode"):
        raise InputError(
            _("{name} is not a segmentation.").format(name=segmentation_node.GetName()),
            _("Choose a segmentation, or a new one."),
        )
    segmentation = segmentation_node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and segmentation.GetSourceRepresentationName() != BINARY_LABELMAP:
        raise InputError(
            _("The segments of {name} are surfaces or contours, not label maps.").format(
                name=segmentation_node.GetName()
            ),
            _("Choose a new output, or make Binary labelmap the source representation in the module Segmentations."),
        )


def _set_reference_geometry(node, volume_node, grid: Grid) -> None:
    """What the Segment Editor draws on: the volume's grid, or (None) a grid that no volume of the scene has."""
    if volume_node is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        return
    converter = slicer.vtkSegmentationConverter
    text = converter.SerializeImageGeometry(as_matrix(np.array(grid.ijk_to_ras)), grid.extent)
    node.GetSegmentation().SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), text)


def show_3d(segmentation_node, on: bool) -> None:
    """Show or hide the structures as surfaces in 3D views; surfaces are made when first shown."""
    segmentation_node.CreateDefaultDisplayNodes()
    segmentation = segmentation_node.GetSegmentation()
    if on:
        segmentation_node.CreateClosedSurfaceRepresentation()
    elif segmentation.ContainsRepresentation(CLOSED_SURFACE):
        segmentation_node.RemoveClosedSurfaceRepresentation()
    segmentation_node.GetDisplayNode().SetVisibility3D(on)


def is_shown_3d(segmentation_node) -> bool:
    """Are there surfaces, and are they visible?"""
    display = segmentation_node.GetDisplayNode()
    has = segmentation_node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE)
    return bool(has and display is not None and display.GetVisibility3D())


def _add_segment(node, image, label: Mapping[str, Any], task: str, kept: Kept | None) -> None:
    """One structure of the shared label map; what the user changed of an earlier one (name, colour, display) stays."""
    segmentation = node.GetSegmentation()
    segment = slicer.vtkSegment()
    if kept is not None:
        segment.DeepCopyMetadata(kept.segment)
    else:
        segment.SetName(label["name"])
        segment.SetColor([channel / 255 for channel in label["color"]])
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology.entry(label))
        segment.SetTag(TASK_TAG, task)
        segment.SetTag(STRUCTURE_TAG, label["key"])
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    segment.SetLabelValue(label["value"])
    segment.AddRepresentation(BINARY_LABELMAP, image)
    segment_id = kept.id if kept is not None else segmentation.GenerateUniqueSegmentID(label["key"])
    segmentation.AddSegment(segment, segment_id)
    if kept is not None:
        restore(node, kept)


def _absent(image, label_info: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    present = used_values(image)
    names = [label["name"] for label in label_info if label["value"] not in present]
    return (_("Not found: {names}.").format(names=", ".join(names)),) if names else ()
