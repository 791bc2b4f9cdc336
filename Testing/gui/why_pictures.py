"""Pictures of the section Explain and of what it shows, for the guide.

    python Testing/gui/why_pictures.py --out docs/pictures/slicer

The module runs in the test host with its real worker on a generated scan, so that nobody's data is in a picture. The
views are put together as the module's layout has them; the host draws them with Slicer's own displayable managers.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from picture_window import GAP, HEIGHT, VIEW, beside, grab, save, slice_views, stack, window

TASK, STRUCTURE, BLOCK = "phantom-abdomen", "right-kidney", "stage1.block1"


def main() -> None:
    """Make both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    testing = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(testing), str(testing / "gui")]
    Photographer(testing.parent, options.out).run()


class Photographer:
    """Uses the section as a person would, and looks at the panel and the views."""

    def __init__(self, root: Path, out: Path):
        from slicerhost import Host

        self.host, self.out = Host.start(), out
        self.module = self.host.load_module(root / "Rep3DSegmentation" / "Rep3DSegmentation.py")
        self.ui, self.state = self.module.widget.ui, self.module.widget.context.state

    def run(self) -> None:
        """Both pictures."""
        import slicer
        from rep3d.phantom import generate
        from rep3d.phantom.options import DEMO_OPTIONS, DEMO_SEED

        slicer.util.mainWindow().show()
        self.host.select_module("Rep3DSegmentation")
        self.host.wait_until(lambda: self.state.catalog.hello is not None, 240)
        phantom = generate(DEMO_SEED, DEMO_OPTIONS.replace(spacing=(2.5, 2.5, 3.0)))
        self.ui.whySection.collapsed = False
        self.masks()
        self.field(phantom)
        self.host.unload_module("Rep3DSegmentation")
        if self.host.errors:
            raise SystemExit("\n".join(str(entry) for entry in self.host.errors))

    def masks(self) -> None:
        """The mask of the first block: slices, volume rendering, radial profile."""
        from Rep3DSegmentationLib.why import folder
        from slicerhost import views

        self.host.click(self.ui.whyMaskButton)
        self.wait_idle()
        self.host.choose(self.ui.whyBlockSelector, BLOCK)
        (volume,), (chart,) = folder.kept(folder.MASK, "mask"), folder.kept(folder.MASK, "chart")
        core = self.host.core
        slices = slice_views(core, volume, centre=(0, 0, 0))
        rendering = views.render_3d(core, size=(VIEW, VIEW), azimuth=35, elevation=25, background=(0, 0, 0))
        plot = draw_chart(chart, (2 * VIEW + GAP, VIEW))
        picture = beside(self.panel(), stack(beside(*slices), beside(rendering, plot)))
        save(self.out / "why-mask.png", picture)
        self.host.click(self.ui.whyRemoveButton)

    def field(self, phantom: Any) -> None:
        """What decided a voxel of a kidney: colour over the scan, surfaces beside the organs."""
        import slicer
        from Rep3DSegmentationLib.suggestion import SAMPLE_ATTRIBUTE
        from Rep3DSegmentationLib.why import folder, overlay
        from slicerhost import views

        array = phantom.image.transpose(2, 1, 0)
        scan = slicer.util.addVolumeFromArray(array, ijkToRAS=phantom.affine, name="Rep3DPhantom")
        scan.SetAttribute(SAMPLE_ATTRIBUTE, TASK)  # the task stays the one that is proposed
        scan.GetDisplayNode().SetAutoWindowLevel(False)
        scan.GetDisplayNode().SetWindowLevel(400, 40)
        self.ui.volumeSelector.setCurrentNode(scan)
        self.host.click(self.ui.applyButton)
        self.wait_idle()
        segmentation = self.state.result.segmentation_node
        ras = segmentation.GetSegmentCenterRAS(segment_id(segmentation, STRUCTURE))
        markups = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Why")
        markups.AddControlPoint(*ras, "kidney")
        self.ui.whyPointsSelector.setCurrentNode(markups)
        self.host.process_events()
        self.host.click(self.ui.whyErfButton)
        self.wait_idle()
        (field,) = folder.kept(folder.ERF, "volume")
        settings = {"centre": ras, "foreground": field, "foreground_opacity": overlay.OPACITY, "field_of_view_mm": 260}
        slices = slice_views(self.host.core, scan, **settings)
        rendering = views.render_3d(self.host.core, size=(VIEW, VIEW), azimuth=25, elevation=15, background=(0, 0, 0))
        save(self.out / "why-erf.png", window(self.panel(), slices, rendering))
        self.host.click(self.ui.whyRemoveButton)

    def wait_idle(self) -> None:
        self.host.wait_until(lambda: self.state.job is None, 900)

    def panel(self) -> np.ndarray:
        """The section Explain of the panel."""
        return grab(self.host, self.ui.whySection, HEIGHT)


def segment_id(segmentation: Any, key: str) -> str:
    """The segment of a structure."""
    ids = [
        segmentation.GetSegmentation().GetNthSegmentID(i)
        for i in range(segmentation.GetSegmentation().GetNumberOfSegments())
    ]
    return next(identifier for identifier in ids if identifier.startswith(key))


def draw_chart(chart_node: Any, size: tuple[int, int]) -> np.ndarray:
    """The curves of a chart node as VTK's charts draw them, which Slicer's plot view uses too; RGB array."""
    import vtk
    from slicerhost.views import _grab

    chart = vtk.vtkChartXY()
    chart.SetTitle(chart_node.GetTitle())
    chart.SetShowLegend(True)
    chart.GetAxis(vtk.vtkAxis.BOTTOM).SetTitle(chart_node.GetXAxisTitle())
    chart.GetAxis(vtk.vtkAxis.LEFT).SetTitle(chart_node.GetYAxisTitle())
    for index in range(chart_node.GetNumberOfPlotSeriesNodes()):
        series = chart_node.GetNthPlotSeriesNode(index)
        plot = chart.AddPlot(vtk.vtkChart.LINE)
        plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
        plot.SetColorF(*series.GetColor())
        plot.SetWidth(series.GetLineWidth())
        plot.GetPen().SetLineType(series.GetLineStyle())
        plot.SetMarkerStyle(series.GetMarkerStyle())
    view = vtk.vtkContextView()
    view.GetRenderer().SetBackground(1, 1, 1)
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    view.SetRenderWindow(window)
    window.SetSize(*size)
    view.GetScene().AddItem(chart)
    return _grab(window)


if __name__ == "__main__":
    main()
