"""A scan to try the module with, in Slicer's Sample Data module: generated on this computer, nothing is downloaded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import slicer
from Rep3DSegmentationLib import dependencies
from Rep3DSegmentationLib.backend_location import backend_folder
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.install_process import Watcher, run_in_child
from Rep3DSegmentationLib.python_environment import slicer_python
from slicer.i18n import tr as _

CATEGORY = "Rep3D"
NAME = "Rep3DPhantom"
THUMBNAIL = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / "Rep3DSegmentation.png"
# The scan of the command `rep3d demo`: a routine portal-venous CT; no weights were trained on it.
OPTIONS = ("--seed", "202607", "--spacing", "1.8", "1.8", "3", "--orientation", "LPS", "--oblique", "0")
OPTIONS += ("--phase", "portal", "--fov", "full")


def register_sample_data() -> None:
    """Offer the scan in the module Sample Data; called when Slicer has started."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        uris="rep3d:phantom",  # Slicer wants one; what is called instead of a download is load_phantom
        fileNames=f"{NAME}.nii.gz",
        nodeNames=NAME,
        customDownloader=load_phantom,
        thumbnailFileName=str(THUMBNAIL),
    )


def load_phantom(_source: Any = None) -> Any:
    """Generate the scan (about ten seconds) and load it.

    Returns the volume node, or None after saying what is wrong.
    """
    report = dependencies.check()
    if not report.ok:
        slicer.util.errorDisplay(
            report.note + "\n" + _("Install them in the module Rep3D Segmentation, section Setup.")
        )
        return None
    with tempfile.TemporaryDirectory(prefix="rep3d-sample-") as folder:
        path = Path(folder) / f"{NAME}.nii.gz"
        lines: list[str] = []
        try:
            command = [slicer_python(), "-m", "rep3d.cli", "phantom", *OPTIONS, "-o", str(path)]
            watcher = Watcher(lines.append, lambda: False, slicer.app.processEvents)
            outcome = run_in_child(command, watcher, {"PYTHONPATH": str(backend_folder())})
        except (OSError, WorkerError) as error:
            slicer.util.errorDisplay(_("The scan could not be generated: {error}").format(error=error))
            return None
        if outcome.code != 0:
            text = "\n".join(lines[-5:])
            slicer.util.errorDisplay(_("The scan could not be generated: {error}").format(error=text))
            return None
        node = slicer.util.loadVolume(str(path), {"name": NAME})
        storage = node.GetStorageNode()
        if storage is not None:  # its file goes away now: the volume is saved as a new one
            slicer.mrmlScene.RemoveNode(storage)
        return node
