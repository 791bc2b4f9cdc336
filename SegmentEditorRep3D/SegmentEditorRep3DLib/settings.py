"""The choices of the effect, kept as parameters of the Segment Editor node so that they are saved with the scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from Rep3DSegmentationLib.click.entries import ClickOptions

#: Names by which scripts and scenes know the effect and its parameters; never translated.
EFFECT_NAME = "Rep3D"
VOLUME, LOCAL = "volume", "local"
THRESHOLD_RANGE = (0.05, 0.99)
SMOOTHING_RANGE_MM = (0.0, 10.0)


@dataclass(frozen=True)
class Settings:
    """All choices.

    Attributes:
        Task: key of the task, "" while none is chosen. Weights: path of a file, "" for those installed for the task.
        Device: "auto", "cpu", "cuda:0"...
        Mode: "volume" (the whole volume is segmented once) or "local" (one patch around each click).
        Threshold: probability from which a voxel is taken. SmoothingMm: of the probabilities before that, in mm.
        SliceOnly: only the current slice. AllOfClass: everything of the structure, also what does not hang together.
        NameSegment: give a segment that still has its default name that of the structure, with its colour and codes.
    """

    Task: str = ""
    Weights: str = ""
    Device: str = "auto"
    Mode: str = VOLUME
    Threshold: float = 0.5
    SmoothingMm: float = 0.0
    SliceOnly: bool = False
    AllOfClass: bool = False
    NameSegment: bool = True

    @property
    def options(self) -> ClickOptions:
        """What decides the network's answer."""
        return ClickOptions(task=self.Task or None, weights=self.Weights or None, device=self.Device or "auto")

    @property
    def shape(self) -> tuple[float, float, bool, bool]:
        """What decides which part of the network's answer a click takes."""
        return self.Threshold, self.SmoothingMm, self.SliceOnly, self.AllOfClass


DEFAULTS = Settings()
NAMES = tuple(field.name for field in fields(Settings))


def set_defaults(effect: Any) -> None:
    """Give the parameters that the node does not have yet their defaults. ``effect``: the host's side of the effect."""
    for name in NAMES:
        effect.setParameterDefault(name, _text(getattr(DEFAULTS, name)))


def read(effect: Any) -> Settings:
    """The parameters as they are now. What cannot be used (an edited scene) gives way to its default."""
    values = {}
    for name in NAMES:
        if effect.parameterDefined(name):
            value = _value(name, effect.parameter(name))
            if value is not None:
                values[name] = value
    return Settings(**values)


def write(effect: Any, **values: Any) -> None:
    """Store some of the parameters. Raises ValueError for an unknown name or a value that cannot be used."""
    for name, value in values.items():
        if name not in NAMES or _value(name, _text(value)) is None:
            raise ValueError(f"{name} cannot be {value!r}")
    for name, value in values.items():
        effect.setParameter(name, _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(name: str, text: str) -> Any:
    """The value of a parameter from its text; None if it is unusable."""
    default = getattr(DEFAULTS, name)
    if isinstance(default, bool):
        return {"0": False, "1": True, "false": False, "true": True}.get(text.lower())
    if isinstance(default, float):
        try:
            number = float(text)
        except ValueError:
            return None
        low, high = THRESHOLD_RANGE if name == "Threshold" else SMOOTHING_RANGE_MM
        return min(max(number, low), high) if math.isfinite(number) else None
    if name == "Mode":
        return text if text in (VOLUME, LOCAL) else None
    return text
