"""What the effect needs of the Segment Editor it works in: nodes, undo, and changes that keep all of Slicer's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from Rep3DSegmentationLib.click.entries import signature_of
from Rep3DSegmentationLib.replacing import tag
from vtk.util.numpy_support import vtk_to_numpy

BINARY_LABELMAP = "Binary labelmap"


class Editor:
    """The editor around one instance of the effect. ``effect``: the host's side of it."""

    def __init__(self, effect: Any):
        self.effect = effect

    @property
    def node(self) -> Any:
        """The Segment Editor node, None while there is none (the scene is being closed)."""
        return self.effect.parameterSetNode()

    @property
    def volume(self) -> Any:
        """The source volume, or None."""
        return self.node.GetSourceVolumeNode() if self.node is not None else None

    @property
    def segmentation(self) -> Any:
        """The segmentation node, or None."""
        return self.node.GetSegmentationNode() if self.node is not None else None

    @property
    def segment_id(self) -> str:
        """ID of the selected segment, "" for none."""
        return (self.node.GetSelectedSegmentID() or "") if self.node is not None else ""

    def segment(self, segment_id: str) -> Any:
        """A segment by its ID, or None."""
        node = self.segmentation
        return node.GetSegmentation().GetSegment(segment_id) if node is not None and segment_id else None

    def context(self) -> tuple:
        """What a click belongs to (the volume as it is now, segmentation and segment): it must reach nothing else."""
        volume, segmentation = self.volume, self.segmentation
        if volume is None or segmentation is None:
            return ()
        transform = segmentation.GetParentTransformNode()
        frame = (transform.GetID(), transform.GetTransformToWorldMTime()) if transform is not None else ("", 0)
        return volume.GetID(), signature_of(volume), segmentation.GetID(), frame, self.segment_id

    def confirm_visible(self) -> bool:
        """Ask about a hidden segment. False: do not go on; after a dialog the click must be made again, with the
        segment in view."""
        return int(self.effect.confirmCurrentSegmentVisible()) == int(self.effect.ConfirmedWithoutDialog)

    def reference(self) -> Any:
        """An image with the geometry that is edited, without voxels; None if there is none yet."""
        return self.effect.referenceGeometryImage()

    def save_state(self) -> None:
        """Begin a new step of undo."""
        self.effect.saveStateForUndo()

    def change(self, segment_id: str, image: Any, remove: bool) -> int:
        """Add an image's voxels to a segment, or remove them, by Slicer's rules; returns how many voxels changed."""
        before = self.count(segment_id, image)
        mode = slicer.qSlicerSegmentEditorAbstractEffect
        mode = mode.ModificationModeRemove if remove else mode.ModificationModeAdd
        if segment_id == self.segment_id:
            self.effect.modifySelectedSegmentByLabelmap(image, mode)
        else:
            self.effect.modifySegmentByLabelmap(self.segmentation, segment_id, image, mode)
        return abs(self.count(segment_id, image) - before)

    def count(self, segment_id: str, image: Any) -> int:
        """Voxels of a segment within the extent of an image on the same lattice."""
        segment = self.segment(segment_id)
        if segment is None:
            return 0
        return int(
            np.count_nonzero(_within(segment.GetRepresentation(BINARY_LABELMAP), image) == segment.GetLabelValue())
        )

    def filled(self, image: Any) -> int:
        """Voxels of all layers of all segments that are set within the extent of an image on the same lattice."""
        segmentation, layers = self.segmentation.GetSegmentation(), {}
        for index in range(segmentation.GetNumberOfSegments()):
            layer = segmentation.GetNthSegment(index).GetRepresentation(BINARY_LABELMAP)
            if layer is not None:
                layers[layer.GetAddressAsString("")] = layer
        return sum(int(np.count_nonzero(_within(layer, image))) for layer in layers.values())

    def fingerprint(self) -> tuple:
        """Changes with any change of the segments' voxels, names, colours or codes; not with how they are shown."""
        node = self.segmentation
        if node is None:
            return ()
        segmentation, state = node.GetSegmentation(), []
        source = segmentation.GetSourceRepresentationName()
        for index in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(index)
            data = segment.GetRepresentation(source)
            voxels = (0, 0) if data is None else (data.GetMTime(), data.GetAddressAsString(""))
            codes = tag(segment, slicer.vtkSegment.GetTerminologyEntryTagName())
            look = (segment.GetName(), segment.GetColor(), codes, segment.GetLabelValue())
            state.append((segmentation.GetNthSegmentID(index), voxels, look))
        return node.GetID(), self.segment_id, tuple(state)

    def undo(self) -> bool:
        """Undo the last step with the editor's own undo. False: the editor cannot be reached or had nothing to undo."""
        widget = self.effect.optionsFrame()
        while widget is not None and widget.className() != "qMRMLSegmentEditorWidget":
            widget = widget.parentWidget()
        if widget is None:
            return False
        before = self.fingerprint()
        widget.undo()
        return self.fingerprint() != before


def _within(layer: Any, image: Any) -> np.ndarray:
    """The voxels of a layer (or None) within the extent of an image on the same lattice, as far as it has any."""
    if layer is None or layer.GetPointData().GetScalars() is None:
        return np.zeros((0, 0, 0), np.uint8)
    have, want = (np.array(one.GetExtent()).reshape(3, 2) for one in (layer, image))
    low, high = np.maximum(have[:, 0], want[:, 0]), np.minimum(have[:, 1], want[:, 1])
    if (low > high).any():
        return np.zeros((0, 0, 0), np.uint8)
    voxels = vtk_to_numpy(layer.GetPointData().GetScalars()).reshape(layer.GetDimensions(), order="F")
    return voxels[tuple(slice(a - start, z - start + 1) for a, z, start in zip(low, high, have[:, 0]))]
