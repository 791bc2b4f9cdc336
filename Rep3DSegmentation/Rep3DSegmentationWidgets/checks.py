"""Why a run cannot start now, in words. Cheap: asked after each change, so that Apply can say it in its tool tip."""

from __future__ import annotations

from typing import Any

from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.grids import is_linear
from Rep3DSegmentationLib.parameters import ROI, SEGMENTATION, VOLUME, Choices, Parameters
from Rep3DSegmentationLib.rois import roi_param
from Rep3DSegmentationLib.segmentations import check_output
from Rep3DSegmentationLib.volumes import check_volume
from slicer.i18n import tr as _

from .state import PanelState


def under_nonlinear_transform(volume: Any) -> bool:
    """Whether a transform that is not linear stands between the volume and the world."""
    return volume is not None and not is_linear(volume.GetParentTransformNode(), None)


def run_obstacle(state: PanelState, parameters: Parameters | None) -> str | None:
    """Why a segmentation cannot start, or None if it can."""
    common = _common_obstacle(state, parameters)
    if common is not None or parameters is None:
        return common
    choices, volume = parameters.choices, parameters.reference(VOLUME)
    if volume is None:
        return _("Choose a volume.")
    try:
        check_volume(volume, choices.harden)
        if parameters.reference(SEGMENTATION) is not None:
            check_output(parameters.reference(SEGMENTATION))
        if parameters.reference(ROI) is not None:
            roi_param(parameters.reference(ROI))
    except WorkerError as error:
        return f"{error.message} {error.hint}".strip()
    return _task_obstacle(state, choices)


def batch_obstacle(state: PanelState, parameters: Parameters | None) -> str | None:
    """Why a batch cannot start, or None if it can."""
    common = _common_obstacle(state, parameters)
    if common is not None or parameters is None:
        return common
    choices = parameters.choices
    if not choices.batch_input:
        return _("Choose the folder with the scans.")
    if not choices.batch_output:
        return _("Choose the folder for the results.")
    return _task_obstacle(state, choices)


def why_obstacle(state: PanelState, parameters: Parameters | None) -> str | None:
    """Why the masks of the network cannot be shown, or None if they can."""
    common = _common_obstacle(state, parameters)
    return common if common is not None or parameters is None else _task_obstacle(state, parameters.choices)


def erf_obstacle(state: PanelState, parameters: Parameters | None) -> str | None:
    """Why no voxel of the chosen volume can be explained, or None if one can."""
    obstacle = why_obstacle(state, parameters)
    if obstacle is not None or parameters is None:
        return obstacle
    if parameters.reference(VOLUME) is None:
        return _("Choose a volume.")
    try:
        check_volume(parameters.reference(VOLUME), parameters.choices.harden)
    except WorkerError as error:
        return f"{error.message} {error.hint}".strip()
    return None


def busy_text(kind: str) -> str:
    """What is running, as a sentence."""
    return {
        "segment": _("A segmentation is running."),
        "batch": _("A batch is running."),
        "estimate": _("An estimate is being made."),
        "why": _("Masks or a receptive field are being computed."),
        "weights": _("Weights are being checked or copied."),
        "sample": _("A sample scan is being fetched."),
        "install": _("Packages are being installed."),
    }[kind]


def _common_obstacle(state: PanelState, parameters: Parameters | None) -> str | None:
    if state.needs_restart:
        return _("Restart Slicer to finish the installation.")
    if state.job is not None:
        return busy_text(state.job.kind)
    if parameters is None:
        return _("The scene is being closed.")
    return None if state.catalog else _("Rep3D's own files were not found: install the extension again.")


def _task_obstacle(state: PanelState, choices: Choices) -> str | None:
    catalog = state.catalog
    if not choices.task:
        return _("Choose a task.")
    task = catalog.task(choices.task)
    if task is None:
        return _("The task {0} is not available.").format(choices.task)
    if choices.weights:
        if all(row["path"] != choices.weights for row in catalog.weights_of(choices.task)):
            return _("The weights file {0} was not found or does not fit the task.").format(choices.weights)
    elif not catalog.weights_of(choices.task):
        return _("No weights for this task are on this computer: import a file under Advanced, Weights.")
    if (
        catalog.hello
        and choices.device != "auto"
        and all(row["name"] != choices.device for row in catalog.hello["devices"])
    ):
        return _("The device {0} is not available on this computer.").format(choices.device)
    if choices.wanted(choices.task) == ():
        return _("Check at least one structure.")
    return None
