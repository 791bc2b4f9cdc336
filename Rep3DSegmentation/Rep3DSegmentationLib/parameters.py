"""Every choice of the panel, kept in a ``vtkMRMLScriptedModuleNode`` so that it is saved with the scene.

The node holds text and node references only. What is read back may come from an older version, another machine or a
hand-edited scene, so each value is checked where it is read and an unusable one gives way to the default.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any

#: Range of the overlap of neighbouring windows, as the worker accepts it.
OVERLAP_RANGE = (0.0, 0.9)
#: What computes the network on a processor, as the worker names it.
ENGINES = ("auto", "torch", "openvino")
#: Formats of batch results that the worker writes.
BATCH_FORMATS = ("nii.gz", "seg.nrrd", "nrrd", "nii", "dcm")

VOLUME, ROI, SEGMENTATION = "InputVolume", "RegionOfInterest", "OutputSegmentation"


@dataclass(frozen=True)
class Quality:
    """A named pair of overlap and mirrored copies."""

    key: str
    overlap: float
    tta: bool


QUALITIES = (Quality("fast", 0.25, False), Quality("standard", 0.5, False), Quality("best", 0.75, True))


@dataclass(frozen=True)
class Choices:
    """The values of the node beside its node references.

    Attributes:
        task: key of the task, "" when none was chosen yet.
        weights: path of a weights file, "" for those that are installed for the task.
        suggested: the task that was proposed for the scan, "" once somebody has chosen; another scan may change it.
        device: "auto", "cpu", "cuda:0" ...; engine: "auto", "torch" or "openvino".
        overlap: 0 to 0.9 of a window; tta: average mirrored copies.
        islands: remove small parts of each structure; None: as the weights' validation says.
        structures: the task they belong to and the keys that are wanted, or None for all.
        harden: segment a hardened copy of a volume under a non-linear transform.
        all_frames: of a sequence, instead of the one that is shown.
        batch_input, batch_output: folders; batch_format: suffix of results; batch_overwrite: redo existing ones.
    """

    task: str = ""
    suggested: str = ""
    weights: str = ""
    device: str = "auto"
    engine: str = "auto"
    overlap: float = 0.5
    tta: bool = False
    islands: bool | None = None
    structures: tuple[str, tuple[str, ...]] | None = None
    harden: bool = False
    all_frames: bool = False
    batch_input: str = ""
    batch_output: str = ""
    batch_format: str = "nii.gz"
    batch_overwrite: bool = False

    @property
    def task_is_suggested(self) -> bool:
        """Nobody has chosen the task: it may follow the scan."""
        return self.task in ("", self.suggested)

    @property
    def quality(self) -> str:
        """Key of the preset that overlap and mirrored copies amount to, or "custom"."""
        for quality in QUALITIES:
            if abs(quality.overlap - self.overlap) < 1e-6 and quality.tta == self.tta:
                return quality.key
        return "custom"

    def wanted(self, task: str) -> tuple[str, ...] | None:
        """Keys of the structures wanted of ``task``; None for all. A choice made for another task does not count."""
        return self.structures[1] if self.structures and self.structures[0] == task else None


class Parameters:
    """Typed access to one parameter node. The node is the only place where choices live; nothing is cached here."""

    def __init__(self, node: Any):
        self.node = node

    @property
    def choices(self) -> Choices:
        """All values as they are now."""
        values: dict[str, Any] = {}
        for field in fields(Choices):
            text = self.node.GetParameter(field.name)
            if text:
                value = _READ[field.name](text)
                if value is not _UNUSABLE:
                    values[field.name] = value
        return Choices(**values)

    def set(self, **values: Any) -> None:
        """Store values by the names of :class:`Choices`; the node reports one change. Raises KeyError for others."""
        texts = {name: _WRITE[name](value) for name, value in values.items()}
        modify = self.node.StartModify()
        try:
            for name, text in texts.items():
                self.node.SetParameter(name, text)
        finally:
            self.node.EndModify(modify)

    def set_defaults(self) -> None:
        """Store the default of each value that the node does not have yet, so that the scene says what was used."""
        defaults = Choices()
        missing = {f.name: getattr(defaults, f.name) for f in fields(Choices) if not self.node.HasParameter(f.name)}
        if missing:
            self.set(**missing)

    def use_quality(self, key: str) -> None:
        """Store the overlap and mirrored copies of a preset; "custom" leaves them as they are."""
        for quality in QUALITIES:
            if quality.key == key:
                self.set(overlap=quality.overlap, tta=quality.tta)

    def want(self, task: str, keys: tuple[str, ...], known: tuple[str, ...]) -> None:
        """Store which structures of ``task`` are wanted; all of those ``known`` is stored as no choice."""
        self.set(structures=None if set(keys) == set(known) else (task, tuple(keys)))

    def reference(self, role: str) -> Any:
        """The node in ``role`` (VOLUME, ROI or SEGMENTATION), or None when there is none or it left the scene."""
        return self.node.GetNodeReference(role)

    def set_reference(self, role: str, node: Any) -> None:
        """Refer to ``node`` (None for none) in ``role``."""
        node_id = node.GetID() if node is not None else None
        if node_id != self.node.GetNodeReferenceID(role):
            self.node.SetNodeReferenceID(role, node_id)


_UNUSABLE = object()


def _read_overlap(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        return _UNUSABLE
    return min(max(value, OVERLAP_RANGE[0]), OVERLAP_RANGE[1]) if math.isfinite(value) else _UNUSABLE


def _read_flag(text: str) -> Any:
    return {"true": True, "false": False}.get(text, _UNUSABLE)


def _read_islands(text: str) -> Any:
    return None if text == "default" else _read_flag(text)


def _write_islands(value: bool | None) -> str:
    return "default" if value is None else _write_flag(value)


def _read_engine(text: str) -> Any:
    return text if text in ENGINES else _UNUSABLE


def _read_structures(text: str) -> Any:
    try:
        data = json.loads(text)
    except ValueError:
        return _UNUSABLE
    if data is None:
        return None
    if not isinstance(data, dict) or not isinstance(data.get("task"), str) or not isinstance(data.get("keys"), list):
        return _UNUSABLE
    return (data["task"], tuple(key for key in data["keys"] if isinstance(key, str)))


def _write_structures(value: tuple[str, tuple[str, ...]] | None) -> str:
    return "null" if value is None else json.dumps({"task": value[0], "keys": list(value[1])})


def _read_format(text: str) -> Any:
    return text if text in BATCH_FORMATS else _UNUSABLE


def _write_flag(value: bool) -> str:
    return "true" if value else "false"


_READ = {field.name: str for field in fields(Choices)} | {
    "overlap": _read_overlap,
    "tta": _read_flag,
    "engine": _read_engine,
    "islands": _read_islands,
    "structures": _read_structures,
    "harden": _read_flag,
    "all_frames": _read_flag,
    "batch_format": _read_format,
    "batch_overwrite": _read_flag,
}
_WRITE: dict[str, Any] = {field.name: str for field in fields(Choices)} | {
    "overlap": lambda value: f"{value:.4g}",
    "tta": _write_flag,
    "islands": _write_islands,
    "structures": _write_structures,
    "harden": _write_flag,
    "all_frames": _write_flag,
    "batch_overwrite": _write_flag,
}
