"""Pictures of the panel in each state, beside the views as in Slicer's window, for the guide.

    python Testing/gui/pictures.py --out docs/pictures/slicer

The module runs in the test host with its real worker on a generated scan, so that nobody's data is in a picture.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import picture_window
from picture_window import VIEW, grab, save, slice_views, window

#: Width of the slice views: the whole of the generated abdomen.
FIELD_MM = 480


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    parser.add_argument("--coarse", action="store_true", help="a coarse scan: quicker, for looking at the layout")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    testing = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(testing))
    Photographer(testing.parent, options.out, options.coarse).run()


class Photographer:
    """Goes through a session as a person would and takes a picture at each station."""

    def __init__(self, root: Path, out: Path, coarse: bool):
        from slicerhost import Host

        self.host, self.out, self.coarse = Host.start(), out, coarse
        self.module = self.host.load_module(root / "Rep3DSegmentation" / "Rep3DSegmentation.py")
        self.widget, self.ui = self.module.widget, self.module.widget.ui
        self.state = self.widget.context.state

    def run(self) -> None:
        """All pictures, in the order of a first session."""
        import slicer

        slicer.util.mainWindow().show()
        self.first_start()
        volume = self.load_scan()
        self.shoot("ready", volume)
        self.running(volume)
        self.error()
        self.done(volume)
        self.advanced()
        self.host.unload_module("Rep3DSegmentation")
        if self.host.errors:
            raise SystemExit("\n".join(str(entry) for entry in self.host.errors))

    def first_start(self) -> None:
        """Packages are missing: what the panel and its question are in a Python that has none of them."""
        from Rep3DSegmentationLib import dependencies

        check, choices = dependencies.check, dependencies.choices
        sizes = [dependencies.Requirement(n.name, n.spec, None, n.size_mb or 200.0) for n in dependencies.NEEDS]
        missing = tuple(item for item in sizes if item.name in ("torch", "safetensors", "typer"))
        note = f"{len(missing)} Python packages are to be installed before the first segmentation."
        dependencies.check = lambda: dependencies.DependencyReport(False, missing, note)
        dependencies.choices = lambda report: replace(choices(report), openvino_mb=60.0, openvino_recommended=True)
        try:
            self.host.select_module("Rep3DSegmentation")
            save(self.out / "first-start.png", grab(self.host, self.module.panel))
            self.host.dialogs.answer(self.shoot_dialog)
            self.widget.panels.setup.when_installed(lambda: None)
        finally:
            dependencies.check, dependencies.choices = check, choices
        self.widget.panels.setup.check()
        self.host.wait_until(lambda: self.state.catalog.hello is not None, 240)

    def shoot_dialog(self, dialog: Any) -> str:
        """The question, which is then answered with no."""
        from PyQt5 import QtGui
        from slicerhost.wrapping import unwrap

        real = unwrap(dialog)
        real.resize(520, real.layout().totalHeightForWidth(520))
        image = real.grab().toImage().convertToFormat(QtGui.QImage.Format_RGB888)
        save(self.out / "install.png", picture_window.pixels(image))
        return "reject"

    def load_scan(self) -> Any:
        """The scan of the tutorial, by the button beside the volume."""
        import slicer
        from rep3d.phantom import generate
        from Rep3DSegmentationLib.suggestion import SAMPLE_ATTRIBUTE

        if self.coarse:
            phantom = generate(202607, spacing=(4.0, 4.0, 6.0), orientation="LPS", phase="portal", fov="full")
            array = phantom.image.transpose(2, 1, 0)
            volume = slicer.util.addVolumeFromArray(array, ijkToRAS=phantom.affine, name="Rep3DPhantom")
            volume.SetAttribute(SAMPLE_ATTRIBUTE, "phantom-abdomen")
        else:
            self.host.click(self.ui.sampleButton)
        volume = self.ui.volumeSelector.currentNode()
        volume.GetDisplayNode().SetAutoWindowLevel(False)
        volume.GetDisplayNode().SetWindowLevel(400, 40)
        return volume

    def running(self, volume: Any) -> None:
        """In the middle of a run, which is then cancelled."""
        self.host.click(self.ui.applyButton)
        self.host.wait_until(lambda: (self.state.job.fraction or 0) > 0.3 and self.state.job.eta_s is not None, 900)
        self.shoot("running", volume)
        self.host.click(self.ui.cancelButton)
        self.wait_idle()

    def error(self) -> None:
        """The worker is killed while it works."""
        self.host.click(self.ui.applyButton)
        self.host.wait_until(lambda: self.state.job.kind == "segment" and (self.state.job.fraction or 0) > 0.02, 900)
        os.kill(self.widget.context.client().pid, 9)
        self.wait_idle()
        save(self.out / "error.png", grab(self.host, self.module.panel))

    def done(self, volume: Any) -> None:
        """A finished run, as it is after one click on Apply and one on Show 3D."""
        from slicerhost import views

        self.host.click(self.ui.applyButton)
        self.wait_idle()
        self.host.click(self.widget.panels.results.show3DButton)
        segmentation = self.state.result.segmentation_node
        self.shoot("done", volume, segmentation)
        save(self.out / "view-3d.png", views.render_3d(self.host.core, segmentation, size=(512, 512)))

    def advanced(self) -> None:
        """The section Advanced, and what is folded in it."""
        self.ui.resultsSection.setVisible(False)
        self.ui.advancedSection.collapsed = False
        save(self.out / "advanced.png", grab(self.host, self.ui.advancedSection))
        self.ui.batchSection.collapsed = False
        save(self.out / "batch.png", grab(self.host, self.ui.batchSection))

    def wait_idle(self) -> None:
        self.host.wait_until(lambda: self.state.job is None, 1800)

    def shoot(self, name: str, volume: Any, segmentation: Any = None) -> None:
        """The panel beside the views."""
        from slicerhost import views

        panel = grab(self.host, self.module.panel, picture_window.HEIGHT)
        slices = slice_views(self.host.core, volume, segmentation, field_of_view_mm=FIELD_MM)
        if segmentation is None:
            space = np.full((VIEW, VIEW, 3), (140, 145, 205), np.uint8)
        else:
            space = views.render_3d(self.host.core, segmentation, size=(VIEW, VIEW))
        save(self.out / f"{name}.png", window(panel, slices, space))


if __name__ == "__main__":
    main()
