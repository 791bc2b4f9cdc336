"""A layout of its own for masks: three slice views, a 3D view and a plot. The scan's views keep what they show.

Views are made by the application from the description; where there is none (a script without a main window), nothing
happens and the nodes can be shown by hand.
"""

from __future__ import annotations

from typing import Any

import slicer

#: Any number that is not one of Slicer's own layouts.
LAYOUT_ID = 5053
SLICES = {"Rep3DWhyAxial": "Axial", "Rep3DWhyCoronal": "Coronal", "Rep3DWhySagittal": "Sagittal"}
VIEW_3D, PLOT = "Rep3DWhy3D", "Rep3DWhyPlot"
_BEFORE = "Rep3D.LayoutBefore"
_MARGIN = 1.25  # of the picture around the taps
_watched: set[str] = set()  # scenes whose end is watched


def _slice_view(tag: str, orientation: str, label: str, color: str) -> str:
    return f"""<item><view class="vtkMRMLSliceNode" singletontag="{tag}">
      <property name="orientation" action="default">{orientation}</property>
      <property name="viewlabel" action="default">{label}</property>
      <property name="viewcolor" action="default">{color}</property></view></item>"""


def description() -> str:
    """The layout as Slicer's XML."""
    colors = ("#F34A33", "#6EB04B", "#EDD54C")
    slices = "".join(
        _slice_view(tag, orientation, f"E{number}", color)
        for number, ((tag, orientation), color) in enumerate(zip(SLICES.items(), colors), start=1)
    )
    return f"""<layout type="vertical" split="true">
  <item><layout type="horizontal">{slices}</layout></item>
  <item><layout type="horizontal">
    <item><view class="vtkMRMLViewNode" singletontag="{VIEW_3D}">
      <property name="viewlabel" action="default">E</property></view></item>
    <item><view class="vtkMRMLPlotViewNode" singletontag="{PLOT}">
      <property name="viewlabel" action="default">E</property></view></item>
  </layout></item>
</layout>"""


def register_layout() -> Any:
    """Make the layout known, once Slicer has started: a scene that was saved with it opens without any view otherwise.

    Returns the layout node, or None where there is none.
    """
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is not None and not node.IsLayoutDescription(LAYOUT_ID):
        node.AddLayoutDescription(LAYOUT_ID, description())
    return node


def open_layout() -> bool:
    """Show the layout until the scene is closed or :func:`close_layout`; False where there is no layout to set."""
    node = register_layout()
    if node is None:
        return False
    _leave_with_the_scene()
    if node.GetViewArrangement() != LAYOUT_ID:
        node.SetAttribute(_BEFORE, str(node.GetViewArrangement()))
        node.SetViewArrangement(LAYOUT_ID)
    return True


def close_layout() -> None:
    """Back to the layout that was there before, if ours is still shown."""
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is None or node.GetViewArrangement() != LAYOUT_ID:
        return
    before = node.GetAttribute(_BEFORE)
    node.SetViewArrangement(int(before) if before else slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def _leave_with_the_scene() -> None:
    """Slicer comes back to the last layout when a scene is closed, which would be this one, with nothing to show."""
    scene = slicer.mrmlScene
    if scene.GetAddressAsString("") not in _watched:
        _watched.add(scene.GetAddressAsString(""))
        scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, lambda _scene, _event: close_layout())


def show_in_layout(volume: Any, rendering: Any, chart: Any, size_mm: float) -> None:
    """Put a volume of taps, its rendering and the chart into the views of the layout, as far as there are such views.

    Args:
        rendering: the display node; it is then shown in our 3D view only. size_mm: width of the taps.
    """
    scene = slicer.mrmlScene
    for tag, orientation in SLICES.items():
        node = scene.GetSingletonNode(tag, "vtkMRMLSliceNode")
        if node is None:
            continue
        node.SetOrientation(orientation)
        node.JumpSliceByCentering(0.0, 0.0, 0.0)
        width, height, _depth = node.GetDimensions()
        scale = _MARGIN * size_mm / max(min(width, height), 1)
        node.SetFieldOfView(scale * width, scale * height, node.GetFieldOfView()[2])
        node.JumpSliceByCentering(0.0, 0.0, 0.0)
    for composite in composites(own=True):
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(None)
    view = scene.GetSingletonNode(VIEW_3D, "vtkMRMLViewNode")
    if view is not None:
        rendering.RemoveAllViewNodeIDs()
        rendering.AddViewNodeID(view.GetID())
        _aim(view, size_mm)
    plot = scene.GetSingletonNode(PLOT, "vtkMRMLPlotViewNode")
    if plot is not None:
        plot.SetPlotChartNodeID(chart.GetID())


def composites(own: bool) -> list[Any]:
    """What the slice views show: those of our layout, or all others."""
    return [node for node in _nodes("vtkMRMLSliceCompositeNode") if (node.GetLayoutName() in SLICES) == own]


def jump_to(ras: Any) -> None:
    """Bring all slice views but ours to a point (mm)."""
    for node in _nodes("vtkMRMLSliceNode"):
        if node.GetLayoutName() not in SLICES:
            node.JumpSliceByCentering(*(float(v) for v in ras))


def _nodes(class_name: str) -> list[Any]:
    return [node for node in slicer.mrmlScene.GetNodes() if node.IsA(class_name)]


def _aim(view: Any, size_mm: float) -> None:
    """Look at the taps from the front, a little from above and from the side."""
    for camera in _nodes("vtkMRMLCameraNode"):
        if camera.GetLayoutName() == view.GetLayoutName():
            camera.SetFocalPoint(0.0, 0.0, 0.0)
            camera.SetPosition(1.2 * size_mm, 2.4 * size_mm, 1.1 * size_mm)
            camera.SetViewUp(0.0, 0.0, 1.0)
            camera.ResetClippingRange()
