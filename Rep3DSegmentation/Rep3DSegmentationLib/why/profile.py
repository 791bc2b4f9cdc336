"""The radial profile of a mask beside its prior: a table, plot series and a chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from ..i18n import _
from .folder import MASK, keep, kept
from .tables import fill_table, new_table

# Role, column of the table, colour, width, style and mark of each curve.
_LINES = (
    ("mask", (0.80, 0.25, 0.15), 3, "LineStyleSolid", "MarkerStyleCircle"),
    ("low", (0.80, 0.25, 0.15), 1, "LineStyleDot", "MarkerStyleNone"),
    ("high", (0.80, 0.25, 0.15), 1, "LineStyleDot", "MarkerStyleNone"),
    ("prior", (0.15, 0.35, 0.75), 2, "LineStyleDash", "MarkerStyleNone"),
)


def columns() -> dict[str, str]:
    """Title of each column by key."""
    return {
        "radius": _("Radius (taps)"),
        "mask": _("Mask"),
        "low": _("Mask, 10 %"),
        "high": _("Mask, 90 %"),
        "prior": _("Prior"),
        "kernel": _("Kernel, RMS"),
    }


def show_profile(name: str, row: Mapping[str, Any], title: str, scan: Any = None) -> Any:
    """Fill (or make) the table, the series and the chart of a block; returns the chart node.

    Args:
        row: of the worker's ``masks``. title: above the plot.
    """
    titles, mask = columns(), row["profile"]
    values = {
        "radius": mask["radius"],
        "mask": mask["mean"],
        "low": mask["low"],
        "high": mask["high"],
        "prior": row["prior_profile"]["mean"],
        "kernel": row["kernel_profile"]["mean"],
    }
    table = _node("vtkMRMLTableNode", "profile", _("{name} radial profile").format(name=name), scan)
    fill_table(table, [(titles[key], "", values[key]) for key in titles])
    chart = _node("vtkMRMLPlotChartNode", "chart", _("{name} chart").format(name=name), scan)
    chart.RemoveAllPlotSeriesNodeIDs()
    for key, color, width, style, marker in _LINES:
        series = _node("vtkMRMLPlotSeriesNode", f"series {key}", titles[key], scan)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(titles["radius"])
        series.SetYColumnName(titles[key])
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetColor(*color)
        series.SetLineWidth(width)
        series.SetLineStyle(getattr(slicer.vtkMRMLPlotSeriesNode, style))
        series.SetMarkerStyle(getattr(slicer.vtkMRMLPlotSeriesNode, marker))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(title)
    chart.SetXAxisTitle(titles["radius"])
    chart.SetYAxisTitle(_("Value"))
    chart.SetLegendVisibility(True)
    return chart


def _node(class_name: str, role: str, name: str, scan: Any) -> Any:
    """Our node of that role, made when there is none."""
    found = kept(MASK, role)
    if found:
        node = found[0]
        node.SetName(name)
    elif class_name == "vtkMRMLTableNode":
        node = new_table(name)
    else:
        node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    return keep(node, MASK, role, scan)
