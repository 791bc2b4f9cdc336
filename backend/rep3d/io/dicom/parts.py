"""A series that holds several volumes: phases, time points, echoes, passes. Find what tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from rep3d.io.dicom.frames import Frame
from rep3d.io.dicom.grid import Misfit, Stack, stack_frames
from rep3d.io.dicom.headers import Unusable, item, numbers, text, whole

MOST_PARTS = 500

# what may tell volumes apart, with the functional group that holds it in a file of many frames
_KEYS = {
    "StudyInstanceUID": (),
    "FrameOfReferenceUID": (),
    "StackID": ("FrameContentSequence",),
    "AcquisitionNumber": (),
    "FrameAcquisitionNumber": ("FrameContentSequence",),
    "TemporalPositionIdentifier": (),
    "TemporalPositionIndex": ("FrameContentSequence",),
    "EchoNumbers": (),
    "EchoTime": (),
    "EffectiveEchoTime": ("MREchoSequence",),
    "DiffusionBValue": ("MRDiffusionSequence",),
    "DiffusionGradientOrientation": ("MRDiffusionSequence", "DiffusionGradientDirectionSequence"),
    "TriggerTime": (),
    "NominalPercentageOfCardiacPhase": ("CardiacSynchronizationSequence",),
    "InversionTime": (),
    "FlipAngle": (),
    "KVP": (),
    "ConvolutionKernel": (),
    "FrameReferenceTime": (),
    "FrameType": ("MRImageFrameTypeSequence",),
    "ImageType": (),
    "AcquisitionDateTime": (),
    "AcquisitionTime": (),
    "FrameAcquisitionDateTime": ("FrameContentSequence",),
    "ContentTime": (),
}
_NUMERIC = {"EchoTime", "EffectiveEchoTime", "TriggerTime", "InversionTime", "FlipAngle", "KVP", "DiffusionBValue"}


@dataclass(frozen=True)
class Part:
    """One volume of a series and what tells it from the others."""

    label: str
    stack: Stack

    def __str__(self) -> str:
        frames = self.stack.frames
        return f"{self.label} ({len(frames)} slices, {frames[0].name} to {frames[-1].name})"


def split(frames: Sequence[Frame]) -> list[Part]:
    """The volumes that the frames form, each on a grid of its own; empty if nothing tells them apart."""
    found = _split(list(frames), "", 0)
    return found or []


def _split(frames: list[Frame], label: str, depth: int) -> list[Part] | None:
    if len(frames) < 2:
        return None
    try:
        return [Part(label, stack_frames(frames))]
    except Misfit:
        pass
    if depth == 3:
        return None
    for name, key in _keys():
        groups: dict[Hashable, list[Frame]] = {}
        for frame, kind in zip(frames, key(frames), strict=True):
            groups.setdefault(kind, []).append(frame)
        if not 2 <= len(groups) <= min(MOST_PARTS, len(frames) // 2):
            continue
        parts: list[Part] = []
        for kind in sorted(groups, key=_rank):
            one = _split(groups[kind], f"{label}, {name} {kind}".lstrip(", "), depth + 1)
            if one is None:
                break
            parts += one
        else:
            return parts
    return None


def _rank(kind: Hashable) -> tuple:
    try:
        return (0, float(kind), "")
    except (TypeError, ValueError):
        return (1, 0.0, str(kind))


def _keys() -> list[tuple[str, Callable[[list[Frame]], list[Hashable]]]]:
    """Names of what may differ, with a function that gives the value for each of many frames."""
    tags = [(name, lambda frames, n=name, g=groups: [_tag(f, n, g) for f in frames]) for name, groups in _KEYS.items()]
    shape = [("size", _sizes), ("orientation", _orientations)]
    return [*shape, *tags, ("pass", _passes)]


def _sizes(frames: list[Frame]) -> list[Hashable]:
    return ["{} x {}".format(*f.size) for f in frames]


def _orientations(frames: list[Frame]) -> list[Hashable]:
    return ["\\".join(f"{v:g}" for v in np.round(f.orientation, 1).ravel() + 0.0) for f in frames]


def _tag(frame: Frame, name: str, groups: tuple[str, ...]) -> str:
    """The value of a tag that belongs to this frame, as text; "" if it is absent or unreadable."""
    dataset: Dataset | None = frame.group if groups else frame.header.dataset
    try:
        if frame.group is not None:
            for group in groups:
                dataset = item(dataset, group)
        elif groups:
            dataset = frame.header.dataset
        if dataset is None:
            return ""
        if name in _NUMERIC:
            return "\\".join(f"{v:g}" for v in numbers(dataset, name) or ())
        return text(dataset, name)
    except Unusable:
        return ""


def _passes(frames: list[Frame]) -> list[Hashable]:
    """The number of the pass through the patient, by the order of acquisition: a new one where the table turns back."""
    order = sorted(range(len(frames)), key=lambda i: (_instance(frames[i]), frames[i].name, frames[i].index))
    normal = np.cross(*frames[0].orientation)
    heights = np.asarray([frames[i].position @ normal for i in order])
    passes, number, way = [0] * len(frames), 1, 0.0
    for k, i in enumerate(order):
        step = heights[k] - heights[k - 1] if k else 0.0
        if (way and step and np.sign(step) != way) or (k and step == 0):
            number, way = number + 1, 0.0
        elif step:
            way = np.sign(step)
        passes[i] = number
    return passes


def _instance(frame: Frame) -> int:
    try:
        return whole(frame.header.dataset, "InstanceNumber") or 0
    except Unusable:
        return 0
