"""Volume rendering of kernels and masks: transfer functions that suit them, whatever presets the application has."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

#: From weak to strong, dark to bright (red, green, blue).
RAMP = ((0.23, 0.06, 0.38), (0.55, 0.13, 0.42), (0.85, 0.30, 0.30), (0.98, 0.60, 0.16), (0.99, 0.95, 0.60))
POSITIVE, NEGATIVE = (0.90, 0.32, 0.20), (0.20, 0.45, 0.85)
#: Opacity a tap at quantiles of the magnitude: most taps are weak, and would hide the strong ones.
QUANTILES = ((0.55, 0.0), (0.80, 0.03), (0.95, 0.12), (0.99, 0.35), (1.0, 0.85))


def render_volume(volume: Any, values_XYZ: np.ndarray) -> Any:
    """The volume-rendering display node of a volume, made when it has none, with a transfer function for its values."""
    logic = slicer.modules.volumerendering.logic()
    display = logic.GetFirstVolumeRenderingDisplayNode(volume)
    if display is None:
        display = logic.CreateDefaultVolumeRenderingNodes(volume)
        display.SetVisibility(False)
    fill_property(display.GetVolumePropertyNode().GetVolumeProperty(), values_XYZ)
    display.SetFollowVolumeDisplayNode(False)
    return display


def fill_property(volume_property: vtk.vtkVolumeProperty, values_XYZ: np.ndarray) -> None:
    """Colours and opacities for these values; with both signs, positive ones are red and negative ones blue."""
    points = transfer_points(values_XYZ)
    opacity, color = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    for value, alpha, rgb in points:
        opacity.AddPoint(value, alpha)
        color.AddRGBPoint(value, *rgb)
    volume_property.SetScalarOpacity(opacity)
    volume_property.SetColor(color)
    volume_property.SetInterpolationTypeToLinear()
    volume_property.ShadeOff()


def transfer_points(values_XYZ: np.ndarray) -> list[tuple[float, float, tuple[float, float, float]]]:
    """(value, opacity 0 to 1, (r, g, b)) in rising order of the value."""
    values = np.asarray(values_XYZ, np.float64)
    if values.min() < 0 < values.max():
        magnitude = np.abs(values)
        steps = [(_quantile(magnitude, q), alpha) for q, alpha in QUANTILES]
        rising = [(v, alpha, POSITIVE) for v, alpha in steps if v > 0]
        falling = [(-v, alpha, NEGATIVE) for v, alpha in reversed(steps) if v > 0]
        return _strictly_rising([*falling, (0.0, 0.0, (0.8, 0.8, 0.8)), *rising])
    steps = [(_quantile(values, q), alpha) for q, alpha in QUANTILES]
    return _strictly_rising([(v, alpha, rgb) for (v, alpha), rgb in zip(steps, RAMP)])


def _quantile(values: np.ndarray, share: float) -> float:
    return float(np.quantile(values, share))


def _strictly_rising(points: list[tuple[float, float, tuple]]) -> list[tuple[float, float, tuple]]:
    """Without points at the same value, of which the later one counts."""
    kept: list[tuple[float, float, tuple]] = []
    for point in points:
        if kept and point[0] <= kept[-1][0]:
            kept[-1] = point if point[1] >= kept[-1][1] else kept[-1]
        else:
            kept.append(point)
    return kept
