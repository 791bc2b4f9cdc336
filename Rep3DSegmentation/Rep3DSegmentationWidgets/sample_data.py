"""Scans to try the module with: one is generated on this computer, others come from Slicer's module Sample Data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from Rep3DSegmentationLib.backend_location import backend_folder
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.install_process import Watcher, run_in_child
from Rep3DSegmentationLib.launch import find_python
from Rep3DSegmentationLib.suggestion import GENERATED, SAMPLE_ATTRIBUTE
from slicer.i18n import tr as _

CATEGORY = "Rep3D"
NAME = "Rep3DPhantom"
THUMBNAIL = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / "Rep3DSegmentation.png"


@dataclass(frozen=True)
class Sample:
    """A scan that fits a task; ``source``: its name in the module Sample Data, "" for the generated one."""

    source: str
    description: str
    stage: str


def sample_of(task: str) -> Sample | None:
    """The sample for a task, None where no scan is known that fits it.

    A whole head does not fit the hippocampus task, whose weights know crops around one hippocampus.
    """
    if task == GENERATED:
        text = _("Generate a CT of an abdomen on this computer: no patient is behind it, nothing is downloaded.")
        return Sample("", text, _("Generating a scan"))
    source = {"amos-ct": "CTAAbdomenPanoramix", "msd-hepatic": "CTLiver", "msd-pancreas": "CTAAbdomenPanoramix"}
    if task not in source:
        return None
    text = _("Download {0}, a CT of the abdomen, from Slicer's sample data.").format(source[task])
    return Sample(source[task], text, _("Downloading {0}").format(source[task]))


def fetch_sample(sample: Sample, is_cancelled: Callable[[], bool]) -> Any:
    """Load a sample into the scene; Slicer stays responsive. Returns the volume node. Raises WorkerError."""
    if not sample.source:
        return generate_phantom(is_cancelled)
    try:
        import SampleData
    except ImportError as error:
        raise WorkerError(
            "output_failed",
            _("This Slicer has no module Sample Data, which {0} comes from.").format(sample.source),
            _("Load a scan of your own."),
        ) from error
    try:
        found = SampleData.SampleDataLogic().downloadSample(sample.source)
    except Exception as error:  # another module's code: whatever it raises is told
        text = _("{0} could not be downloaded: {1}").format(sample.source, error)
        raise WorkerError("output_failed", text, _("Check the network.")) from error
    node = found[0] if isinstance(found, (list, tuple)) and found else found
    if not node:
        text = _("{0} could not be downloaded.").format(sample.source)
        raise WorkerError("output_failed", text, _("Check the network."))
    return node


def register_sample_data() -> None:
    """Offer the generated scan in the module Sample Data too; called when Slicer has started."""
    try:
        import SampleData
    except ImportError:  # switched off in the application's settings
        return
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
    """Generate the scan for the module Sample Data; returns the volume node, or None after saying what is wrong."""
    try:
        return generate_phantom(lambda: False)
    except WorkerError as error:
        slicer.util.errorDisplay(f"{error.message}\n{error.hint}".strip())
        return None


def generate_phantom(is_cancelled: Callable[[], bool]) -> Any:
    """Generate the tutorial's scan in a process of its own (about ten seconds) and load it. Raises WorkerError.

    It needs what Slicer brings (numpy, scipy, SimpleITK), so that it works before anything is installed.
    """
    with tempfile.TemporaryDirectory(prefix="rep3d-sample-") as folder:
        path = Path(folder) / f"{NAME}.nii.gz"
        lines: list[str] = []
        watcher = Watcher(lines.append, is_cancelled, slicer.app.processEvents)
        try:
            command = [find_python(), "-m", "rep3d.phantom", str(path)]
            outcome = run_in_child(command, watcher, {"PYTHONPATH": str(backend_folder())})
        except OSError as error:
            raise WorkerError("output_failed", _("The scan could not be generated: {0}").format(error)) from error
        if outcome.code is None:
            raise WorkerError("cancelled", _("No scan was generated."))
        if outcome.code != 0:
            text = "\n".join(lines[-5:])
            raise WorkerError("output_failed", _("The scan could not be generated: {0}").format(text))
        node = slicer.util.loadVolume(str(path), {"name": NAME})
        node.SetAttribute(SAMPLE_ATTRIBUTE, GENERATED)
        storage = node.GetStorageNode()
        if storage is not None:  # its file goes away now: the volume is saved as a new one
            slicer.mrmlScene.RemoveNode(storage)
        return node
