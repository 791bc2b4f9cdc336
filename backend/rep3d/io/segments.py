"""3D Slicer segmentations (.seg.nrrd): which segment is which structure of a task, by name and terminology.

A label value in such a file is Slicer's own affair and may differ from file to file; what a segment is, its name says,
or its code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.io.header import CORRECT, whole
from rep3d.io.nrrd import read_layers
from rep3d.io.nrrd_header import MAGIC, read_nrrd_header
from rep3d.io.stored import first_bytes

if TYPE_CHECKING:
    from rep3d.tasks import Code, Label

_KEY = re.compile(r"Segment([0-9]{1,5})_(ID|Name|LabelValue|Layer|Tags)\Z")
_RENAME = "Name the segments as the task's structures (Segmentations module of 3D Slicer), or delete those in excess."


class NotTheTasks(BadInput):
    """A segmentation whose segments are not the structures of a task, or overlap."""


@dataclass(frozen=True)
class Segment:
    """A segment and where its voxels are: ``value`` in the label map number ``layer``.

    codes: of its type and type modifier by the terminology, each as scheme^value, "" without one.
    """

    id: str
    name: str
    value: int
    layer: int
    codes: tuple[str, str]


def plain_name(text: str) -> str:
    """A name as names are compared: letters and digits alone, in small letters, British spelling as American."""
    return re.sub(r"[\W_]+", "", text.casefold()).replace("tumour", "tumor")


def is_segmentation(path: Path) -> bool:
    """Whether a file is an NRRD file that names segments. Raises BadInput for a damaged header."""
    if first_bytes(path, len(MAGIC))[0] != MAGIC:
        return False
    return any(_KEY.match(key) for key in read_nrrd_header(path).pairs)


def read_segmentation(path: Path, labels: Sequence[Label]) -> Volume:
    """Read a segmentation as a label map with the values of ``labels``.

    Raises:
        NotTheTasks: a segment with voxels that is none of ``labels``, two segments for one of them, segments that
            overlap, voxels of no segment.
        BadInput, OutOfMemory: as for any image.
    """
    layers, geometry, warnings, pairs = read_layers(path)
    if layers.dtype.kind not in "iu":
        raise NotTheTasks(f"{path}: the segments are stored as {layers.dtype}, not as whole numbers.", CORRECT)
    segments = _segments(path, pairs, len(layers))
    out = np.zeros(layers.shape[1:], np.uint16, order="F")
    taken: dict[int, Segment] = {}
    strange = []
    for segment in segments:
        mask = layers[segment.layer] == segment.value
        if not mask.any():
            continue
        label = label_of(segment, labels)
        if label is None:
            strange.append(segment.name)
            continue
        if label.value in taken:
            both = f"{taken[label.value].name} and {segment.name}"
            raise NotTheTasks(f"{path}: the segments {both} are both {label.name}.", _RENAME)
        if (shared := int(np.count_nonzero(out[mask]))) > 0:
            raise NotTheTasks(
                f"{path}: the segment {segment.name} overlaps others in {shared} voxels; a voxel has one label here.",
                "Let the segments exclude each other (Segment Editor, Masking, or Logical operators) and save again.",
            )
        taken[label.value] = segment
        out[mask] = label.value
    if strange:
        known = ", ".join(label.name for label in labels)
        raise NotTheTasks(f"{path}: no structure of the task is {', '.join(strange)} (there are {known}).", _RENAME)
    _check_all_named(path, layers, segments)
    return Volume(out, geometry.affine_ras, geometry, path, tuple(warnings))


def label_of(segment: Segment, labels: Sequence[Label]) -> Label | None:
    """The structure that a segment is: by its name or id, else by the codes of its terminology; None without one."""
    for text in (segment.name, segment.id):
        for label in labels:
            if plain_name(text) in (plain_name(label.name), plain_name(label.key)):
                return label
    found = [label for label in labels if segment.codes[0] and _codes(label.type, label.modifier) == segment.codes]
    return found[0] if len(found) == 1 else None


def _codes(kind: Code, modifier: Code | None) -> tuple[str, str]:
    return f"{kind.scheme}^{kind.value}", f"{modifier.scheme}^{modifier.value}" if modifier else ""


def _segments(path: Path, pairs: Mapping[str, str], layers: int) -> list[Segment]:
    """The segments that a header names, in order. Raises BadInput for one that is nowhere, or two in one place."""
    fields: dict[int, dict[str, str]] = {}
    for key, value in pairs.items():
        if match := _KEY.match(key):
            fields.setdefault(int(match[1]), {})[match[2]] = value
    found = []
    for number, of in sorted(fields.items()):
        key = f"Segment{number}"
        # Files before Slicer 4.11 have neither: each segment is alone in its layer, with the value 1.
        alone = "LabelValue" not in of and "Layer" not in of
        value = whole(path, f"{key}_LabelValue", of.get("LabelValue", "1"), 1, 1 << 31)
        layer = whole(path, f"{key}_Layer", of.get("Layer", str(len(found)) if alone else "0"), 0, layers - 1)
        name = of.get("Name") or of.get("ID") or key
        found.append(Segment(of.get("ID", ""), name, value, layer, _terminology(of.get("Tags", ""))))
    places = {(segment.layer, segment.value): segment.name for segment in found}
    if len(places) < len(found):
        raise BadInput(f"{path}: two of its segments have the same voxels (LabelValue and Layer).", CORRECT)
    return found


def _terminology(tags: str) -> tuple[str, str]:
    """Codes of type and modifier from a segment's tags: ...|TerminologyEntry:context~category~type~modifier~...|..."""
    entry = next((tag for tag in tags.split("|") if tag.startswith("TerminologyEntry:")), "")
    parts = [part.split("^") for part in entry.split("~")]
    kind, modifier = (
        "^".join(parts[i][:2]) if len(parts) > i and len(parts[i]) >= 2 and parts[i][1] else "" for i in (2, 3)
    )
    return kind, modifier


def _check_all_named(path: Path, layers: np.ndarray, segments: Sequence[Segment]) -> None:
    for number, layer in enumerate(layers):
        named = {0, *(segment.value for segment in segments if segment.layer == number)}
        if nameless := sorted(set(np.unique(layer).tolist()) - named):
            raise NotTheTasks(f"{path}: voxels of value {nameless[:5]} belong to no segment.", CORRECT)
