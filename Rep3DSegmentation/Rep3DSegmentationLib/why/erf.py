"""The effective receptive field (ERF) of a voxel in the patient: a volume, surfaces around most of it, numbers.

The nodes lie below the scan's own transform, so that they stay with it when it is moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ..grids import has_shear
from ..i18n import _
from ..removal import remove
from ..volumes import ExportedVolume
from .folder import ERF, GROUP, keep, kept
from .images import fill_volume, new_volume
from .overlay import set_display
from .points import Point
from .surfaces import level_holding, smoothed, surface_at
from .tables import fill_table, new_table, rows_of

#: Shares of the contribution that surfaces enclose: role, share, colour, opacity.
SURFACES = (("surface 50", 0.5, (0.98, 0.75, 0.20), 0.85), ("surface 90", 0.9, (0.90, 0.30, 0.20), 0.30))
UNIT = "|d logit / d intensity| per voxel, intensities normalised as for the network"


@dataclass(frozen=True)
class ErfNodes:
    """What one ERF put into the scene. surfaces: models by share in percent; table: one row an ERF of this scan."""

    volume: Any
    surfaces: Mapping[int, Any]
    table: Any
    class_name: str
    radius50_mm: float
    radius90_mm: float
    warnings: tuple[str, ...] = ()


def local_affine(exported: ExportedVolume, affine_world: np.ndarray) -> np.ndarray:
    """4x4 of an array that lies in the world, in the coordinates of the scan (before its parent transform).

    From the scan as it was when it was read: a transform that has changed since then moves both.
    """
    if exported.hardened:
        return np.asarray(affine_world, float)
    to_scan = exported.grid.affine @ np.linalg.inv(np.array(exported.affine))
    return to_scan @ np.asarray(affine_world, float)


def inside_scan(field_XYZ: np.ndarray, affine_world: np.ndarray, exported: ExportedVolume) -> tuple[np.ndarray, float]:
    """The field without its voxels outside of the scan, and the share that these had.

    A scan smaller than the network's window is padded; what lies there is no part of the patient.
    """
    to_index = np.linalg.inv(np.array(exported.affine)) @ affine_world
    within = np.ones(field_XYZ.shape, bool)
    x, y, z = np.ogrid[tuple(slice(n) for n in field_XYZ.shape)]
    for row, count in zip(to_index[:3], exported.shape):
        index = row[0] * x + row[1] * y + row[2] * z + row[3]
        within &= (index >= -0.5 - 1e-6) & (index <= count - 0.5 + 1e-6)
    inside = np.where(within, field_XYZ, 0)
    total = float(field_XYZ.sum(dtype=np.float64))
    return inside, 1 - float(inside.sum(dtype=np.float64)) / total if total > 0 else 0.0


def show_erf(
    field_XYZ: np.ndarray, result: Mapping[str, Any], exported: ExportedVolume, scan: Any, point: Point
) -> ErfNodes:
    """Bring the worker's ``erf`` into the scene; an earlier one of the same class and point is replaced.

    Args:
        field_XYZ: |gradient|, not negative. result: the worker's answer, whose ``affine`` leads to the world.

    Raises:
        ValueError: the field is zero everywhere.
    """
    name = _("ERF {structure} at {point}").format(structure=result["class_name"], point=point.name)
    title = f"{scan.GetName()} {name}"
    affine = local_affine(exported, np.array(result["affine"]))
    field_XYZ, outside = inside_scan(field_XYZ, np.array(result["affine"]), exported)
    order = smoothed(field_XYZ)
    levels = {role: level_holding(field_XYZ, share, order) for role, share, _color, _opacity in SURFACES}
    remove([node for node in kept(ERF, scan=scan) if node.GetAttribute(GROUP) == name])
    volume = _keep(new_volume(title), "volume", name, scan, exported)
    fill_volume(volume, np.asarray(field_XYZ, np.float32), affine)
    volume.SetDescription(f"{name}: {UNIT}")
    set_display(volume, field_XYZ)
    surfaces = {}
    for role, share, color, opacity in SURFACES:
        model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", f"{title}, {share:.0%}")
        model.SetAndObservePolyData(surface_at(order, levels[role], affine))
        model.CreateDefaultDisplayNodes()
        display = model.GetDisplayNode()
        display.SetColor(*color)
        display.SetOpacity(opacity)
        display.SetBackfaceCulling(False)
        display.SetVisibility2D(True)
        display.SetSliceIntersectionThickness(2)
        surfaces[round(100 * share)] = _keep(model, role, name, scan, exported)
    warnings = list(result.get("warnings", ()))
    if has_shear(affine):
        warnings.append(_("The axes of the field are not at right angles; some views show such volumes askew."))
    row = _row(name, result, point, outside, order, levels)
    return ErfNodes(
        volume,
        surfaces,
        _add_row(row, scan),
        str(result["class_name"]),
        float(result["radius50_mm"]),
        float(result["radius90_mm"]),
        tuple(warnings),
    )


def _keep(node: Any, role: str, name: str, scan: Any, exported: ExportedVolume) -> Any:
    node.SetAttribute(GROUP, name)
    transform = None if exported.hardened else scan.GetTransformNodeID()
    if node.GetTransformNodeID() != transform:
        node.SetAndObserveTransformNodeID(transform)
    return keep(node, ERF, role, scan)


def _row(
    name: str,
    result: Mapping[str, Any],
    point: Point,
    outside: float,
    order_XYZ: np.ndarray,
    levels: Mapping[str, float],
) -> dict[str, Any]:
    voxel_ml = abs(np.linalg.det(np.array(result["affine"])[:3, :3])) / 1000
    sizes = [float((order_XYZ >= levels[role]).sum() * voxel_ml) for role, *_rest in SURFACES]
    negative = (result.get("numbers") or {}).get("negative")
    return {
        _("ERF"): name,
        _("Structure"): str(result["class_name"]),
        _("R (mm)"): point.ras[0],
        _("A (mm)"): point.ras[1],
        _("S (mm)"): point.ras[2],
        _("Logit"): float(result["value"]),
        _("50 % within (mm)"): float(result["radius50_mm"]),
        _("90 % within (mm)"): float(result["radius90_mm"]),
        _("50 % surface (mL)"): sizes[0],
        _("90 % surface (mL)"): sizes[1],
        _("Outside the scan (%)"): 100 * outside,
        _("Lowers the logit (%)"): None if negative is None else 100 * negative,
    }


def _add_row(row: Mapping[str, Any], scan: Any) -> Any:
    """The table of the scan's ERFs with this row added, or put in place of that of the same ERF."""
    found = kept(ERF, "table", scan)
    table = found[0] if found else new_table(_("{name} ERF numbers").format(name=scan.GetName()))
    first = next(iter(row))
    rows = [old for old in rows_of(table) if old.get(first) and old[first] != row[first]]
    columns = [(title, "", [*(_value(old.get(title), value) for old in rows), value]) for title, value in row.items()]
    return keep(fill_table(table, columns), ERF, "table", scan)


def _value(text: str | None, like: Any) -> Any:
    """A table's text as what the new row has there."""
    if isinstance(like, str):
        return text or ""
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
