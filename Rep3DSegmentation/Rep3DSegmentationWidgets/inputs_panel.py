"""Inputs: volume, task with its details, output segmentation, and the choice that non-linear transforms ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from Rep3DSegmentationLib.parameters import SEGMENTATION, VOLUME
from Rep3DSegmentationLib.sequences import frame_of
from slicer.i18n import tr as _

from .checks import under_nonlinear_transform
from .choices import ChoiceList
from .context import Context
from .text import task_details


class InputsPanel:
    """Volume, task, segmentation. ``reload`` asks the worker for the tasks again."""

    def __init__(self, context: Context, reload: Callable[[], None]):
        self.context, ui = context, context.ui
        self._reload = reload
        self._tasks = ChoiceList(ui.taskSelector)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_volume)
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_segmentation)
        ui.taskSelector.connect("currentIndexChanged(int)", self._on_task)
        ui.hardenCheckBox.connect("toggled(bool)", self._on_harden)
        ui.framesCheckBox.connect("toggled(bool)", self._on_frames)
        ui.taskDetailsLabel.connect("linkActivated(QString)", self._on_link)

    def refresh(self) -> None:
        """Show the choices and what is known of the task."""
        ui, parameters, catalog = self.context.ui, self.context.parameters, self.context.state.catalog
        idle = self.context.state.job is None
        for widget in (ui.volumeSelector, ui.segmentationSelector, ui.hardenCheckBox, ui.framesCheckBox):
            widget.setEnabled(parameters is not None and idle)
        ui.taskSelector.setEnabled(parameters is not None and catalog is not None and idle)
        if parameters is None:
            return
        choices, volume = parameters.choices, parameters.reference(VOLUME)
        if ui.volumeSelector.currentNode() is not volume:
            ui.volumeSelector.setCurrentNode(volume)
        segmentation = parameters.reference(SEGMENTATION)
        if ui.segmentationSelector.currentNode() is not segmentation:
            ui.segmentationSelector.setCurrentNode(segmentation)
        ui.hardenCheckBox.setChecked(choices.harden)
        ui.hardenFrame.setVisible(under_nonlinear_transform(volume))
        if volume is not None:
            text = _("{0} is under a transform that bends or warps space; it has to be resampled through it first.")
            ui.hardenLabel.setText(text.format(volume.GetName()))
        frame = frame_of(volume) if volume is not None else None
        ui.framesCheckBox.setVisible(frame is not None)
        ui.framesCheckBox.setChecked(choices.all_frames)
        if frame is not None:
            ui.framesCheckBox.setText(_("All {0} frames of the sequence").format(frame.count))
        self._tasks.show(self._task_items(choices.task), choices.task)
        self._show_details(choices.task)

    def _task_items(self, chosen: str) -> list[tuple[str, str]]:
        catalog = self.context.state.catalog
        if catalog is None:
            waiting = _("Loading tasks...") if self.context.state.loading else _("Tasks are not loaded")
            return [(chosen or waiting, chosen)]
        items = [(_("Choose a task"), "")]
        for with_weights in (True, False):
            for task in catalog.tasks:
                if bool(catalog.weights_of(task["key"])) is with_weights:
                    title = task["title"] if with_weights else _("{0} (no weights)").format(task["title"])
                    items.append((title, task["key"]))
        if all(value != chosen for _text, value in items):
            items.append((_("{0} (not available)").format(chosen), chosen))
        return items

    def _show_details(self, key: str) -> None:
        state, label = self.context.state, self.context.ui.taskDetailsLabel
        catalog = state.catalog
        task = catalog.task(key) if catalog else None
        can_reload = state.ready and catalog is None and not state.loading
        label.setVisible(task is not None or can_reload)
        if can_reload:
            label.setText(f'<a href="reload">{_("Load the tasks again")}</a>')
        if task is None:
            return
        if catalog.weights_of(key):
            installed = _("installed")
        elif catalog.published_for(key):
            installed = _("not installed; can be downloaded under Weights")
        else:
            installed = _("not installed; import a file under Weights")
        label.setText(task_details(task, installed))
        self.context.ui.taskSelector.setToolTip(" ".join([task["purpose"], task.get("notes") or ""]).strip())

    def _on_volume(self, node: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set_reference(VOLUME, node)

    def _on_segmentation(self, node: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set_reference(SEGMENTATION, node)

    def _on_task(self, _index: int) -> None:
        key = self._tasks.value()
        if self.context.updating or self.context.parameters is None or key is None:
            return
        self.context.parameters.set(task=key, weights="")  # weights belong to one task

    def _on_harden(self, checked: bool) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set(harden=bool(checked))

    def _on_frames(self, checked: bool) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set(all_frames=bool(checked))

    def _on_link(self, _target: str) -> None:
        self._reload()
