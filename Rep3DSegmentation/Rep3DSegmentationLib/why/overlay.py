"""The receptive field as a colour over the scan in the slice views."""

from __future__ import annotations

from typing import Any

import numpy as np

from .colors import field_colors
from .folder import ERF, GROUP, kept
from .images import show_range
from .layout import composites, jump_to
from .surfaces import level_holding

OPACITY = 0.65
#: The display leaves out voxels beyond those that hold this share of the field; the brightest hold this one.
SHOWN, BRIGHTEST = 0.7, 0.2


def set_display(volume: Any, field_XYZ: np.ndarray) -> None:
    """Window, colours and threshold of the display: weak voxels are clear, the voxels themselves stay as they are."""
    top = level_holding(field_XYZ, BRIGHTEST)
    clear = level_holding(field_XYZ, SHOWN)
    show_range(volume, 0.0, max(top, clear * 1.01), field_colors())
    display = volume.GetDisplayNode()
    display.SetThreshold(clear, float(np.max(field_XYZ)))
    display.SetApplyThreshold(True)


def show_overlay(volume: Any, scan: Any, ras: Any = None) -> None:
    """Show a field over its scan in all slice views but those of the masks' layout, at ``ras`` (mm) when given."""
    for composite in composites(own=False):
        background = composite.GetBackgroundVolumeID()
        if background != scan.GetID():
            composite.SetBackgroundVolumeID(scan.GetID())
        composite.SetForegroundVolumeID(volume.GetID())
        composite.SetForegroundOpacity(OPACITY)
    for node in kept(ERF):
        if node.IsA("vtkMRMLModelNode"):
            node.SetDisplayVisibility(node.GetAttribute(GROUP) == volume.GetAttribute(GROUP))
    if ras is not None:
        jump_to(ras)


def clear_overlays() -> None:
    """Take our volumes out of all slice views."""
    ours = {node.GetID() for node in kept()}
    for composite in [*composites(own=False), *composites(own=True)]:
        if composite.GetForegroundVolumeID() in ours:
            composite.SetForegroundVolumeID(None)
            composite.SetForegroundOpacity(0.0)
        if composite.GetBackgroundVolumeID() in ours:
            composite.SetBackgroundVolumeID(None)
