"""A pick becomes part of a segment: one step of undo, and nothing that Slicer's rules forbid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from Rep3DSegmentationLib.click.modifier import to_modifier
from Rep3DSegmentationLib.click.picking import Pick
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from .editor import Editor
from .interaction import REMOVE, TAKE, ClickPoint
from .naming import has_default_name, mark_demo, name_of, segment_of, take_identity
from .status import INFO, WARNING, Status


@dataclass(frozen=True)
class Committed:
    """What a click did: voxels of the segment that changed, what to say about it, and whether undo takes it back.

    ``undoable`` is false if no segment has changed: Slicer keeps no step of undo for that, and the next undo would take
    back what was done before.
    """

    changed: int
    status: Status
    undoable: bool


def commit(
    editor: Editor, pick: Pick, point: ClickPoint, task: str, name_segment: bool, demo: bool
) -> Committed | None:
    """Add a pick to the selected segment, or remove it; with a new step of undo. ``demo``: see ``naming.name_of``.

    Returns None, without such a step, if nothing of the pick lies within the geometry that is edited.
    """
    reference = editor.reference()
    if reference is None:
        return None
    image, warnings = to_modifier(pick, editor.volume, editor.segmentation, reference, point.ras)
    if not holds_any(image):
        return None
    segment_id = editor.segment_id
    editor.save_state()
    filled = editor.filled(image)
    changed = editor.change(segment_id, image, remove=point.action == REMOVE)
    undoable = bool(changed) or editor.filled(image) != filled  # others may have given way to what was there already
    segment = editor.segment(segment_id)
    if changed and point.action == TAKE and name_segment and has_default_name(segment):
        take_identity(segment, pick.hit.label, task, demo)
    if changed and demo and point.action != REMOVE:
        mark_demo(segment)
    return Committed(changed, _describe(pick, point, changed, image, segment.GetName(), warnings), undoable)


def fill_all(editor: Editor, picks: Sequence[Pick], task: str, demo: bool) -> Status:
    """One segment for each pick, named after its structure; a segment that was so named before is added to.

    All of it is one step of undo.
    """
    reference = editor.reference()
    if reference is None:
        return Status(_("The segmentation has no geometry yet: choose a source volume."), WARNING)
    segmentation = editor.segmentation.GetSegmentation()
    editor.save_state()
    names, kept_out = [], []
    for pick in picks:
        image, _warnings = to_modifier(pick, editor.volume, editor.segmentation, reference)
        if not holds_any(image):
            continue
        label = pick.hit.label
        segment_id = segment_of(segmentation, label, task)
        if segment_id is None:
            segment_id = segmentation.AddEmptySegment("", name_of(label, demo), [c / 255 for c in label["color"]])
            take_identity(segmentation.GetSegment(segment_id), label, task, demo)
        changed = editor.change(segment_id, image, remove=False)
        if changed and demo:
            mark_demo(segmentation.GetSegment(segment_id))
        (names if changed or editor.count(segment_id, image) else kept_out).append(str(label["name"]))
    text = _("Filled: {names}.").format(names=", ".join(names)) if names else _("No structure was found.")
    if kept_out:
        forbidden = _("Not editable by the masking settings: {names}.").format(names=", ".join(kept_out))
        return Status(f"{text} {forbidden}", WARNING)
    return Status(text)


def holds_any(image: Any) -> bool:
    """Has an image a voxel that is set?"""
    scalars = image.GetPointData().GetScalars()
    return scalars is not None and bool(np.any(vtk_to_numpy(scalars)))


def volume_ml(image: slicer.vtkOrientedImageData, voxels: int) -> float:
    """Millilitres of a number of voxels of an image."""
    return float(np.prod(image.GetSpacing())) * voxels / 1000


def _describe(pick: Pick, point: ClickPoint, changed: int, image: Any, segment: str, warnings: Sequence[str]) -> Status:
    values = {
        "name": pick.hit.name,
        "segment": segment,
        "count": changed,
        "size": volume_ml(image, changed),
        "probability": pick.hit.probability,
    }
    if point.action == REMOVE:
        text = _("{name}: {count} voxels ({size:.3g} mL) removed from {segment}.")
        nothing = _("{name}: nothing of it is in {segment}.")
    else:
        text = _("{name}: {count} voxels ({size:.3g} mL) added to {segment}, probability {probability:.0%} here.")
        if segment == pick.hit.name:
            text = _("{name}: {count} voxels ({size:.3g} mL) added, probability {probability:.0%} here.")
        nothing = _("{name}: nothing changed. It is in {segment} already, or the masking settings protect it.")
    said = (text if changed else nothing).format(**values)
    return Status(" ".join((said, *warnings)), WARNING if warnings or not changed else INFO)
