"""Pictures of the panel in each state, of a slice and of the 3D view, for the guide.

    python Testing/gui/pictures.py --out docs/pictures/slicer

The module runs in the test host with its real worker on a generated scan, so that nobody's data is in a picture.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

WIDTH = 450
SEED, SPACING = 202607, (1.8, 1.8, 3.0)


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    parser.add_argument("--coarse", action="store_true", help="a coarse scan: quicker, for looking at the layout")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    testing = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(testing))
    Photographer(testing.parent, options.out, (4.0, 4.0, 6.0) if options.coarse else SPACING).run()


class Photographer:
    """Goes through a session as a person would and takes a picture at each station."""

    def __init__(self, root: Path, out: Path, spacing: tuple[float, float, float]):
        from slicerhost import Host

        self.host, self.out, self.spacing = Host.start(), out, spacing
        self.module = self.host.load_module(root / "Rep3DSegmentation" / "Rep3DSegmentation.py")
        self.widget, self.ui = self.module.widget, self.module.widget.ui
        self.state = self.widget.context.state

    def run(self) -> None:
        """All pictures, in the order of a first session."""
        self.first_start()
        volume = self.load_scan()
        self.ready(volume)
        self.running()
        self.error()
        self.done()
        self.views(volume)
        self.weights()
        self.batch_and_log()
        self.host.unload_module("Rep3DSegmentation")
        if self.host.errors:
            raise SystemExit("\n".join(str(entry) for entry in self.host.errors))

    def first_start(self) -> None:
        """Packages are missing: what the check says in a Python that has none of them."""
        from Rep3DSegmentationLib import dependencies

        check, plan = dependencies.check, dependencies.plan
        needs = dependencies.NEEDS
        sizes = [dependencies.Requirement(n.name, n.spec, None, n.size_mb or 200.0) for n in needs]
        missing = tuple(item for item in sizes if item.name in ("torch", "safetensors", "typer"))
        names = ", ".join(item.name for item in missing)
        note = f"{len(missing)} Python packages are to be installed before the first segmentation: {names}."
        dependencies.check = lambda: dependencies.DependencyReport(False, missing, note)
        try:
            self.host.select_module("Rep3DSegmentation")
            self.shoot("first-start")
        finally:
            dependencies.check, dependencies.plan = check, plan
        self.widget.panels.setup.check()
        self.host.wait_until(lambda: self.state.catalog is not None, 120)

    def load_scan(self) -> Any:
        """The scan of the tutorial."""
        import slicer
        from rep3d.phantom import generate

        phantom = generate(SEED, spacing=self.spacing, orientation="LPS", oblique=0.0, phase="portal", fov="full")
        volume = slicer.util.addVolumeFromArray(
            phantom.image.transpose(2, 1, 0), ijkToRAS=phantom.affine, name="Rep3DPhantom"
        )
        volume.GetDisplayNode().SetAutoWindowLevel(False)
        volume.GetDisplayNode().SetWindowLevel(400, 40)
        return volume

    def ready(self, volume: Any) -> None:
        """Everything is chosen, the options are open, an estimate was made."""
        self.ui.volumeSelector.setCurrentNode(volume)
        self.host.choose(self.ui.taskSelector, self.state.catalog.task("phantom-abdomen")["title"])
        self.host.click(self.ui.estimateButton)
        self.wait_idle()
        self.ui.optionsSection.collapsed = False
        self.shoot("ready")
        self.ui.optionsSection.collapsed = True

    def running(self) -> None:
        """In the middle of a run, which is then cancelled."""
        self.host.click(self.ui.applyButton)
        self.host.wait_until(lambda: (self.state.job.fraction or 0) > 0.3 and self.state.job.eta_s is not None, 600)
        self.shoot("running")
        self.host.click(self.ui.cancelButton)
        self.wait_idle()

    def error(self) -> None:
        """The worker is killed while it works."""
        self.host.click(self.ui.applyButton)
        self.host.wait_until(lambda: self.state.job.kind == "segment" and (self.state.job.fraction or 0) > 0.02, 600)
        os.kill(self.widget.context.client().pid, 9)
        self.wait_idle()
        self.shoot("error")

    def done(self) -> None:
        """A finished run."""
        self.host.click(self.ui.applyButton)
        self.wait_idle()
        self.host.click(self.ui.show3DButton)
        self.shoot("done")

    def views(self, volume: Any) -> None:
        """What the slice view and the 3D view show."""
        segmentation = self.state.result.segmentation_node
        self.host.render_slice(self.out / "slice.png", volume, segmentation, orientation="Coronal")
        self.host.render_3d(self.out / "view-3d.png", segmentation)

    def weights(self) -> None:
        """The weights manager with a selected row."""
        self.ui.resultsSection.collapsed = True
        self.ui.inputsSection.collapsed = True
        self.ui.weightsSection.collapsed = False
        self.ui.weightsTable.selectRow(1)
        self.shoot("weights")
        self.ui.weightsSection.collapsed = True

    def batch_and_log(self) -> None:
        """Batch and log, open."""
        self.ui.batchSection.collapsed = False
        self.ui.logSection.collapsed = False
        self.shoot("batch")

    def wait_idle(self) -> None:
        self.host.wait_until(lambda: self.state.job is None, 900)

    def shoot(self, name: str) -> None:
        """A picture of the panel, as high as it needs to be at the width of Slicer's panel."""
        from slicerhost.wrapping import unwrap

        self.host.process_events(50)
        real = unwrap(self.module.panel)
        real.setParent(None)
        real.show()
        real.setFixedWidth(WIDTH)
        self.host.process_events(50)
        if real.minimumSizeHint().width() > WIDTH:
            raise SystemExit(f"{name}: the panel needs {real.minimumSizeHint().width()} pixels, more than {WIDTH}")
        real.setFixedHeight(real.layout().totalHeightForWidth(WIDTH))
        self.host.process_events(50)
        self.out.mkdir(parents=True, exist_ok=True)
        if not real.grab().save(str(self.out / f"{name}.png"), "PNG"):
            raise SystemExit(f"{name}: the picture could not be written")


if __name__ == "__main__":
    main()
