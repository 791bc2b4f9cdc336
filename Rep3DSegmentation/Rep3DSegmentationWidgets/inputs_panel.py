"""What a run is about: volume, task with its details, and the choices that some volumes ask for."""

from __future__ import annotations

from typing import Any

from Rep3DSegmentationLib.parameters import VOLUME, Choices
from Rep3DSegmentationLib.sequences import frame_of
from slicer.i18n import tr as _

from .checks import under_nonlinear_transform
from .choices import ChoiceList
from .context import Context
from .state import Catalog
from .text import task_details, task_title


class InputsPanel:
    """Volume and task; small islands; a copy of a bent volume; all frames of a sequence."""

    def __init__(self, context: Context):
        self.context, ui = context, context.ui
        self._tasks = ChoiceList(ui.taskSelector)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_volume)
        ui.taskSelector.connect("currentIndexChanged(int)", self._on_task)
        ui.islandsCheckBox.connect("toggled(bool)", self._on_islands)
        ui.hardenCheckBox.connect("toggled(bool)", self._on_harden)
        ui.framesCheckBox.connect("toggled(bool)", self._on_frames)

    def refresh(self) -> None:
        """Show the choices and what is known of the task."""
        ui, parameters, catalog = self.context.ui, self.context.parameters, self.context.state.catalog
        idle = parameters is not None and self.context.state.job is None
        for widget in (ui.volumeSelector, ui.hardenCheckBox, ui.framesCheckBox):
            widget.setEnabled(idle)
        for widget in (ui.taskSelector, ui.islandsCheckBox):
            widget.setEnabled(idle and catalog is not None)
        if parameters is None:
            return
        choices, volume = parameters.choices, parameters.reference(VOLUME)
        if ui.volumeSelector.currentNode() is not volume:
            ui.volumeSelector.setCurrentNode(volume)
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
        self._tasks.show(task_items(catalog, choices.task), choices.task)
        self._show_details(choices)

    def _show_details(self, choices: Choices) -> None:
        ui, catalog = self.context.ui, self.context.state.catalog
        task = catalog.task(choices.task) if catalog else None
        ui.taskDetailsLabel.setVisible(task is not None)
        ui.islandsCheckBox.setChecked(islands(catalog, choices))
        if task is None:
            ui.taskSelector.setToolTip(_("What to segment, and in which kind of scan."))
            return
        if catalog.weights_of(choices.task):
            row = catalog.weights_used(choices.task, choices.weights)
            installed = _("Weights are installed.") if row is None else origin_text(row)
        elif catalog.published_for(choices.task):
            installed = _("No weights are installed: download them under Advanced, Weights.")
        else:
            installed = _("No weights are installed: import a file under Advanced, Weights.")
        ui.taskDetailsLabel.setText(task_details(task, installed))
        ui.taskDetailsLabel.setToolTip(", ".join(label["name"] for label in task["labels"]))
        ui.taskSelector.setToolTip(" ".join([task["title"] + ".", task["purpose"], task.get("notes") or ""]).strip())

    def _set(self, **values: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set(**values)

    def _on_volume(self, node: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set_reference(VOLUME, node)

    def _on_task(self, _index: int) -> None:
        if self._tasks.value() is not None:
            self._set(task=self._tasks.value(), suggested="", weights="", islands=None)  # the last two are one task's

    def _on_islands(self, checked: bool) -> None:
        self._set(islands=bool(checked))

    def _on_harden(self, checked: bool) -> None:
        self._set(harden=bool(checked))

    def _on_frames(self, checked: bool) -> None:
        self._set(all_frames=bool(checked))


def task_items(catalog: Catalog | None, chosen: str) -> list[tuple[str, str]]:
    """(text, key) of the tasks: those with weights first, in the end the ones that have none."""
    if catalog is None:
        return [(chosen or _("Tasks were not found"), chosen)]
    rows = [(task, next(iter(catalog.weights_of(task["key"])), None)) for task in catalog.tasks]
    rows.sort(key=lambda row: (row[1] is None, bool(row[1] and row[1].get("demo_only"))))
    items = [(_("Choose a task"), ""), *((task_title(task, weights), task["key"]) for task, weights in rows)]
    if all(value != chosen for _text, value in items):
        items.append((_("{0} (not available)").format(chosen), chosen))
    return items


def islands(catalog: Catalog | None, choices: Choices) -> bool:
    """Whether small islands are removed: as chosen, else as the weights' validation says."""
    if choices.islands is not None:
        return choices.islands
    row = catalog.weights_used(choices.task, choices.weights) if catalog else None
    return bool(row and row.get("remove_islands"))


def origin_text(row: dict[str, Any]) -> str:
    """Where the weights of a run come from, and what for."""
    text = _("Weights: shipped with Rep3D.") if row["origin"] == "shipped" else _("Weights: your own.")
    return f"{text} {_('For')}: {row['expected_region']}." if row.get("expected_region") else text
