"""Pictures of the section Why and of what it shows, for the guide.

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

TASK, STRUCTURE, BLOCK = "phantom-abdomen", "right-kidney", "stage1.block1"
PANEL_WIDTH, VIEW, GAP = 450, 400, 6
SLICES = ("Axial", "Coronal", "Sagittal")


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
        from pictures import SEED
        from rep3d.phantom import generate

        slicer.util.mainWindow().show()
        self.host.select_module("Rep3DSegmentation")
        self.host.wait_until(lambda: self.state.catalog is not None, 120)
        phantom = generate(SEED, spacing=(2.5, 2.5, 3.0), orientation="LPS", oblique=0.0, phase="portal", fov="full")
        for section in ("inputsSection", "optionsSection", "resultsSection", "batchSection", "weightsSection"):
            getattr(self.ui, section).collapsed = True
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

        self.host.choose(self.ui.taskSelector, self.state.catalog.task(TASK)["title"])
        self.host.click(self.ui.whyMaskButton)
        self.wait_idle()
        self.host.choose(self.ui.whyBlockSelector, BLOCK)
        (volume,), (chart,) = folder.kept(folder.MASK, "mask"), folder.kept(folder.MASK, "chart")
        core = self.host.core
        slices = [views.render_slice(core, volume, orientation=o, size=(VIEW, VIEW), centre=(0, 0, 0)) for o in SLICES]
        rendering = views.render_3d(core, size=(VIEW, VIEW), azimuth=35, elevation=25, background=(0, 0, 0))
        plot = draw_chart(chart, (2 * VIEW + GAP, VIEW))
        self.save("why-mask", beside(self.panel(), stack(beside(*slices), beside(rendering, plot))))
        self.host.click(self.ui.whyRemoveButton)

    def field(self, phantom: Any) -> None:
        """What decided a voxel of a kidney: colour over the scan, surfaces beside the organs."""
        import slicer
        from Rep3DSegmentationLib.why import folder, overlay
        from slicerhost import views

        array = phantom.image.transpose(2, 1, 0)
        scan = slicer.util.addVolumeFromArray(array, ijkToRAS=phantom.affine, name="Rep3DPhantom")
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
        self.ui.resultsSection.collapsed = True
        (field,) = folder.kept(folder.ERF, "volume")
        settings = {"size": (VIEW, VIEW), "centre": ras, "foreground": field, "foreground_opacity": overlay.OPACITY}
        slices = [
            views.render_slice(self.host.core, scan, orientation=o, field_of_view_mm=260, **settings) for o in SLICES
        ]
        rendering = views.render_3d(self.host.core, size=(VIEW, VIEW), azimuth=25, elevation=15, background=(0, 0, 0))
        self.save("why-erf", beside(self.panel(), stack(beside(*slices[:2]), beside(slices[2], rendering))))
        self.host.click(self.ui.whyRemoveButton)

    def wait_idle(self) -> None:
        self.host.wait_until(lambda: self.state.job is None, 900)

    def panel(self) -> np.ndarray:
        """The section Why of the panel as an RGB array."""
        from PyQt5 import QtGui
        from slicerhost.wrapping import unwrap

        real = unwrap(self.ui.whySection)
        real.setParent(None)
        real.show()
        real.setFixedWidth(PANEL_WIDTH)
        self.host.process_events(50)
        if real.minimumSizeHint().width() > PANEL_WIDTH:
            raise SystemExit(f"the section needs {real.minimumSizeHint().width()} pixels, more than {PANEL_WIDTH}")
        real.setFixedHeight(2 * VIEW + GAP)
        self.host.process_events(50)
        image = real.grab().toImage().convertToFormat(QtGui.QImage.Format_RGB888)
        bits = image.bits()
        bits.setsize(image.byteCount())
        rows = np.frombuffer(bits, np.uint8).reshape(image.height(), image.bytesPerLine())
        return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()

    def save(self, name: str, rgb: np.ndarray) -> None:
        from slicerhost.host import _write_picture

        self.out.mkdir(parents=True, exist_ok=True)
        _write_picture(rgb, self.out / f"{name}.png")


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures from left to right, with gaps."""
    height = max(len(picture) for picture in pictures)
    parts = []
    for picture in pictures:
        parts += [
            np.pad(picture, ((0, height - len(picture)), (0, 0), (0, 0))),
            np.full((height, GAP, 3), 255, np.uint8),
        ]
    return np.concatenate(parts[:-1], axis=1)


def stack(*pictures: np.ndarray) -> np.ndarray:
    """Pictures from top to bottom, with gaps."""
    return beside(*(picture.transpose(1, 0, 2) for picture in pictures)).transpose(1, 0, 2)


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
