"""Colour tables of our volumes: nodes like the others, so that they are saved and removed with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from ..i18n import _
from .folder import ERF, MASK, keep_hidden, kept

COUNT = 256
#: From weak to strong, dark to bright, and from negative over nothing to positive (red, green, blue).
DARK = (0.00, 0.00, 0.02)
RISING = ((0.23, 0.06, 0.38), (0.55, 0.13, 0.42), (0.85, 0.30, 0.30), (0.98, 0.60, 0.16), (0.99, 0.95, 0.60))
SIGNED = ((0.10, 0.30, 0.75), (0.45, 0.66, 0.92), (0.96, 0.96, 0.96), (0.95, 0.58, 0.42), (0.75, 0.12, 0.10))
#: Fields fall off over decades: their colours follow this power of the value.
GAMMA = 0.4


def taps_colors(signed: bool) -> Any:
    """Colours for taps; with both signs, for a range that is symmetric about zero."""
    if signed:
        return _table(MASK, "colors signed", _("Taps of both signs"), _ramp(SIGNED, np.linspace(0, 1, COUNT)))
    return _table(MASK, "colors", _("Taps"), _ramp((DARK, *RISING), np.linspace(0, 1, COUNT)))


def field_colors() -> Any:
    """Colours for a receptive field over a scan; no darker than the scan, which shows through."""
    return _table(ERF, "colors", _("Receptive field"), _ramp(RISING, np.linspace(0, 1, COUNT) ** GAMMA))


def _ramp(stops: tuple[tuple[float, float, float], ...], share: np.ndarray) -> np.ndarray:
    """[COUNT, 3] red, green, blue."""
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(share, at, [stop[i] for stop in stops]) for i in range(3)], axis=1)


def _table(kind: str, role: str, name: str, rgb: np.ndarray) -> Any:
    found = kept(kind, role)
    if found:
        return found[0]
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(f"Rep3D {name}")
    node.SetNumberOfColors(len(rgb))
    for index, color in enumerate(rgb):
        node.SetColor(index, f"{index}", *(float(v) for v in color), 1.0)
    node.SetHideFromEditors(True)
    return keep_hidden(slicer.mrmlScene.AddNode(node), kind, role)
